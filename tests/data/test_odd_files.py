"""Tables, shards, folders and saved datasets that are not quite as one would write them."""

import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.formats import labels, of_pictures, shards, tar_of
from photographs import captions, photographs, table
from PIL import Image

from xfm.config import ConfigError
from xfm.files.file_source import FileSource
from xfm.files.readers import collected
from xfm.files.readers.tar_shards import expand


def test_shards_are_named_by_braces_which_a_file_or_a_folder_may_have(tmp_path: Path) -> None:
    assert expand("{x,y}-{08..10}.tar") == [f"{a}-{b}.tar" for a in "xy" for b in ("08", "09", "10")]
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
    records, problems = collected(spec)
    assert len(records) == 11 and records[0].captions == ("a dog",)
    assert {*map(str, problems)} == {
        "a.tar:1: no row: 1.seg.png: a second picture of one sample; give it another name up to the first dot",
        "a.tar:x: unknown kind: x.HEIC: pictures of this kind are not read; save it as PNG or JPEG",
        r"a.tar:y\x1b[31m: empty caption: caption = ' ': must be a text",
        *(f"a.tar:{name}: no row: {name}.png: a link; pack the file itself" for name in "sh"),
    }


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


def test_a_caption_in_quotes_may_have_line_breaks(tmp_path: Path) -> None:
    cells = [[name, f'"a dog, ""{i}"",\n\nand a cat,\non a beach"'] for i, name in enumerate(photographs(tmp_path))]
    for header, turn in (("image,caption", 1), ("caption,image", -1)):
        records, problems = collected(table(tmp_path, [",".join(row[::turn]) for row in cells], header))
        assert [r.captions for r in records] == [(f'a dog, "{i}", and a cat, on a beach',) for i in range(12)]
        assert not problems and [record.where for record in records[:2]] == ["captions.csv:2", "captions.csv:6"]


@pytest.mark.parametrize("suffix", [".bmp", ".tga"])
def test_plain_margins_do_not_make_pictures_equal(suffix: str, tmp_path: Path) -> None:
    """Nor do one size and one time."""
    names, seen = [f"{i}{suffix}" for i in range(12)], []
    spec = table(tmp_path, [f"{name},slice {name}" for name in names])
    for middle in (0, 100):
        for i, name in enumerate(names):
            pixels = np.zeros((512, 512, 3), np.uint8)  # of the file the first and the last 64 KB are black
            pixels[156:356, 156:356] = np.random.default_rng(i + middle).integers(0, 255, (200, 200, 3))
            Image.fromarray(pixels).save(tmp_path / name)
            os.utime(tmp_path / name, (1e9, 1e9))
        seen.append(FileSource(spec, 48)._identities)
    assert len({*seen[0], *seen[1]}) == 24
    packed = tar_of(tmp_path / "a.tar", {name: (tmp_path / name).read_bytes() for name in names})
    assert FileSource(packed, 48)._identities == FileSource(spec, 48)._identities == seen[1]


def test_a_split_of_a_saved_dataset_has_its_name_in_any_spelling_or_its_rows_are_named(tmp_path: Path) -> None:
    parts = {"train": (0, 8), "Validation": (8, 2), "test": (10, 2), "extra": (12, 4)}
    made = {name: of_pictures(tmp_path, *part) for name, part in parts.items()}
    pytest.importorskip("datasets").DatasetDict(made).save_to_disk(str(tmp_path / "saved"))
    records, problems = collected(str(tmp_path / "saved"))
    assert Counter(record.split for record in records) == {"train": 8, "validation": 2, "test": 2}
    assert [p.where for p in problems] == [f"saved/extra[{i}]" for i in range(4)]
    assert problems[0].kind == "unknown split"


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
