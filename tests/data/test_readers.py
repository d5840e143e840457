"""Every format gives the same pictures, texts, boxes and splits wherever it lies; every bad row is named, none used."""

import json
import re
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data.formats import BOX, FORMATS, labels, of_pictures, shards, tar_of
from hypothesis import given
from hypothesis import strategies as st
from photographs import photographs, shout, table, write_json

from xfm.config import ConfigError
from xfm.files.file_source import FileSource
from xfm.files.readers import READERS, collected
from xfm.files.readers.records import PICTURES
from xfm.files.readers.tar_shards import expand


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_gives_its_pictures_texts_boxes_and_splits_wherever_it_lies(name: str, tmp_path: Path) -> None:
    """Also in a folder whose name has braces, as patterns of shards do, and with its suffixes in capitals."""
    make, provides = FORMATS[name]
    folders = tmp_path / "a", tmp_path / "a{b}" / "{0..2}" / "x{}" / "a{b,c}" / "{"
    spec, other = (make(folder) for folder in folders if not folder.mkdir(parents=True))
    source = FileSource(spec, 48)
    assert source.provides == provides and set(FORMATS) == set(READERS)
    records, problems, _ = collected(spec)
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
        assert (example := source.example("train", 0)).image.std() > 5
    if "regions" in provides:  # 60 x 40, of which x from 10 to 50 is shown: 6 is cut to 10, 36 is 26 of 40
        assert example.regions[0].box == pytest.approx((0.325, 0.35, 0.65, 0.5))
    if name in ("karpathy", "refcoco"):
        assert {s: len(part) for s, part in source.splits.items()} == {"train": 8, "validation": 2, "test": 2}
    elsewhere = FileSource(spec if name == "hf" else other, 48)
    assert elsewhere.fingerprint == source.fingerprint and elsewhere.splits == source.splits
    if name != "hf":
        shout(folders[0])
        spec = re.sub(r"\.\w+$", lambda suffix: suffix[0].upper(), spec)
        after, problems, _ = collected(spec.removeprefix(f"{name}:"))
        assert not problems and all(r.picture is None or r.picture.read() for r in after)
        assert [(r.captions, r.phrases, r.split) for r in after] == [(r.captions, r.phrases, r.split) for r in records]


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
    photographs(tmp_path, 1, "outside.png")
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "linked").symlink_to(tmp_path)
    # a short row lacks cells, which for a table is another fault: give it the rest
    bad = [row + "," * max(0, 4 - row.count(",")) for row in ROWS]
    good = [f"{n},picture {i},,," for i, n in enumerate(names)]
    spec = table(folder, [*good[:5], *bad, *good[5:]], "image,caption,phrase,box,split")
    records, problems, _ = collected(spec)
    assert len(records) == 12
    lines = {f"captions.csv:{7 + i}": kind for i, kind in enumerate(ROWS.values())}
    assert {problem.where: problem.kind for problem in problems} == lines
    with pytest.raises(ConfigError, match=r"18 of 30 rows cannot be used, more than data.unreadable = 0 allows: capti"):
        FileSource(spec, 48)
    with pytest.warns(UserWarning, match=r"18 of 30 rows are left out, as captions.csv:7: "):
        assert FileSource(spec, 48, unreadable=0.7).provides == {"pairs", "images", "texts"}


@pytest.fixture(scope="module", params=[n for n in FORMATS if n != "hf"])
def intact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return FORMATS[request.param][0](folder := tmp_path_factory.mktemp(request.param)), folder


