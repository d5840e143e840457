"""Alignment: attention on the true box scores 1, equal attention the baseline, and the model's is read as it runs."""

import numpy as np
import pytest
import torch
from evaluation.stubs import Oracle, oracle
from torch import Tensor

from xfm.base import seeding
from xfm.config import RunConfig
from xfm.data.tokenizer import Tokenizer
from xfm.explain import make_inputs
from xfm.explain.faithfulness import pointing_game
from xfm.explain.tracing import capture_attention
from xfm.model import XFM, FusionEncoder
from xfm.objectives import build
from xfm.tasks import EvalContext, evaluate, find_result
from xfm.tasks.world import alignment, grounding

SEVERAL = "alignment (several objects)"


class Looks(Oracle):
    """At the true box alone; its words look everywhere alike."""

    def cross_attention(self, scenes, phrases, owner) -> Tensor:
        covered = alignment.coverage(grounding.questions(scenes)[2], self.config.model.vision.grid)
        first = covered.where(covered == covered.amax(1, keepdim=True), 0.0)
        alike = torch.full_like(covered, 1 / (1 + covered.shape[1]))
        both = torch.stack([first / first.sum(1, keepdim=True), alike], 1)
        return torch.cat([1 - both.sum(-1, keepdim=True), both], -1)


def test_who_looks_at_the_object_is_aligned_and_who_looks_everywhere_is_at_the_baseline(
    few: None, context: EvalContext
) -> None:
    results = alignment.score(oracle(context, Looks))
    for task in ("alignment", SEVERAL):
        for metric in ("mass on the box", "pointing game"):
            first, words = (find_result(results, task, metric, query) for query in alignment.QUERIES)
            assert first.value > 0.9 and words.value == pytest.approx(words.baseline, abs=1e-6)
            assert first.baseline == words.baseline < 0.2 and first.better == "higher"
    other = find_result(results, SEVERAL, "pointing game", "<s>, another object's box")
    assert other.better == "" and other.value < 0.02  # boxes do not overlap, but share patches


def test_a_patch_counts_by_the_pixels_of_it_that_are_in_the_box() -> None:
    rng, side, grid = seeding.rng("coverage"), 48, 6
    for _ in range(50):
        (x1, x2), (y1, y2) = (sorted(rng.choice(side + 1, 2, replace=False)) for _ in "xy")
        truth = np.zeros((side, side), bool)
        truth[y1:y2, x1:x2] = True
        box = torch.tensor([[(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]]) / side
        expected = truth.reshape(grid, 8, grid, 8).mean((1, 3)).ravel()
        covered = alignment.coverage(box.float(), grid)
        np.testing.assert_allclose(covered[0].numpy(), expected, atol=1e-5)
        values = rng.integers(4, size=grid**2)  # with ties
        of_pixels = pointing_game(np.kron(values.reshape(grid, grid), np.ones((8, 8), int)), truth)
        assert alignment.pointed(torch.tensor(values[None]), covered).item() == pytest.approx(of_pixels, abs=1e-5)


@pytest.mark.parametrize("function", ["scaled_dot", "dot", "general", "additive", "cosine"])
def test_the_models_attention_is_what_a_capture_sees_and_leaves_the_model_alone(
    config: RunConfig, tokenizer: Tokenizer, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(config.replace({"model.cross_attention": function})).eval()
    context = EvalContext(model, config, tokenizer)
    scenes = context.scenes("grounding", 6)
    phrases, owner, _ = grounding.questions(scenes)
    ran: list[FusionEncoder] = []
    forward = FusionEncoder.forward
    monkeypatch.setattr(FusionEncoder, "forward", lambda self, *args: ran.append(self) or forward(self, *args))
    with torch.inference_mode():
        weights = context.cross_attention(scenes, phrases, owner)
    assert model.fusion not in ran and ran[0].layers[0].cross.key.weight is model.fusion.layers[0].cross.key.weight
    assert all(layer.cross.tap is None for layer in model.fusion.layers)
    for r, phrase in enumerate(phrases):
        maps, _ = capture_attention(make_inputs(model, tokenizer, scenes[owner[r]].image, phrase), gradients=False)
        expected = maps["cross"].weights.mean((0, 1))
        torch.testing.assert_close(weights[r, 0], expected[0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(weights[r, 1], expected[1:-1].mean(0), rtol=1e-4, atol=1e-6)


def test_a_model_without_fusion_layers_has_none(few: None, config: RunConfig, tokenizer: Tokenizer) -> None:
    blind = dict.fromkeys((f"objectives.{loss}.weight" for loss in ("itm", "imlm", "bbp")), 0.0)
    plain = config.replace({"model.fusion_depth": 0, **blind})
    assert evaluate(build(plain), plain, tokenizer, tasks="alignment") == []


def test_it_runs_beside_other_tasks(few: None, model: XFM, config: RunConfig, tokenizer: Tokenizer) -> None:
    both = evaluate(model, config, tokenizer, tasks=["grounding", "alignment"])
    assert [*evaluate(model, config, tokenizer, tasks="alignment")] == [r for r in both if "alignment" in r.task]
