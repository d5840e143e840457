"""Zero-shot naming: the classifier is open_clip's, and a perfect model names everything."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evaluation.stubs import oracle
from open_clip import build_zero_shot_classifier

from xfm.data.world.grammar import templates
from xfm.tasks import EvalContext
from xfm.tasks.world import object_naming


def test_the_classes_are_those_of_open_clips_classifier(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    class Texts(list[str]):
        def to(self, device: object) -> "Texts":
            return self

    tower: Any = SimpleNamespace(encode_text=lambda texts, normalize: context.text_features(texts))
    names = context.world.names
    filled = [lambda name, i=i: templates(name)[i] for i in range(len(templates("")))]
    classes = build_zero_shot_classifier(tower, Texts, names, filled, num_classes_per_batch=None)
    scenes = [context.scene("naming", i, concepts=(c,)) for c in context.world.pool("test") for i in range(4)]
    right = (context.image_features(scenes) @ classes).argmax(1).numpy() == np.arange(100).repeat(4)
    assert object_naming.score(context)[0].value == right.mean()


def test_who_knows_names_everything(context: EvalContext) -> None:
    results = object_naming.score(oracle(context))
    assert [(r.task, r.value, r.n, r.baseline, r.split) for r in results] == [
        ("naming", 1.0, 400, 0.01, "test"),
        ("naming (unseen concepts)", 1.0, 400, 0.02, "unseen_concepts"),
    ]
