"""The survey's protocols of recognition: zero-shot as written out by hand, few-shot of the few alone, on ours and on a
guest; prompts that say what a picture has, and what it has not."""

import numpy as np
import pytest
import torch

import xfm
from xfm.config import ConfigError
from xfm.tasks.finetuning.image_recognition import Recognition, recognition, zero_shot
from xfm.tasks.own.picture_tasks import FinePrompts, PromptHead


@pytest.fixture(scope="module")
def lab() -> xfm.Lab:
    return xfm.load("demo")


class Axes:
    """A dual encoder that sees what is there: a picture of value v and the text "v" share an axis."""

    def features_of_images(self, images) -> torch.Tensor:
        return torch.eye(8)[[int(image[0, 0, 0]) for image in images]]

    def features_of_texts(self, texts) -> torch.Tensor:
        return torch.eye(8)[[int(text.split()[-1]) for text in texts]]


def flat(values: list[int]) -> tuple[list[np.ndarray], list[int]]:
    return [np.full((4, 4, 3), value, np.uint8) for value in values], values


def test_who_sees_everything_is_always_right() -> None:
    rows = recognition(Axes(), "01234567", flat([*range(8)] * 20), flat([*range(8)]), lambda n: (n, f"a {n}"), (1, 2))
    assert [r.value for r in rows] == [1.0] * 5 and {r.baseline for r in rows} == {1 / 8}
    tasks = ["zero-shot one prompt", "zero-shot ensemble", *(f"few-shot {n} a class" for n in (1, 2))]
    assert [f"{r.task} {r.condition}" for r in rows] == [*tasks, "linear probe all 160"]


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_of_so_few_that_none_can_be_held_out_a_probe_is_fitted_all_the_same(classes: int) -> None:
    names = "0123"[:classes]
    rows = recognition(Axes(), names, flat([*range(classes)] * 4), flat([*range(classes)]), shots=(1, 2, 4))
    assert [r.value for r in rows if r.task == "few-shot"] == [1.0] * 3


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"test labels = \[3\].*from 0 to 1"):
        recognition(Axes(), "01", flat([0, 1]), flat([3]))


def test_zero_shot_is_the_evaluations_naming(lab: xfm.Lab) -> None:
    from xfm.tasks.context import EvalContext
    from xfm.tasks.world import object_naming

    context, world = EvalContext(lab.model, lab.config, lab.tokenizer, "test", 0), lab.data.world
    right = object_naming.classify(context, "naming", world.names, 1)
    images = [context.scene("naming", 0, concepts=(c,)).image for c in world.pool("test")]
    encoder = Recognition(context)
    said = zero_shot(encoder, encoder.features_of_images(images), world.names)
    assert ((said == np.arange(len(images))) == right).all()
    assert right.mean() > 0.9


def test_prompts_of_what_a_picture_has_and_has_not(lab: xfm.Lab) -> None:
    task = FinePrompts(lab.config, lab.tokenizer)
    items = task.items("test", 16)
    assert {item.target for item in items} <= {*task.labels} and len(task.families) > 2
    batch = task.batch(items, torch.device("cpu"))
    head = PromptHead(lab.model)
    with torch.inference_mode():
        classes, pairs = task._logits(lab.model, head, batch)
        ids = [lab.tokenizer.encode(f"a picture of a {name}", 32) for name in task.labels]
        alone, mask = lab.tokenizer.pad(ids)
        again = head(lab.model, batch.images[0], alone, mask)
    assert classes.shape == (16, len(task.labels)) and pairs.shape == (16, len(task.families), 2)
    assert torch.allclose(classes, again, atol=1e-4)
    right = [a.value == i.target for a, i in zip(task.predict(lab.model, head, batch), items, strict=True)]
    assert np.mean(right) > 0.8, "the checkpoint names them before it is fine-tuned"
