"""One handle on a trained model, and what it says to what it cannot open."""

from pathlib import Path

import pytest
import torch

import xfm
from xfm import explain
from xfm.config import ConfigError
from xfm.tasks import evaluate_run
from xfm.train import RunError


@pytest.fixture(scope="module")
def lab() -> xfm.Lab:
    return xfm.load("demo")


def test_it_is_the_run_with_all_that_belongs_to_it(lab: xfm.Lab) -> None:
    assert lab.config == lab.run.config and lab.tokenizer.vocabulary == lab.config.model.text.vocabulary
    assert lab.model is lab.model and not lab.model.training
    assert lab.scene(9).text == lab.data.world.scene("test", 9).text
    assert len(lab.scene(3, "validation", objects=2).objects) == 2 and lab.evaluate() == evaluate_run(lab.run.folder)
    assert "demo" in repr(lab)


def test_it_traces_and_attributes_like_the_functions(lab: xfm.Lab) -> None:
    scene = lab.scene(9)
    seen = lab.trace(scene.image, scene.text, target="itm")
    expected = explain.trace(lab.model, lab.tokenizer, scene.image, scene.text, target="itm")
    assert torch.equal(seen.maps["cross"].weights, expected.maps["cross"].weights) and seen.scores == expected.scores
    inputs = explain.scene_inputs(lab.model, lab.tokenizer, scene, "itm", 0)
    own = lab.attribute(scene, method="ablation", about=0)
    assert torch.equal(own.patches, explain.attribute(inputs, "ablation").patches)
    assert own.target == "itm" and own.method == "ablation"


def test_what_is_neither_checkpoint_nor_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"demmo.* is neither a run folder nor a bundled checkpoint .*mean .demo."):
        xfm.load("demmo")
    with pytest.raises(RunError, match=r"no run here \(no config.json\)"):
        xfm.load(tmp_path)
    for wrong in (None, b"demo", Path("nowhere"), "x" * 10_000_000, "a\0b", "\ud800"):
        with pytest.raises(ConfigError) as error:
            xfm.load(wrong)  # type: ignore[arg-type]
        assert len(str(error.value)) < 500 and str(error.value).isprintable()


def test_a_scene_has_a_number(lab: xfm.Lab) -> None:
    for index in (-1, -(10**400), 1.0, None):
        with pytest.raises(ConfigError, match=r"^index = .*: must be a whole number"):
            lab.scene(index)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"^seed = .*: must be a whole number"):
            lab.scene(9, seed=index)  # type: ignore[arg-type]
