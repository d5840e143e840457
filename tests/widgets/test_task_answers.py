"""What is explained of a fine-tuned answer: a label's likelihood, or numbers themselves, by every method on offer."""

from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch

import xfm_widgets as xw
from xfm import explain
from xfm.explain.inputs import AttributionInputs
from xfm.lab import CHECKPOINTS
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetuned_model import Tuned, headed
from xfm.tasks.finetuning.task import Item
from xfm.train import Run
from xfm_widgets.task_answers import answer_targets

SIDES = ["box x", "box y", "box width", "box height"]


def tuned_for(task: str, folder: Path) -> tuple[Tuned, Item]:
    """With a head that is new, and a test item."""
    own = {"data": str(own_data.glue(task, folder))} if task == "stsb" else {}
    run = Run.open(CHECKPOINTS / "demo")
    tuned = headed(run.model(), run.config, run.tokenizer(), recipe(task, CHECKPOINTS / "demo", batch=4, **own)).eval()
    return tuned, tuned.task.item("test", 0)


def asked(tuned: Tuned, item: Item, answer: Any) -> list[AttributionInputs]:
    side = tuned.model.config.vision.image_size
    image = item.images[0] if item.images else np.full((side, side, 3), 128, np.uint8)
    pair = image, "</s></s>".join(item.texts) or str(answer)
    targets = answer_targets(tuned, item, answer)
    return [explain.make_inputs(tuned.model, tuned.task.tokenizer, *pair, target) for target in targets]


@pytest.mark.full
@pytest.mark.parametrize(("task", "names"), [("grounding", SIDES), ("stsb", ["similarity"])])
def test_numbers_are_explained_themselves(task: str, names: list[str], tmp_path: Path) -> None:
    """Not their loss, whose gradient is 0 where the model's own answer is right: there maps were of rounding errors,
    others for an answer that was moved by a millionth."""
    tuned, item = tuned_for(task, tmp_path)
    answer = tuned.answers(item.texts, item.images)[0].value
    numbers = [answer] if task == "stsb" else answer
    inputs = asked(tuned, item, answer)
    moved = asked(tuned, item, [n + 1e-6 for n in numbers] if task == "grounding" else answer + 1e-6)
    assert [i.target.name for i in inputs] == names and [i.score() for i in inputs] == pytest.approx(numbers, abs=1e-5)
    for one, other in zip(inputs, moved, strict=True):
        found, again = (explain.attribute(i, "saliency") for i in (one, other))
        assert found.text.max() > 1e-4
        torch.testing.assert_close(found.text, again.text)
        torch.testing.assert_close(found.patches, again.patches)
        whole = torch.zeros(len(one.pieces), dtype=torch.bool)[None]
        hidden = one.masked_scores(torch.ones(1, len(one.patches), dtype=torch.bool), whole).item()
        assert abs(hidden - one.score()) > 1e-4, "it is read from the text"
    units = xw.AttributionLab.of(inputs, ["centre"]).payload["units"]
    assert {*units.values()} == {"share of the picture's side" if task == "grounding" else "points, 0 to 5"}


@pytest.mark.full
@pytest.mark.parametrize("task", ["lexname", "concept", "stsb"])
def test_every_method_that_is_offered_explains_an_answer(task: str, tmp_path: Path) -> None:
    tuned, item = tuned_for(task, tmp_path)
    inputs = asked(tuned, item, tuned.answers(item.texts, item.images)[0].value)[0]
    view = xw.AttributionLab.of(inputs, ["occlusion"])
    offered, slow = view.payload["more"], [name for name in explain.SLOW if name != "shapley"]
    assert {"generic attention", "grad-cam", "saliency", "input x gradient"} <= {*offered, *slow}
    for method in [*offered, *slow]:
        view.add(method)
    gradients = ("saliency", "smoothgrad", "input x gradient", "integrated gradients", "gradient shap", "grad-cam")
    for a in [a for a, _ in view._pairs if a.method in gradients]:
        assert bool(item.texts) or not a.text.any(), a.method
        assert bool(item.images) or not a.patches.any(), a.method
        assert a.method == "grad-cam" or (a.text if item.texts else a.patches).any(), a.method
