"""`xfm data check`: every fault that a test plants is found with its line; what is whole is said to be."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hostile_pictures import BAD
from photographs import captions, photograph, photographs, table
from PIL import Image

from xfm import pretrain, recipes
from xfm.check.source_check import check, write_page
from xfm.cli import main, parse
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource
from xfm.files.sizing import own


def test_whole_data_are_usable_and_a_near_copy_in_another_split_is_said(tmp_path: Path) -> None:
    found = check(captions(tmp_path, 40), progress=False)
    assert (found.rows, found.pictures, found.captions, found.phrases) == (40, 40, 40, 0)
    assert found.usable and not found.findings and found.verdict == "usable: no problem found"
    assert sum(found.splits.values()) == 40 and found.sides == [(60, 40)] * 40
    texts = ["кошка на окне", "猫が窓にいる", "a cat", "the same", "so " * 200]
    rows = [f"{i}.png,{texts[i % 5]}{'' if i % 5 == 3 else i}" for i in range(40)]
    found = check(table(tmp_path, rows), progress=False)
    assert {"Latin", "Cyrillic", "Cjk", "Hiragana"} <= set(found.scripts)
    assert found.longest <= 64 and " are cut at " in found.lines()
    (shared,) = (f for f in found.findings if f.kind == "shared caption")
    assert shared.where.endswith(":5") and "'the same' is of 8 pictures" in shared.what and found.usable
    rows = [f"{i}.png,picture {i},{'test' if i < 4 else 'train'}" for i in range(33)]
    photograph(2).save(tmp_path / "near.jpg", quality=95)
    found = check(table(tmp_path, [*rows, "near.jpg,nearly,train"], "image,caption,split"), progress=False)
    said = [(finding.kind, finding.where, finding.what) for finding in found.findings]
    assert said == [("near duplicate across splits", "captions.csv:35", "near.jpg (train) and 2.png (test)")]


def test_every_fault_is_found_with_its_line(tmp_path: Path) -> None:
    rows = [f"{n},picture number {i},," for i, n in enumerate(photographs(tmp_path, 300))]
    planted = {
        "equal.png": photograph(7), "again.bmp": photograph(9), "tiny.png": photograph(1001).resize((24, 20)),
        "resized.jpg": photograph(8).resize((90, 60)), "long.png": photograph(1002).resize((500, 60)),
        "boxed.png": photograph(1003), "shares.png": photograph(1004),
    }  # fmt: skip
    for name, picture in planted.items():
        picture.save(tmp_path / name)
    (tmp_path / "cut.jpg").write_bytes(BAD["half.jpg"])
    faults = {
        "equal.png,a copy,,": "duplicate", "again.bmp,other bytes of the same pixels,,": "duplicate",
        "resized.jpg,the same smaller,,": "near duplicate", "tiny.png,so small,,": "small picture",
        "long.png,so long,,": "long picture", "boxed.png,with a box,thing,50 30 20 20": "box outside",
        "shares.png,a box in shares of the sides,thing,25 15 0.4 0.3": "tiny box",
        "cut.jpg,half of it,,": "unreadable", "0.png,,,": "empty caption", "nowhere.png,lost,,": "no such file",
        "../../etc/hostname,outside,,": "outside the folder", "0.png,no number,thing,a b c d": "no box",
    }  # fmt: skip
    found = check(table(tmp_path, [*rows, *faults], "image,caption,phrase,box"), progress=False)
    assert found.usable, found.stopped
    for line, kind in enumerate(faults.values(), 302):
        kinds = {f.kind.removesuffix(" across splits") for f in found.findings if f.where == f"captions.csv:{line}"}
        assert kinds == {kind}, (line, kind, kinds)
    assert len({f.where for f in found.findings}) == len(faults) and found.refused == 5


def test_the_page_shows_text_as_text_and_needs_nothing_else(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [f'"{n}","{evil} {i} \u202e"' for i, n in enumerate(photographs(tmp_path, 12))]
    found = check(table(tmp_path, [*rows, f'"{evil}.png","lost"']), progress=False)
    page = write_page(found, tmp_path / "page.html").read_text("utf-8")
    assert "<script" not in page and "<img src=x" not in page and "\u202e" not in page
    assert "&lt;script&gt;" in page and page.count("data:image/jpeg;base64,") == 12
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_prints_a_verdict_and_says_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    spec, good, out = captions(tmp_path / "a", 20), captions(tmp_path / "b", 20), tmp_path / "page.html"
    for i in range(2):
        (tmp_path / f"a/{i}.png").write_bytes(b"damaged" + bytes([i]))
    with pytest.raises(SystemExit, match="2 of 3 cannot be trained on"):
        main(["data", "check", spec, str(tmp_path / "nowhere.csv"), good, "--out", str(out)])
    said = capsys.readouterr()
    assert "nowhere.csv: not usable: " in said.err and "not usable: 2 of 20 pictures cannot be read" in said.out
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
    source, fresh = FileSource(spec, 48, 0.0), FileSource(spec, 48, 0.0)
    keys = [ItemKey("train", 0, step, i) for step in range(4) for i in range(16)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(source.regions(key).regions for key in keys) and not source.skipped
    # whether a process has met one as a region changes nothing: a resume is exact
    assert all((source.image(key) == fresh.image(key)).all() for key in keys) and source.missed() == {}
    for split in ("train", "validation", "test"):  # an evaluation has each once: one in another's place counts twice
        asked = [example.regions[0].text for example in source.with_boxes().examples(split, 99)]
        assert sorted(asked) == sorted(f"the thing {i}" for i in source.splits[split] if i % 4) and len(asked) > 1
        assert asked[:1] == [example.regions[0].text for example in source.with_boxes().examples(split, 1)]


def trains(config: RunConfig, root: Path) -> bool:
    short = {"train.steps": 2, "train.warmup": 1, "data.workers": 0, "train.validate_every": 0}
    return all(np.isfinite(r["loss"]) for r in pretrain(config.replace(short), root))


def test_a_recipe_for_few_pictures_trains(tmp_path: Path) -> None:
    sized = own([captions(tmp_path, 40)])
    config = sized.config
    assert config.data.pairs <= 32 and config.data.regions == 0 and config.data.augment.crop < 1
    assert "Off, as the data have none: regions" in sized.picked and "hardly above chance" in sized.expect
    # six are as few as a split into three takes; of two pairs to train on there is one shard
    config = own([captions(tmp_path, 6)]).config
    assert 2 * config.train.shards <= config.data.pairs < 2 * recipes.demo().train.shards
    assert trains(config, tmp_path / "runs")


@pytest.mark.parametrize(("pictures", "recipe", "side"), [(50, "demo", 64), (3000, "small", 96), (10**5, "base", 224)])
def test_sizes_grow_with_the_number_of_pictures(pictures: int, recipe: str, side: int, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(FileSource, "pictures", lambda self, split: pictures)
    vision = own([captions(tmp_path)]).config.model.vision
    assert (vision.width, vision.image_size) == (recipes.get(recipe).model.vision.width, side)


def test_texts_decide_the_lengths_and_the_vocabulary(tmp_path: Path) -> None:
    names = photographs(tmp_path, 40)
    words = [" ".join(f"word{i}{j}" for j in range(20)) for i in range(40)]
    short = own([table(tmp_path, [f"{n},a cat" for n in names], name="short.csv")]).config
    long = own([table(tmp_path, [f"{n},{text}" for n, text in zip(names, words, strict=True)], name="long.csv")]).config
    assert short.data.caption_tokens == 8 < 20 < long.data.caption_tokens <= 64
    assert short.model.text.vocabulary < long.model.text.vocabulary
    for config in (short, long):
        assert dataset(config).tokenizer().vocabulary == config.model.text.vocabulary  # what the corpus gives


def test_pictures_or_texts_alone_are_checked_and_a_recipe_too(tmp_path: Path) -> None:
    """Their own outputs, which nothing else shapes, would all become the same: MIM predicts pixels."""
    photographs(tmp_path / "photos", 40)
    spec = f"folder:{tmp_path / 'photos'}"
    assert check(spec, progress=False).verdict == "usable: no problem found"
    sized = own([spec])
    assert "Off, as the data have none: pairs, regions, texts" in sized.picked and "no retrieval" in sized.expect
    texts = tmp_path / "a.txt"
    texts.write_text("\n".join(f"sentence number {i}" for i in range(50)), "utf-8")
    assert "nothing ties language to vision" in own([str(texts)]).expect
    for each in (sized, own([spec, str(texts)])):
        assert (each.config.flow.mim_target, each.config.objectives["mim"].start) == ("pixels", 0)
        assert "MIM predicts pixels, as no other loss teaches the vision encoder" in each.picked
    assert own([captions(tmp_path, 40)]).config.flow.mim_target == "self"
    assert trains(sized.config, tmp_path / "runs")


def test_the_command_says_what_it_picked_and_takes_changes(tmp_path: Path, capsys, monkeypatch) -> None:
    spec = captions(tmp_path, 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def own_of(*words: str) -> RunConfig:
        return parse(["pretrain", "own", *words]).config  # type: ignore[union-attr]

    config = own_of("--data", "captions.csv", "--train.steps", "7", "--seed", "3")
    assert (config.data.sources, config.train.steps, config.seed) == ((spec,), 7, 3)
    assert "Picked: the sizes of demo" in capsys.readouterr().out
    several = own_of("--data", "csv:~/captions.csv", f"csv:{spec}", "--data.weights", "2", "1").data
    assert several.sources == (f"csv:{spec}",) * 2 and several.weights == (2.0, 1.0)
    with pytest.raises(SystemExit, match=r"--data captions\.csv"):
        main(["pretrain", "own"])
