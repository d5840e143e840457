"""`xfm data check`: every fault that a test plants is found with its line; what is whole is said to be."""

import warnings
from pathlib import Path

import pytest
from hostile_pictures import BAD
from photographs import captions, photograph, photographs, table
from PIL import Image

from xfm.check.source_check import check, write_page
from xfm.cli import main
from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource


def test_whole_data_are_usable(tmp_path: Path) -> None:
    found = check(captions(tmp_path, 40), progress=False)
    assert (found.rows, found.pictures, found.captions, found.phrases) == (40, 40, 40, 0)
    assert found.usable and not found.findings and found.verdict == "usable: no problem found"
    assert sum(found.splits.values()) == 40 and len(found.sides) == 40 and found.sides[0] == (60, 40)
    assert found.lengths and max(found.lengths) <= found.longest and set(found.scripts) == {"Latin"}
    texts = ["кошка на окне", "猫が窓にいる", "a cat", "the same", "so " * 200]
    rows = [f"{i}.png,{texts[i % 5]}{'' if i % 5 == 3 else i}" for i in range(40)]
    found = check(table(tmp_path, rows), progress=False)
    assert {"Latin", "Cyrillic", "Cjk", "Hiragana"} <= set(found.scripts)
    assert found.longest <= 64 and " are cut at " in found.lines()
    (shared,) = (f for f in found.findings if f.kind == "shared caption")
    assert shared.where.endswith(":5") and "'the same' is of 8 pictures" in shared.what and found.usable


def planted(folder: Path) -> dict[str, str]:
    """Row -> the kind of finding that it must give, in a table of 300 good ones."""
    photograph(7).save(folder / "equal.png")
    photograph(8).resize((90, 60)).save(folder / "resized.jpg", quality=90)
    photograph(9).save(folder / "again.bmp")
    photograph(1001).resize((24, 20)).save(folder / "tiny.png")
    photograph(1002).resize((500, 60)).save(folder / "long.png")
    for name, number in {"boxed": 1003, "shares": 1004}.items():
        photograph(number).save(folder / f"{name}.png")
    (folder / "cut.jpg").write_bytes(BAD["half.jpg"])
    return {
        "equal.png,a copy,,": "duplicate", "again.bmp,other bytes of the same pixels,,": "duplicate",
        "resized.jpg,the same smaller,,": "near duplicate", "tiny.png,so small,,": "small picture",
        "long.png,so long,,": "long picture", "boxed.png,with a box,thing,50 30 20 20": "box outside",
        "shares.png,a box in shares of the sides,thing,25 15 0.4 0.3": "tiny box",
        "cut.jpg,half of it,,": "unreadable", "0.png,,,": "empty caption", "nowhere.png,lost,,": "no such file",
        "../../etc/hostname,outside,,": "outside the folder", "0.png,no number,thing,a b c d": "no box",
    }  # fmt: skip


def test_every_fault_is_found_with_its_line(tmp_path: Path) -> None:
    rows = [f"{n},picture number {i},," for i, n in enumerate(photographs(tmp_path, 300))]
    faults = planted(tmp_path)
    found = check(table(tmp_path, [*rows, *faults], "image,caption,phrase,box"), progress=False)
    assert found.usable, found.stopped
    for line, kind in enumerate(faults.values(), 302):
        kinds = {f.kind.removesuffix(" across splits") for f in found.findings if f.where == f"captions.csv:{line}"}
        assert kinds == {kind}, (line, kind, kinds)
    assert len({f.where for f in found.findings}) == len(faults) and found.refused == 5
    assert "a box is x, y, width, height in pixels, not in shares of the sides" in found.lines()


def test_a_near_copy_in_another_split_is_said(tmp_path: Path) -> None:
    rows = [f"{n},picture {i},{'test' if i < 4 else 'train'}" for i, n in enumerate(photographs(tmp_path, 30))]
    photograph(2).save(tmp_path / "near.jpg", quality=95)
    for i in range(3):  # one plain colour is no near duplicate of another
        Image.new("RGB", (40, 40), (20 * i, 9, 9)).save(tmp_path / f"plain {i}.png")
        rows.append(f"plain {i}.png,colour {i},train")
    found = check(table(tmp_path, [*rows, "near.jpg,nearly,train"], "image,caption,split"), progress=False)
    said = [(finding.kind, finding.where, finding.what) for finding in found.findings]
    assert said == [("near duplicate across splits", "captions.csv:35", "near.jpg (train) and 2.png (test)")]


def test_the_page_shows_text_as_text_and_needs_nothing_else(tmp_path: Path) -> None:
    names = photographs(tmp_path, 12)
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [f'"{n}","{evil} {i} \u202e"' for i, n in enumerate(names)]
    found = check(table(tmp_path, [*rows, f'"{evil}.png","lost"']), progress=False)
    page = write_page(found, tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page and "<img src=x" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page and page.count("data:image/jpeg;base64,") == 12
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_prints_a_verdict_and_says_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    spec, good, out = captions(tmp_path / "a", 20), captions(tmp_path / "b", 20), tmp_path / "page.html"
    for i in range(2):
        (tmp_path / f"a/{i}.png").write_bytes(b"damaged" + bytes([i]))
    with pytest.raises(SystemExit, match="2 of 3 cannot be trained on"):
        main(["data", "check", spec, str(tmp_path / "nowhere.csv"), good, "--out", str(out)])
    said = capsys.readouterr()
    assert "nowhere.csv: not usable: " in said.err and "no such file or folder" in said.err
    assert "not usable: 2 of 20 pictures cannot be read" in said.out
    assert "usable: no problem found" in said.out, "those that follow are read, too"
    main(["data", "check", good, "--out", str(out)])
    assert out.exists()


def test_boxes_that_the_middle_square_does_not_show_are_said_and_cost_no_training(tmp_path: Path) -> None:
    """Nothing is wrong with such a picture: another takes its place, and none is counted as unreadable."""
    rows = []
    for i in range(40):
        Image.new("RGB", (96, 48), (i, 2 * i, 99)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,the thing {i},{40 if i % 4 else 2} 10 12 12")
    spec = table(tmp_path, rows, "image,phrase,box")
    found = check(spec, progress=False)
    assert found.kinds["box not shown"] == 10 and found.usable and found.refused == 0
    source = FileSource(spec, 48, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [source.regions(ItemKey("train", 0, step, i)) for step in range(3) for i in range(20)]
    assert all(example.regions for example in drawn) and not source.skipped
    fresh = FileSource(spec, 48, 0.0)  # whether a process has met one as a region changes nothing: a resume is exact
    keys = [ItemKey("train", 0, step, i) for step in range(4) for i in range(16)]
    assert all((source.image(key) == fresh.image(key)).all() for key in keys) and source.missed() == {}
    for split in ("train", "validation", "test"):  # an evaluation has each once: one in another's place counts twice
        asked = [example.regions[0].text for example in source.with_boxes().examples(split, 99)]
        assert sorted(asked) == sorted(f"the thing {i}" for i in source.splits[split] if i % 4) and len(asked) > 1
        assert asked[:1] == [example.regions[0].text for example in source.with_boxes().examples(split, 1)]
