"""The recipe for own data fits what the data are, says what it picked, and trains."""

from pathlib import Path

import numpy as np
import pytest
from photographs import captions, photographs, table

from xfm import pretrain, recipes
from xfm.check.source_check import check
from xfm.cli import main, parse
from xfm.cli.pretrain_command import Pretrain
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.files.file_source import FileSource
from xfm.files.sizing import own


def trains(config: RunConfig, root: Path) -> list[dict]:
    short = {"train.steps": 2, "train.warmup": 1, "data.workers": 0, "train.validate_every": 0}
    records = list(pretrain(config.replace(short), root))
    assert np.isfinite([r["loss"] for r in records]).all()
    return records


def test_a_recipe_for_few_pictures_is_the_demos_size_and_trains(tmp_path: Path) -> None:
    sized = own([captions(tmp_path, 40)])
    config = sized.config
    assert config.model.vision.width == recipes.demo().model.vision.width and config.model.vision.image_size == 64
    assert config.data.pairs <= 32 and config.data.regions == 0 and config.data.augment.crop < 1
    assert "Off, as the data have none: regions" in sized.picked and "hardly above chance" in sized.expect
    # six are as few as a split into three takes; of two pairs to train on there is one shard
    config = own([captions(tmp_path, 6)]).config
    assert 2 * config.train.shards <= config.data.pairs < 2 * recipes.demo().train.shards
    trains(config, tmp_path / "runs")


@pytest.mark.parametrize(("pictures", "recipe", "side"), [(50, "demo", 64), (3000, "small", 96), (10**5, "base", 224)])
def test_sizes_grow_with_the_number_of_pictures(pictures: int, recipe: str, side: int, tmp_path, monkeypatch) -> None:
    spec = captions(tmp_path)
    monkeypatch.setattr(FileSource, "pictures", lambda self, split: pictures)
    config = own([spec]).config
    vision = config.model.vision
    assert (vision.width, vision.image_size) == (recipes.get(recipe).model.vision.width, side)
    assert 0.35 < config.data.mask.image_patches / vision.patches < 0.42


def test_texts_decide_the_lengths_and_the_vocabulary(tmp_path: Path) -> None:
    names = photographs(tmp_path, 40)
    words = [" ".join(f"word{i}{j}" for j in range(20)) for i in range(40)]
    short = own([table(tmp_path, [f"{n},a cat" for n in names], name="short.csv")]).config
    long = own([table(tmp_path, [f"{n},{text}" for n, text in zip(names, words, strict=True)], name="long.csv")]).config
    assert short.data.caption_tokens == 8 < 20 < long.data.caption_tokens <= 64
    assert short.model.text.vocabulary < long.model.text.vocabulary
    for config in (short, long):
        assert dataset(config).tokenizer().vocabulary == config.model.text.vocabulary  # what the corpus gives


def test_pictures_alone_are_checked_and_a_recipe_too(tmp_path: Path) -> None:
    """Their own outputs, which nothing else shapes, would all become the same: MIM predicts pixels."""
    photographs(tmp_path / "photos", 40)
    spec = f"folder:{tmp_path / 'photos'}"
    assert check(spec, progress=False).verdict == "usable: no problem found"
    sized = own([spec])
    assert "Off, as the data have none: pairs, regions, texts" in sized.picked and "no retrieval" in sized.expect
    (tmp_path / "a.txt").write_text("\n".join(f"sentence number {i}" for i in range(50)), "utf-8")
    for each in (sized, own([spec, str(tmp_path / "a.txt")])):
        assert (each.config.flow.mim_target, each.config.objectives["mim"].start) == ("pixels", 0)
        assert "MIM predicts pixels, as no other loss teaches the vision encoder" in each.picked
    assert own([captions(tmp_path, 40)]).config.flow.mim_target == "self"
    assert all(record["images/mim"] > 0 for record in trains(sized.config, tmp_path / "runs"))


def test_texts_alone_are_a_recipe_too(tmp_path: Path) -> None:
    for count in (50, 2000):
        (tmp_path / "a.txt").write_text("\n".join(f"sentence number {i}" for i in range(count)), "utf-8")
        sized = own([spec := str(tmp_path / "a.txt")])
        data, texts = sized.config.data, len(FileSource(spec, 48).texts("train"))
        assert not (data.pairs or data.images or data.regions) and "nothing ties language to vision" in sized.expect
        assert sized.config.train.steps == max(300, 30 * texts // data.texts)
        assert (sized.config.train.steps > 300) == (count > 50)


def test_rows_of_a_test_split_alone_are_refused_as_the_check_says(tmp_path: Path) -> None:
    rows = [f"{name},picture {i},test" for i, name in enumerate(photographs(tmp_path, 20))]
    spec = table(tmp_path, rows, "image,caption,split")
    with pytest.raises(ConfigError, match=r"no stream has rows of every split \(train 0, validation 0, test 20\)"):
        own([spec])
    assert "nothing to train" in (found := check(spec, progress=False)).verdict and not found.usable


def test_the_command_says_what_it_picked_and_takes_changes(tmp_path: Path, capsys, monkeypatch) -> None:
    spec = captions(tmp_path, 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def own_of(*words: str) -> RunConfig:
        command = parse(["pretrain", "own", *words])
        assert isinstance(command, Pretrain)
        return command.config

    config = own_of("--data", "captions.csv", "--train.steps", "7", "--seed", "3")
    assert (config.data.sources, config.train.steps, config.seed) == ((spec,), 7, 3)
    assert "Picked: the sizes of demo" in capsys.readouterr().out
    several = own_of("--data", "csv:~/captions.csv", f"csv:{spec}", "--data.weights", "2", "1").data
    assert several.sources == (f"csv:{spec}",) * 2 and several.weights == (2.0, 1.0)
    for words, said in (([], "--data captions.csv"), (["--data", "nowhere"], "no such file")):
        with pytest.raises(SystemExit, match=said):
            main(["pretrain", "own", *words])
    with open(tmp_path / "captions.csv", "a", encoding="utf-8") as rows:
        rows.write("no.png\nneither.png\n")
    with pytest.raises(ConfigError, match=r"2 of 22 rows cannot be used, more than data.unreadable = 0\.02 allows"):
        own_of("--data=captions.csv")
    with pytest.warns(UserWarning, match="2 of 22 rows are left out"):
        assert own_of("--data", "~/captions.csv", "--data.unreadable=0.2").data.unreadable == 0.2