@given(which=st.integers(0, 9), start=st.floats(0, 1), removed=st.integers(0, 40), new=st.binary(max_size=40))
def test_a_damaged_file_gives_checked_rows_and_problems_or_one_error(intact, which, start, removed, new) -> None:
    spec, folder = intact
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    index = [path for path in files if path.suffix not in PICTURES] or files
    before = (path := index[which % len(index)]).read_bytes()
    at = int(start * len(before))
    path.write_bytes(before[:at] + new + before[at + removed :])
    try:
        records, problems, _ = collected(spec)
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
    ("a.csv", b"image,captoin\n", "did you mean 'caption'"), ("cooc:.", None, "did you mean 'coco'"),
    ("a.csv", b"image,caption, caption\nx.png,a,b\n", "column = 'caption': must be there once, not 2 times"),
    ("a.csv", b"image;caption\nx.png;a\n", "header = 'image;caption': divide its cells by commas (.csv)"),
    ("a.csv", b"image,caption\n" + 3000 * b"x.png,a\n" + b"x.png,caf\xe9\n", "a.csv:3002: byte 0xe9 is not UTF-8"),
    ("a.csv", b'image,"caption\nx.png,a\n', "a.csv:1: stray quote in the header: 'image,\"caption'"),
    ("a.jsonl", b"{}\n\n" + b'{"caption": "\xc3"}\n', "a.jsonl:3: byte 0xc3 is not UTF-8"),
    ("a.json", b"[" * 100_000, "no JSON"), ("a.json", b"{}", "cannot detect the format. Give it explicitly, e.g. csv:"),
    ("a.tar", b"\x1f\x8b rest", "no whole tar file"), ("a\0b", None, "no such file"), (".", None, "has no pictures"),
    ("coco:.", None, "has no captions_"), ("shards:{0..99999}{0..99999}.tar", None, "at most 100,000 shards"),
])  # fmt: skip
def test_what_is_not_of_its_format_or_nowhere_is_named(name: str, content, said: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as error:
        FileSource(name, 48)
    assert said in str(error.value) and (content is None or name in str(error.value)) and len(str(error.value)) < 1500


REGIONS, REFS, ENTRIES = "region_descriptions.json", "refs.json", "instances_train2017.json"


# format, file, what of its JSON becomes what -> the one problem
@pytest.mark.parametrize(("name", "file", "place", "value", "said"), [
    ("vg", REGIONS, "0.regions", 7, f"{REGIONS}[0]: no regions: regions = 7: must be a list"),
    ("vg", REGIONS, "3.regions.0.width", 0, f"{REGIONS}[3].regions[0]: no box"),
    ("karpathy", "dataset.json", "images.1.filename", 5, "dataset.json[1]: no such file: image = 'val2014/5' is"),
    ("refcoco", REFS, "2.sentences", [], f"{REFS}[2]: no sentences: sentences = []: must have one or more"),
    ("coco", ENTRIES, "annotations.4.image_id", 99, f"{ENTRIES}[4]: "),
    ("coco", ENTRIES, "annotations.4.segmentation", {"size": [40, 60], "counts": [-1]}, f"{ENTRIES}[4]: no mask: "),
    ("coco", ENTRIES, "annotations.0.iscrowd", 1, ""),  # which is no instance
])  # fmt: skip
def test_a_fault_of_an_entry_is_named_and_costs_no_other(name, file, place, value, said: str, tmp_path: Path) -> None:
    spec = FORMATS[name][0](tmp_path)
    (found,) = tmp_path.rglob(file)
    tree = node = json.loads(found.read_text("utf-8"))
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    for part in path:
        node = node[part]
    node[last] = value
    write_json(found, tree)
    records, problems, _ = collected(spec)
    assert [str(problem)[: len(said)] for problem in problems] == ([said] if said else [])
    assert sum(bool(record.phrases or name == "karpathy") for record in records) == 11


# ---- what is not quite as one would write it


def test_shards_are_named_by_braces(tmp_path: Path) -> None:
    assert expand("{x,y}-{08..10}.tar") == [f"{a}-{b}.tar" for a in "xy" for b in ("08", "09", "10")]
    shards(tmp_path)
    with pytest.raises(ConfigError, match=r"part-002\.tar: cannot be read \(No such file"):
        collected(str(tmp_path / "part-{000..002}.tar"))


def test_a_folder_that_is_not_looked_into_is_refused(tmp_path: Path) -> None:
    """Nothing of it would be missed; what is hidden may be what it likes."""
    spec = labels(tmp_path / "data")
    (tmp_path / "data/.hidden").symlink_to(tmp_path)
    assert len(collected(spec)[0]) == 12
    (tmp_path / "data/owl/linked").symlink_to(tmp_path / "data/red_fox")
    with pytest.raises(ConfigError, match=r"data/owl/linked: a link to a folder, which is not followed; put the"):
        FileSource(spec, 48)


def test_what_is_wrong_with_a_sample_of_a_shard_is_named(tmp_path: Path) -> None:
    pictures = {name: (tmp_path / name).read_bytes() for name in photographs(tmp_path)}
    odd = {
        "0.txt": b"a dog\n", "0.json": b'{"caption": "a dog", "key": "0"}',  # as img2dataset writes it: it counts once
        "1.seg.png": pictures["3.png"], "x.HEIC": b"heic", "x.txt": b"a dog\n", "y\x1b[31m.txt": b" ",
    }  # fmt: skip
    spec = tar_of(tmp_path / "a.tar", pictures | odd)
    with tarfile.open(spec, "a") as tar:
        for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/hostname"
            tar.addfile(link)
    records, problems, _ = collected(spec)
    assert len(records) == 11 and records[0].captions == ("a dog",)
    assert {*map(str, problems)} == {
        "a.tar:1: no row: 1.seg.png: a second picture of one sample; give it another name up to the first dot",
        "a.tar:x: unknown kind: x.HEIC: pictures of this kind are not read; save it as PNG or JPEG",
        r"a.tar:y\x1b[31m: empty caption: caption = ' ': must be a text",
        *(f"a.tar:{name}: no row: {name}.png: a link; pack the file itself" for name in "sh"),
    }


def test_a_quote_left_open_costs_its_own_row_alone_and_in_quotes_there_may_be_line_breaks(tmp_path: Path) -> None:
    rows = [f"{name},picture {i}" for i, name in enumerate(photographs(tmp_path))]
    rows[3], rows[4] = '3.png,"a cat, ""red"",\n\non a beach"', '4.png,"a dog'
    many = [f"{i % 9}.png,again {i}" for i in range(9_000)]  # more than `csv` takes for a cell
    records, (problem,), _ = collected(table(tmp_path, rows + many))
    assert str(problem).startswith("captions.csv:8: stray quote: ") and '"a dog' in str(problem)
    assert len(records) == 12 and sum(len(record.captions) for record in records) == 11 + 9_000
    assert records[3].captions[0] == 'a cat, "red", on a beach' and records[3].where == "captions.csv:5"


def test_a_split_of_a_saved_dataset_has_its_name_in_any_spelling_or_its_rows_are_named(tmp_path: Path) -> None:
    parts = {"train": (0, 8), "Validation": (8, 2), "test": (10, 2), "extra": (12, 4)}
    made = {name: of_pictures(tmp_path, *part) for name, part in parts.items()}
    pytest.importorskip("datasets").DatasetDict(made).save_to_disk(str(tmp_path / "saved"))
    records, problems, _ = collected(str(tmp_path / "saved"))
    assert Counter(record.split for record in records) == {"train": 8, "validation": 2, "test": 2}
    assert [(p.where, p.kind) for p in problems] == [(f"saved/extra[{i}]", "unknown split") for i in range(4)]


def test_folders_of_splits_have_the_labels_inside(tmp_path: Path) -> None:
    """As torchvision's; a folder beside them makes all of them labels again."""
    for split, kind, count in (("train", "owl", 3), ("train", "red_fox", 3), ("val", "owl", 2), ("Test", "owl", 2)):
        photographs(tmp_path / split / kind, count)
    photographs(tmp_path / "train", 1)
    records, problems, _ = collected(f"folder:{tmp_path}")
    found = Counter((record.split, *record.captions) for record in records)
    assert not problems and found == {
        ("train",): 1, ("train", "a photo of a owl"): 3, ("train", "a photo of a red fox"): 3,
        ("validation", "a photo of a owl"): 2, ("test", "a photo of a owl"): 2}  # fmt: skip
    photographs(tmp_path / "owl", 1)
    labels = {record.captions[0].split()[-1] for record in collected(f"folder:{tmp_path}")[0]}
    assert labels == {"train", "val", "Test", "owl"}
