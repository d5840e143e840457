"""Every format gives the same pictures, texts, boxes and splits wherever it lies; every bad row is named, none used."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from data.formats import BOX, FORMATS, visual_genome
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import photographs, shout, table, write_json

from xfm.config import ConfigError
from xfm.files.file_source import FileSource
from xfm.files.readers import READERS, collected
from xfm.files.readers.records import PICTURES


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_gives_its_pictures_texts_boxes_and_splits_wherever_it_lies(name: str, tmp_path: Path) -> None:
    """Also in a folder whose name has braces, as patterns of shards do, and with its suffixes in capitals."""
    make, provides = FORMATS[name]
    folders = tmp_path / "a", tmp_path / "a{b}" / "{0..2}" / "x{}" / "a{b,c}" / "{"
    spec, other = (make(folder) for folder in folders if not folder.mkdir(parents=True))
    source = FileSource(spec, 48)
    assert source.provides == provides and set(FORMATS) == set(READERS)
    records, problems = collected(spec)
    assert len(records) == 12 and problems == []
    assert sorted(i for part in source.splits.values() for i in part) == list(range(12))
    for i, record in enumerate(records):
        if record.captions:
            wanted = {f"picture {i}"} if name != "folder" else {"a photo of a owl", "a photo of a red fox"}
            assert record.captions[0] in wanted and record.where
        assert (len(record.phrases) == 1) == ("regions" in provides)
        for phrase in record.phrases:
            assert (phrase.text, phrase.box) == (f"thing {i}", tuple(map(float, BOX)))
    if "images" in provides:
        example = source.example("train", 0)
        assert example.image.shape == (48, 48, 3) and example.image.std() > 5
    if "regions" in provides:  # 60 x 40, of which x from 10 to 50 is shown: 6 is cut to 10, 36 is 26 of 40
        region = example.regions[0]
        assert region.box == pytest.approx((0.325, 0.35, 0.65, 0.5))
    if name in ("karpathy", "refcoco"):
        assert {s: len(part) for s, part in source.splits.items()} == {"train": 8, "validation": 2, "test": 2}
    elsewhere = FileSource(spec if name == "hf" else other, 48)
    assert elsewhere.fingerprint == source.fingerprint and elsewhere.splits == source.splits
    if name != "hf":
        shout(folders[0])
        spec = re.sub(r"\.\w+$", lambda suffix: suffix[0].upper(), spec)
        after, problems = collected(spec.removeprefix(f"{name}:"))
        assert not problems and all(r.picture is None or r.picture.read() for r in after)
        seen, before = ([(r.captions, r.phrases, r.split) for r in some] for some in (after, records))
        assert seen == before


ROWS = {  # row -> what is said of it
    "0.png,": "empty caption", '0.png,"  "': "empty caption", ",words": "no picture", "none.png,words": "no such file",
    "../outside.png,words": "outside the folder", "/etc/hostname,words": "outside the folder",
    "link.png,words": "outside the folder", "linked/outside.png,words": "outside the folder",
    "sub,words": "no such file", "0.png,words,thing": "no box", "0.png,words,thing,1 2 3": "no box",
    "0.png,words,thing,1 2 nan 4": "no box", "0.png,words,thing,1 2 -3 4": "no box",
    "0.png,words,thing,a b c d": "no box", "0.png,words,,1 2 3 4": "no box", "0.png\0,words": "no picture",
    "0.png,words,thing,1 2 3 4,sometimes": "unknown split", "0.png,words,thing,1 2 3 4,train,more": "no row",
}  # fmt: skip


def test_each_bad_row_is_named_with_its_line_and_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    names = photographs(folder)
    photographs(tmp_path / "elsewhere", 1, "outside.png")
    photographs(tmp_path, 1, "outside.png")
    (folder / "sub").mkdir()
    os.symlink(tmp_path / "outside.png", folder / "link.png")
    os.symlink(tmp_path / "elsewhere", folder / "linked")
    # a short row lacks cells, which for a table is another fault: give it the rest
    bad = [row + "," * max(0, 4 - row.count(",")) for row in ROWS]
    good = [f"{n},picture {i},,," for i, n in enumerate(names)]
    spec = table(folder, [*good[:5], *bad, *good[5:]], "image,caption,phrase,box,split")
    records, problems = collected(spec)
    assert len(records) == 12
    lines = {f"captions.csv:{7 + i}": kind for i, kind in enumerate(ROWS.values())}
    assert {problem.where: problem.kind for problem in problems} == lines
    with pytest.raises(ConfigError, match=r"18 of 30 rows cannot be used, more than data.unreadable = 0 allows: capti"):
        FileSource(spec, 48)
    with pytest.warns(UserWarning, match=r"18 of 30 rows are left out, as captions.csv:7: "):
        assert FileSource(spec, 48, unreadable=0.7).provides == {"pairs", "images", "texts"}


def test_a_fault_of_every_row_is_said_once_and_how_to_write_it(tmp_path: Path) -> None:
    table(tmp_path, [rf"C:\photos\{name},a dog" for name in photographs(tmp_path)])
    with pytest.raises(ConfigError, match=r"12 of 12 rows cannot be used: captions.csv:2: .*with / between") as error:
        FileSource(str(tmp_path / "captions.csv"), 48, unreadable=0.02)
    said = str(error.value)
    assert said.count("captions.csv:") == 1 and "raise data.unreadable" not in said, "which would not help"


@pytest.fixture(scope="module", params=[n for n in FORMATS if n != "hf"])
def intact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return FORMATS[request.param][0](folder), folder


@given(st.integers(0, 9), st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40))
@settings(max_examples=20, deadline=None)
def test_a_damaged_file_gives_checked_rows_and_problems_or_one_error(
    intact: tuple[str, Path], which: int, start: float, removed: int, new: bytes
) -> None:
    spec, folder = intact
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    index = [path for path in files if path.suffix not in PICTURES] or files
    path = index[which % len(index)]
    before = path.read_bytes()
    at = int(start * len(before))
    path.write_bytes(before[:at] + new + before[at + removed :])
    try:
        records, problems = collected(spec)
    except ConfigError as error:
        assert str(error).isprintable() and str(folder) in str(error)
        return
    finally:
        path.write_bytes(before)
    assert records or problems
    assert all(str(problem).isprintable() and problem.where and problem.kind for problem in problems)
    for record in records:
        assert all(caption and caption == " ".join(caption.split()) for caption in record.captions)
        assert all(min(phrase.box[2:]) > 0 and np.isfinite(phrase.box).all() for phrase in record.phrases)
        if record.picture is not None:
            assert Path(record.picture.path).resolve().is_relative_to(folder.resolve())  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.csv", b"image,captoin\n", "did you mean 'caption'"), ("a.csv", b"image\nx\n", "neither a column 'caption' nor"),
    ("a.csv", b"image,caption, caption\nx.png,a,b\n", "column = 'caption': must be there once, not 2 times"),
    ("a.csv", b"image,caption\n" + 3000 * b"x.png,a\n" + b"x.png,caf\xe9\n", "a.csv:3002: byte 0xe9 is not UTF-8"),
    ("a.csv", b'image,"caption\nx.png,a\n', "a.csv:1: stray quote in the header: 'image,\"caption'"),
    ("a.jsonl", b"{}\n\n" + b'{"caption": "\xc3"}\n', "a.jsonl:3: byte 0xc3 is not UTF-8"),
    ("a.txt", b"a dog\n" * 5000 + b"caf\xe9", "a.txt:5001: byte 0xe9 is not UTF-8"),
    ("a.json", b"[" * 100_000, "no JSON"), ("a.json", b"{}", "cannot detect the format. Give it explicitly, e.g. csv:"),
    ("a.tar", b"\x1f\x8b rest", "no whole tar file"), ("a\0b", None, "no such file"), (".", None, "has no pictures"),
    ("cooc:.", None, "did you mean 'coco'"), ("coco:.", None, "has no captions_"),
    ("s-{5..1}.tar", None, "that go up"), ("shards:{0..99999}{0..99999}.tar", None, "at most 100,000 shards"),
])  # fmt: skip
def test_what_is_not_of_its_format_or_nowhere_is_named(name: str, content, said: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        FileSource(name, 48)
    assert said in str(error.value) and (content is None or name in str(error.value)) and len(str(error.value)) < 1500


REGIONS, REFS, ENTRIES = "region_descriptions.json", "refs.json", "instances_train2017.json"
FAULTS = [  # format, file, what of its JSON becomes what -> the one problem
    ("vg", REGIONS, "0.regions", 7, f"{REGIONS}[0]: no regions: regions = 7: must be a list"),
    ("vg", REGIONS, "3.regions.0.width", 0, f"{REGIONS}[3].regions[0]: no box"),
    ("karpathy", "dataset.json", "images.1.filename", 5, "dataset.json[1]: no such file: image = 'val2014/5' is"),
    ("refcoco", REFS, "2.sentences", [], f"{REFS}[2]: no sentences: sentences = []: must have one or more"),
    *(("coco", ENTRIES, "annotations.4.image_id", i, f"{ENTRIES}[4]: ") for i in ([1], 99)),
    ("coco", ENTRIES, "annotations.4.segmentation", {"size": [40, 60], "counts": [-1]}, f"{ENTRIES}[4]: no mask: "),
    ("coco", ENTRIES, "annotations.0.iscrowd", 1, ""),  # which is no instance
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "place", "value", "said"), FAULTS)
def test_a_fault_of_an_entry_is_named_and_costs_no_other(name, file, place, value, said: str, tmp_path: Path) -> None:
    spec = FORMATS[name][0](tmp_path)
    (found,) = tmp_path.rglob(file)
    tree = node = json.loads(found.read_text("utf-8"))
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in path:
        node = node[part]
    node[last] = value
    write_json(found, tree)
    records, problems = collected(spec)
    assert [str(problem)[: len(said)] for problem in problems] == ([said] if said else [])
    assert sum(bool(record.phrases or name == "karpathy") for record in records) == 11


def test_regions_that_cannot_be_used_are_counted_among_regions(tmp_path: Path) -> None:
    """Not among pictures: they would end the training of any large set."""
    spec = visual_genome(tmp_path)
    tree = json.loads((tmp_path / "region_descriptions.json").read_text("utf-8"))
    for row in tree:
        row["regions"] *= 30
    for i in range(3):
        tree[i]["regions"][0] = tree[i]["regions"][0] | {"width": 0}
    write_json(tmp_path / "region_descriptions.json", tree)
    with pytest.raises(ConfigError, match=r"3 of 360 regions cannot be used, more than data.unreadable = 0.005"):
        FileSource(spec, 48, 0.005)
    with pytest.warns(UserWarning, match=r"3 of 360 regions are left out, as region_descriptions.json\[0\]"):
        assert FileSource(spec, 48, 0.01).pictures("train") == 8
