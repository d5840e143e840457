"""Single answers: what is called right or wrong is so by ground truth, in the order of the questions."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from xfm.config import RunConfig
from xfm.data.tokenizer import Tokenizer
from xfm.data.world.grammar import plural
from xfm.data.world.scenes import Scene
from xfm.model import XFM
from xfm.objectives.bbp import corners
from xfm.tasks import EvalContext, examples
from xfm.tasks.failure_examples import right_and_wrong

N = 12


@given(st.lists(st.booleans()), st.integers(0, 5))
def test_of_both_kinds_the_first_are_shown(kinds: list[bool], n: int) -> None:
    answers = [SimpleNamespace(right=kind, place=i) for i, kind in enumerate(kinds)]
    right, wrong = right_and_wrong(answers, n)
    assert [a.place for a in right] == [i for i, kind in enumerate(kinds) if kind][:n]
    assert [a.place for a in wrong] == [i for i, kind in enumerate(kinds) if not kind][:n]


@pytest.fixture
def scene_of(context: EvalContext) -> Callable[[np.ndarray, str], Scene]:
    def find(image: np.ndarray, task: str) -> Scene:
        (found,) = [s for s in context.scenes(task, 80) if np.array_equal(s.image, image)]
        return found

    return find


def test_a_caption_is_right_where_none_is_nearer(few, model, config, tokenizer, context) -> None:
    shown = examples(model, config, tokenizer, n=24).retrieval
    texts = [r.caption for r in shown]
    scenes = [SimpleNamespace(image=r.image) for r in shown]
    cosine = context.image_features(scenes) @ context.text_features(texts).T  # type: ignore[arg-type]
    for i, r in enumerate(shown):
        nearer = int((cosine[i] > cosine[i, i]).sum())
        assert r.rank == nearer and r.right == (nearer == 0)
    assert not all(r.right for r in shown)  # untrained


def test_a_box_is_right_where_it_covers_the_object_that_the_phrase_names(
    few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer, scene_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def boxes(self: EvalContext, scenes: list[Scene], phrases: list[str], owner: torch.Tensor) -> torch.Tensor:
        """True in every other picture, one and a half objects aside in the others."""
        true = torch.tensor([o.box for s in scenes for o in s.objects])
        aside = torch.stack([1.5 * true[:, 2], *torch.zeros(3, len(true))], 1) * (owner % 2)[:, None]
        return true + aside

    monkeypatch.setattr(EvalContext, "boxes", boxes)
    shown = examples(model, config, tokenizer, n=N).grounding
    assert [g.right for g in shown] == [i % 2 == 0 for i in range(N)]
    for g in shown:
        scene = scene_of(g.image, "grounding")
        named = scene.objects[[p.text for p in scene.phrases].index(g.phrase)]
        assert len(scene.objects) > 1 and g.true == pytest.approx(named.box)
        predicted, true = (corners(torch.tensor([box])) for box in (g.predicted, named.box))
        iou = box_iou(predicted, true).item()
        assert g.iou == pytest.approx(iou, abs=1e-5) and g.right == (iou >= 0.5)


def test_a_name_is_right_where_the_likeliest_word_stood_there(few, model, config, tokenizer, scene_of, monkeypatch):
    asked = EvalContext.top_tokens

    def guesses(self, scenes, masked, places, picture, text) -> Any:
        """The model's, but for every other text beside its own picture: there they begin with what stood there."""
        tokens, probabilities = asked(self, scenes, masked, places, picture, text)
        for row in range(0, len(masked), 2):
            whole = tokenizer.encode(scenes[int(picture[row])].caption.text, config.data.caption_tokens)
            tokens[row, 0, 0] = whole[places[row][0]]
        return tokens, probabilities

    monkeypatch.setattr(EvalContext, "top_tokens", guesses)
    shown = examples(model, config, tokenizer, n=N).words
    assert {w.right for w in shown} == {True, False}
    for w in shown:
        scene = scene_of(w.image, "imlm")
        assert w.caption.replace("____", w.word) == scene.caption.text
        assert w.right == (w.guesses[0][0].strip() == w.word)
        assert w.word in {word for thing in scene.caption.things for word in (thing.name, plural(thing.name))}
