"""Every format gives the same pictures, texts, boxes and splits wherever it lies; every bad row is named, none used."""

import io
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import captions, coco, photograph, photographs, shout, table, write_json
from PIL import Image

from xfm import recipes
from xfm.base.images import decode
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.files.file_source import FileSource
from xfm.files.readers import READERS, collected, row_count
from xfm.files.readers.records import PICTURES
from xfm.files.readers.tar_shards import expand

BOX = [6, 4, 30, 20]


def sheet(name: str, delimiter: str = ",", box: str = '"6, 4, 30, 20"') -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        rows = [(n, f"picture {i}", f"thing {i}", box) for i, n in enumerate(photographs(folder))]
        return table(folder, [*map(delimiter.join, rows)], delimiter.join(("image", "caption", "phrase", "box")), name)

    return make


def jsonl(folder: Path) -> str:
    rows = [
        {"image": n, "caption": f"picture {i}", "phrase": f"thing {i}", "box": BOX}
        for i, n in enumerate(photographs(folder))
    ]
    (folder / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    return str(folder / "a.jsonl")


def refcoco(folder: Path) -> str:
    names = photographs(folder / "images")
    splits = ["train"] * 8 + ["val"] * 2 + ["testA", "testB"]
    refs = [
        {"file_name": "x.jpg", "image_id": i, "ann_id": i, "split": s, "sentences": [{"sent": f"thing {i}"}]}
        for i, s in enumerate(splits)
    ]
    write_json(folder / "refs.json", refs)
    images = [{"id": i, "file_name": n} for i, n in enumerate(names)]
    boxes = [{"id": i, "bbox": BOX} for i in range(12)]
    write_json(folder / "instances.json", {"images": images, "annotations": boxes})
    return str(folder / "refs.json")


def visual_genome(folder: Path) -> str:
    photographs(folder / "VG_100K", 6, "{}.jpg")
    photographs(folder / "VG_100K_2", 12, "{}.jpg")
    for i in range(6):
        (folder / "VG_100K_2" / f"{i}.jpg").unlink()
    side = dict(zip(("x", "y", "width", "height"), BOX, strict=True))
    tree = [{"id": i, "regions": [{"phrase": f"thing {i}", "image_id": i, **side}]} for i in range(12)]
    write_json(folder / "region_descriptions.json", tree)
    return f"vg:{folder}"


def karpathy(folder: Path) -> str:
    splits = ["train"] * 6 + ["restval"] * 2 + ["val"] * 2 + ["test"] * 2
    images = [
        {"filename": n, "filepath": "val2014", "split": splits[i], "sentences": [{"raw": f"picture {i}"}]}
        for i, n in enumerate(photographs(folder / "images/val2014"))
    ]
    write_json(folder / "dataset.json", {"images": images})
    return str(folder / "dataset.json")


def labels(folder: Path) -> str:
    for kind in ("red_fox", "owl"):
        photographs(folder / kind, 12 if kind == "owl" else 6)
    for i in range(6):
        (folder / "owl" / f"{i}.png").unlink()
    return str(folder)


def texts(folder: Path) -> str:
    (folder / "a.txt").write_text("\n".join(f"picture {i}\n" for i in range(12)), "utf-8")
    return str(folder / "a.txt")


def shards(folder: Path) -> str:
    names = photographs(folder)
    for shard in range(2):
        with tarfile.open(folder / f"part-{shard:03}.tar", "w") as tar:
            for i in range(6 * shard, 6 * shard + 6):
                tar.add(folder / names[i], f"sample{i}.png")
                text = f"picture {i}" if i % 2 else json.dumps({"caption": f"picture {i}"})
                info = tarfile.TarInfo(f"sample{i}.{'txt' if i % 2 else 'json'}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    return str(folder / "part-{000..001}.tar")


def of_pictures(folder: Path, first: int, count: int) -> Any:
    datasets = pytest.importorskip("datasets")
    names = photographs(folder, first + count)[first:]
    pictures = [{"bytes": (folder / name).read_bytes(), "path": None} for name in names]
    columns = {"image": pictures, "caption": [f"picture {first + i}" for i in range(count)]}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    rows = datasets.table.InMemoryTable.from_pydict(columns, schema=features.arrow_schema)
    return datasets.Dataset(rows, fingerprint="made")


def saved(folder: Path) -> str:
    of_pictures(folder / "pictures", 0, 12).save_to_disk(str(folder / "saved"))
    return str(folder / "saved")


EVERYTHING, PAIRS = {"pairs", "regions", "boxes", "images", "texts"}, {"pairs", "images", "texts"}
FORMATS: dict[str, tuple[Callable[[Path], str], set[str]]] = {
    "csv": (sheet("captions.csv"), EVERYTHING), "tsv": (sheet("captions.tsv", "\t", "6 4 30 20"), EVERYTHING),
    "jsonl": (jsonl, EVERYTHING), "txt": (texts, {"texts"}), "folder": (labels, PAIRS), "coco": (coco, EVERYTHING),
    "refcoco": (refcoco, {"regions", "boxes", "images"}), "vg": (visual_genome, {"regions", "boxes", "images"}),
    "karpathy": (karpathy, PAIRS), "hf": (saved, PAIRS), "shards": (shards, PAIRS),
}  # fmt: skip


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
    "0.png,words,thing,1 2 nan 4": "no box", "0.png,words,thing,1 2 0 4": "no box",
    "0.png,words,thing,1 2 -3 4": "no box", "0.png,words,thing,a b c d": "no box", "0.png,words,,1 2 3 4": "no box",
    "0.png,words,thing,1 2 3 4,sometimes": "unknown split", "0.png,words,thing,1 2 3 4,train,more": "no row",
    "0.png\0,words": "no picture",
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
    with pytest.raises(ConfigError, match=r"19 of 31 rows cannot be used, more than data.unreadable = 0 allows: capti"):
        FileSource(spec, 48)
    with pytest.warns(UserWarning, match=r"19 of 31 rows are left out, as captions.csv:7: "):
        assert FileSource(spec, 48, unreadable=0.7).provides == {"pairs", "images", "texts"}


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


FOLDER = "leads out of the folder of the data: refused. Copy the pictures into that folder, or move"
SLASHES = r"Write its path from there, with / between folders, not \\\. `xfm"


@pytest.mark.parametrize(("written", "hint"), [
    ("{elsewhere}/0.png", FOLDER), ("linked/0.png", FOLDER), (r"photos\0.png", SLASHES), (r"C:\photos\0.png", SLASHES),
])  # fmt: skip
def test_a_path_that_no_row_can_use_is_said_once_and_how_to_write_it(written: str, hint: str, tmp_path: Path) -> None:
    names = photographs(tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    row = written.replace("{elsewhere}", str(tmp_path / "elsewhere"))
    spec = table(tmp_path / "data", [f"{row.replace('0.png', name)},a dog" for name in names])
    with pytest.raises(ConfigError, match=hint) as error:
        FileSource(spec, 48, unreadable=0.02)
    said = str(error.value)
    assert "12 of 12 rows cannot be used: captions.csv:2: " in said and said.count("captions.csv:") == 1
    assert "raise data.unreadable" not in said, "which would not help"


LATIN = "image,caption\nx.png,caf\xe9\n".encode("latin-1")


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.csv", b"", "has no column 'image'"), ("a.csv", b"picture,caption\n", "column = 'picture': must be one of"),
    ("a.csv", b"image,captoin\n", "did you mean 'caption'"), ("a.csv", b"image\nx\n", "neither a column 'caption' nor"),
    ("a.csv", b"image,caption, caption\nx.png,a,b\n", "column = 'caption': must be there once, not 2 times"),
    ("a.csv", LATIN, "a.csv:2: byte 0xe9 is not UTF-8. Save the file as"),
    ("a.csv", b"image,caption\n" + 3000 * b"x.png,a\n" + b"x.png,caf\xe9\n", "a.csv:3002: byte 0xe9"),
    ("a.csv", b'image,"caption\nx.png,a\n', "a.csv:1: stray quote in the header: 'image,\"caption'"),
    ("a.jsonl", b"{}\n\n" + b'{"caption": "\xc3"}\n', "a.jsonl:3: byte 0xc3 is not UTF-8"),
    ("a.txt", b"a dog\n" * 5000 + b"caf\xe9", "a.txt:5001: byte 0xe9 is not UTF-8"),
    ("a.json", b'[\n{"caption": "caf\xe9"}]', "a.json:2: byte 0xe9 is not UTF-8"),
    ("a.json", b"[" * 100_000, "no JSON"), ("a.json", b"{}", "cannot detect the format. Give it explicitly, e.g. csv:"),
    ("a.tar", b"\x1f\x8b rest", "no whole tar file"), ("a.tar", b"", "no whole tar file"),
    ("nowhere.csv", None, "no such file or folder"), ("cooc:.", None, "did you mean 'coco'"),
    ("coco:.", None, "has no captions_"), ("vg:.", None, "region_descriptions.json: cannot be read"),
    (".", None, "has no pictures"), ("x" * 5000, None, "no such file"), ("a\0b", None, "no such file"),
    ("s-{5..1}.tar", None, "ranges that go up, as {000..031}"), ("shards:{a,b}-{001..000}.tar", None, "that go up"),
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
    ("vg", REGIONS, "3.regions.0.phrase", " ", f"{REGIONS}[3].regions[0]: empty phrase"),
    ("karpathy", "dataset.json", "images.0.sentences", "a", "dataset.json[0]: no sentences: sentences = 'a': must"),
    ("karpathy", "dataset.json", "images.1.filename", 5, "dataset.json[1]: no such file: image = 'val2014/5' is"),
    ("refcoco", REFS, "2.sentences", [], f"{REFS}[2]: no sentences: sentences = []: must have one or more"),
    ("refcoco", REFS, "2.split", "later", f"{REFS}[2]: unknown split: split = 'later': must be one of train,"),
    *(("coco", ENTRIES, "annotations.4.image_id", i, f"{ENTRIES}[4]: ") for i in ([1], None, 1.5, "x", 99)),
    ("coco", ENTRIES, "annotations.4.category_id", [1], f"{ENTRIES}[4]: empty phrase: phrase = None"),
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


def test_shards_are_named_by_braces_which_a_file_or_a_folder_may_have(tmp_path: Path) -> None:
    assert expand("a/{008..011}.tar") == ["a/008.tar", "a/009.tar", "a/010.tar", "a/011.tar"]
    assert expand("{x,y}-{1..2}.tar") == ["x-1.tar", "x-2.tar", "y-1.tar", "y-2.tar"]
    braced = Path(captions(tmp_path)).rename(tmp_path / "{0..3}.csv")
    assert len(collected(str(braced))[0]) == 12
    shards(tmp_path)
    for i in range(2):
        (tmp_path / f"part-{i:03}").mkdir()
        (tmp_path / f"part-{i:03}.tar").rename(tmp_path / f"part-{i:03}" / "x.tar")
    assert len(collected(str(tmp_path / "part-{000..001}" / "x.tar"))[0]) == 12
    with pytest.raises(ConfigError, match=r"part-002/x.tar: cannot be read \(No such file"):
        collected(str(tmp_path / "part-{000..002}" / "x.tar"))


def test_a_folder_that_is_not_looked_into_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it would be missed; what is hidden may be what it likes."""
    spec = labels(tmp_path / "data")
    (tmp_path / "data/.hidden").symlink_to(tmp_path)
    assert len(collected(spec)[0]) == 12
    (tmp_path / "data/owl/linked").symlink_to(tmp_path / "data/red_fox")
    with pytest.raises(ConfigError, match=r"data/owl/linked: a link to a folder, which is not followed; put the"):
        FileSource(spec, 48)
    (tmp_path / "data/owl/linked").unlink()
    listed = os.scandir

    def scandir(path: str) -> Any:  # who runs this may be one to whom no folder is closed
        if Path(path).name == "owl":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError, match=r"data/owl: cannot be listed \(Permission denied\)"):
        FileSource(spec, 48)


def packed(folder: Path, *members: tuple[str, str]) -> str:
    """A shard of twelve pictures, 0 to 11, and of the files of the folder under the names given."""
    with tarfile.open(folder / "a.tar", "w") as tar:
        for name in photographs(folder):
            tar.add(folder / name, name)
        for file, name in members:
            tar.add(folder / file, name)
    return str(folder / "a.tar")


def test_what_is_wrong_with_a_sample_of_a_shard_is_named(tmp_path: Path) -> None:
    photographs(tmp_path)
    (tmp_path / "photo.HEIC").write_bytes(b"heic")
    (tmp_path / "words.txt").write_text("a dog\n", "utf-8")
    (tmp_path / "blank.txt").write_text(" ", "utf-8")
    write_json(tmp_path / "fields.json", {"caption": "a dog", "key": "0"})
    twice = (("words.txt", "0.txt"), ("fields.json", "0.json"))  # as img2dataset writes a caption; it counts once
    two, unread, moves = ("3.png", "1.seg.png"), ("photo.HEIC", "x.HEIC"), ("blank.txt", "y\x1b[31m.txt")
    spec = packed(tmp_path, *twice, two, unread, ("words.txt", "x.txt"), ("photo.HEIC", "0.heic"), moves)
    with tarfile.open(spec, "a") as tar:
        for name, kind in (("s.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/hostname"
            tar.addfile(link)
    records, problems = collected(spec)
    assert len(records) == 11 and records[0].captions == ("a dog",)
    assert {*map(str, problems)} == {
        "a.tar:1: no row: 1.seg.png: a second picture of one sample; give it another name up to the first dot",
        "a.tar:x: unknown kind: x.HEIC: pictures of this kind are not read; save it as PNG or JPEG",
        r"a.tar:y\x1b[31m: empty caption: caption = ' ': must be a text",
        *(f"a.tar:{name}: no row: {name}.png: a link; pack the file itself" for name in "sh"),
    }


def test_every_suffix_of_a_picture_is_one_that_is_decoded_and_another_is_named(tmp_path: Path) -> None:
    Image.init()
    written = sorted(suffix for suffix in PICTURES if Image.EXTENSION[suffix] in Image.SAVE)  # by this Pillow
    assert len(written) > 10
    for suffix in written:
        photograph(0).convert("1" if suffix == ".pbm" else "RGB").save(tmp_path / f"{suffix[1:]}{suffix}")
    (tmp_path / "photo.HEIC").write_bytes(b"heic")
    (tmp_path / "png.heic").write_bytes(b"the same as png.png")
    records, problems = collected(f"folder:{tmp_path}")
    assert len(records) == len(written) and [(p.where, p.kind) for p in problems] == [("photo.HEIC", "unknown kind")]
    assert all(record.picture and decode(record.picture.read()).size == (60, 40) for record in records)
    records, problems = collected(table(tmp_path, ["png.png,a dog", "photo.HEIC,a cat"]))
    assert len(records) == 1 and [p.kind for p in problems] == ["unknown kind"]


def test_rows_of_one_picture_are_one_and_what_changed_on_the_disk_is_read_again(tmp_path: Path) -> None:
    names = photographs(tmp_path)
    rows = [f"{n},{text} {i}" for text in ("one", "two") for i, n in enumerate(names)]
    spec = table(tmp_path, rows)
    records, problems = collected(spec)
    assert [r.captions for r in records] == [(f"one {i}", f"two {i}") for i in range(12)] and not problems
    before = FileSource(spec, 48).fingerprint
    table(tmp_path, [row.replace("one 3", "one three") for row in rows])
    assert collected(spec)[0][3].captions[0] == "one three" and FileSource(spec, 48).fingerprint != before


@pytest.mark.parametrize(("last", "delimiter"), [("9.png,a screen of 27 inches", ","), ('9.png,a screen of 27"', "\t")])
def test_a_quote_left_open_costs_its_own_row_alone(last: str, delimiter: str, tmp_path: Path) -> None:
    rows = [f"{name},picture {i}" for i, name in enumerate(photographs(tmp_path))]
    rows[4], rows[9] = '4.png,"a dog', last
    many = [f"{i % 9}.png,again {i}" for i in range(9_000)]  # more than `csv` takes for a cell
    lines = [line.replace(",", delimiter) for line in (*rows, *many)]
    name = "captions.csv" if delimiter == "," else "captions.tsv"
    records, (problem,) = collected(table(tmp_path, lines, f"image{delimiter}caption", name))
    assert str(problem).startswith(f"{name}:6: stray quote: ") and '"a dog' in str(problem)
    assert len(records) == 12 and sum(len(record.captions) for record in records) == 11 + 9_000


@pytest.mark.parametrize("header", ["image,caption", "caption,image"])
def test_a_caption_in_quotes_may_have_line_breaks(header: str, tmp_path: Path) -> None:
    rows = [[name, f'"a dog, ""{i}"",\n\nand a cat,\non a beach"'] for i, name in enumerate(photographs(tmp_path))]
    lines = [",".join(row if header.startswith("image") else row[::-1]) for row in rows]
    records, problems = collected(table(tmp_path, lines, header))
    assert [record.captions for record in records] == [(f'a dog, "{i}", and a cat, on a beach',) for i in range(12)]
    assert not problems and [record.where for record in records[:2]] == ["captions.csv:2", "captions.csv:6"]


def scans(folder: Path, suffix: str, middle: int = 0) -> str:
    """A CSV of twelve pictures whose upper and lower 64 KB are black, all of one time."""
    for i in range(12):
        pixels = np.zeros((512, 512, 3), np.uint8)
        pixels[156:356, 156:356] = np.random.default_rng(i + middle).integers(0, 255, (200, 200, 3))
        Image.fromarray(pixels).save(folder / f"{i}{suffix}")
        os.utime(folder / f"{i}{suffix}", (1e9, 1e9))
    return table(folder, [f"{i}{suffix},slice {i}" for i in range(12)])


@pytest.mark.parametrize("suffix", [".bmp", ".tga"])
def test_plain_margins_do_not_make_pictures_equal(suffix: str, tmp_path: Path) -> None:
    """Nor do one size and one time."""
    spec = scans(tmp_path, suffix)
    before = FileSource(spec, 48)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(12):
            tar.add(tmp_path / f"{i}{suffix}", f"{i}{suffix}")
    assert len(set(before._identities)) == 12 and before._identities == FileSource(f"{tmp_path}/a.tar", 48)._identities
    assert FileSource(spec, 48).fingerprint == before.fingerprint
    scans(tmp_path, suffix, middle=100)
    assert not {*FileSource(spec, 48)._identities} & {*before._identities}


def test_a_split_of_a_saved_dataset_has_its_name_in_any_spelling_or_its_rows_are_named(tmp_path: Path) -> None:
    parts = {"train": (0, 8), "Validation": (8, 2), "test": (10, 2), "extra": (12, 4)}
    made = {name: of_pictures(tmp_path, *part) for name, part in parts.items()}
    pytest.importorskip("datasets").DatasetDict(made).save_to_disk(str(tmp_path / "saved"))
    records, problems = collected(str(tmp_path / "saved"))
    assert Counter(record.split for record in records) == {"train": 8, "validation": 2, "test": 2}
    assert [p.where for p in problems] == [f"saved/extra[{i}]" for i in range(4)]
    assert problems[0].kind == "unknown split" and "split = 'extra': must be one of train," in problems[0].what


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
    said = r"3 of 360 regions are left out, as region_descriptions.json\[0\].regions\[0\]"
    with pytest.warns(UserWarning, match=said):
        assert FileSource(spec, 48, 0.01).pictures("train") == 8
    assert row_count(spec) == 12


def test_folders_of_splits_have_the_labels_inside(tmp_path: Path) -> None:
    """As torchvision's; a folder beside them makes all of them labels again."""
    for split, kind, count in (("train", "owl", 3), ("train", "red_fox", 3), ("val", "owl", 2), ("Test", "owl", 2)):
        photographs(tmp_path / split / kind, count)
    photographs(tmp_path / "train", 1)
    records, problems = collected(f"folder:{tmp_path}")
    found = Counter((record.split, *record.captions) for record in records)
    assert not problems and found == {
        ("train",): 1, ("train", "a photo of a owl"): 3, ("train", "a photo of a red fox"): 3,
        ("validation", "a photo of a owl"): 2, ("test", "a photo of a owl"): 2}  # fmt: skip
    photographs(tmp_path / "owl", 1)
    assert {record.captions for record in collected(f"folder:{tmp_path}")[0]} == {
        (f"a photo of a {label}",) for label in ("train", "val", "Test", "owl")}  # fmt: skip


@pytest.mark.parametrize("pattern", ["shards:{0..99999}{0..99999}.tar", "https://x/{0..999999999}"])
def test_a_pattern_of_too_many_shards_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"data.sources = .*: must be .*at most 100,000 shards"):
        dataset(recipes.smoke().replace({"data.sources": [pattern]}))
