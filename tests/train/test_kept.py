"""`train.keep`: the weights of earlier steps stay in the run's folder, for views that slide through a run."""

import pytest
import torch
from train.conftest import left

import xfm
import xfm_widgets as xw
from xfm.config import ConfigError
from xfm.lab import Lab
from xfm.train import Run, RunError, pretrain

KEEP = {"train.steps": 5, "train.save_every": 5, "train.validate_every": 0, "train.keep": 2}


@pytest.fixture(scope="module")
def kept(config, tmp_path_factory):
    return left(config.replace(KEEP), tmp_path_factory.mktemp("kept"), 5)


def weights(run: Run, step: int | None = None) -> torch.Tensor:
    return torch.cat([p.flatten() for p in run.model(step).state_dict().values()])


def test_weights_are_kept_from_the_start_to_the_end(kept, config, tmp_path):
    assert kept.kept() == [0, 2, 4, 5] and kept.damaged() == []
    assert {p.name for p in kept.folder.glob("step*")} == {f"step00000{n}.safetensors" for n in (0, 2, 4)}
    assert torch.equal(weights(kept, 5), weights(kept)) and not torch.equal(weights(kept, 0), weights(kept, 2))
    stopped = left(config.replace(KEEP | {"train.keep": 0}), tmp_path, 1)
    assert torch.equal(weights(stopped), weights(kept, 2)) and stopped.kept() == []


def test_a_resumed_run_keeps_the_same(kept, tmp_path):
    again = left(kept.config, tmp_path, 2)
    assert again.kept() == [0, 2]
    again.keep_weights({"later": torch.zeros(1)}, 4)  # as a kill between two saves leaves it, of steps to be done again
    assert len([*pretrain(kept.config, tmp_path)]) == 2
    assert again.kept() == [0, 2, 4, 5] and again.damaged() == []
    assert all(torch.equal(weights(again, step), weights(kept, step)) for step in kept.kept())
    again.tidy(again.model(0), 1)
    assert again.kept() == [0], "what is kept after the last save goes"


def test_a_step_that_is_not_there_and_a_damaged_copy_are_refused(kept, tmp_path):
    with pytest.raises(ConfigError, match=r"step = 3: must be one of 0, 2, 4, 5"):
        kept.model(3)
    one = Run.of(kept.config, tmp_path)
    one.make()
    one.claim()
    one.keep_weights(kept.model(0).state_dict(), 2)
    path = one.folder / "step000002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match="step000002"):
        one.model(2)


def test_the_attention_view_slides_through_the_kept_steps(kept):
    lab = Lab(kept)
    scene = lab.scene(0)
    traces = lab.traces(scene.image, scene.text)
    view = xw.TraceExplorer(traces)
    assert list(view.payload["labels"]) == ["0", "2", "4", "5"] and (view.a, view.b) == ("0", "5")
    last = lab.trace(scene.image, scene.text)
    view.a = "5"
    torch.testing.assert_close(view.weights(), last.maps["cross"].weights[0, 0])
    assert traces[0].scores != traces[5].scores
    with pytest.raises(ConfigError, match=r"train.keep = 0: must be 1 or more"):
        Lab(Run(kept.folder / "none", kept.config.replace({"train.keep": 0}))).traces(scene.image, scene.text)


def test_it_is_off_by_default():
    assert xfm.recipes.get("demo").train.keep == 0
