"""Grounding and alignment: controls and parts are what they say; who looks everywhere alike is at the baseline."""

import numpy as np
import pytest
import torch
from evaluation.stubs import Oracle, oracle
from torch import Tensor
from torchvision.ops import box_iou

from xfm.base import seeding
from xfm.data.source import Region
from xfm.explain import make_inputs
from xfm.explain.faithfulness import pointing_game
from xfm.explain.tracing import capture_attention
from xfm.objectives import build
from xfm.objectives.bbp import corners
from xfm.tasks import EvalContext, find_result
from xfm.tasks.world import alignment, grounding


def test_phrases_are_split_by_size_and_number(few: None, context: EvalContext) -> None:
    results = grounding.score(oracle(context))
    whole = find_result(results, "grounding", "acc@0.5").n
    parts = {r.condition: r.n for r in results if r.task == "grounding (by size and number)"}
    assert parts["big object"] + parts["small object"] == whole > parts["alone"]
    assert sum(parts[name] for name in ("alone", "one of 2", "one of 3", "one of 4")) == whole
    assert find_result(results, "grounding (several objects)", "acc@0.5").n == whole - parts["alone"]
    assert find_result(results, "grounding", "mean IoU").value == pytest.approx(1)


def test_phrases_of_one_box_are_of_one_object_and_one_phrase_of_several_has_no_known_bound(context, add_pictures):
    """As RefCOCO's three sentences an object: of a picture with one object nothing can be swapped."""
    one, two, far = (0.2, 0.2, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2), (0.2, 0.7, 0.2, 0.2)
    owner = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    true = torch.tensor([one, one, one, one, two, two, far])
    thing, number = grounding.objects(owner, true)
    assert number.tolist() == [1, 1, 1, 3, 3, 3, 3] and thing.unique().numel() == 4
    assert grounding.swap(owner, thing).tolist() == [0, 1, 2, 4, 6, 6, 3]
    assert grounding.any_object_box(owner, true).tolist() == pytest.approx([1, 1, 1, *[1 / 3] * 4])
    for again, bound in (("thing", None), ("another thing", 1.0)):
        add_pictures([[Region("thing", one), Region(again, two)]] * 20)
        results = grounding.score(context.with_data({"data.dataset": "pictures"}))
        assert {r.upper_bound for r in results} == {bound}
        assert find_result(results, "grounding (several objects)", "acc@0.5").n == results[0].n > 0


def test_a_box_is_right_from_half_an_overlap() -> None:
    assert grounding.is_correct(torch.tensor([0, 0.01, 0.49, 0.5, 1])).tolist() == [0, 0, 0, 1, 1]
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.3]] * 3 + [[0.7, 0.7, 0.4, 0.4]] * 2)
    best = grounding._best_constant(boxes, grid_alone=True)  # the best of the grid
    assert grounding.is_correct(grounding.box_iou(best.expand(5, 4), boxes)).tolist() == [1, 1, 1, 0, 0]
    a, b = torch.rand(2, 20, 4, generator=seeding.generator("boxes")) * 0.5 + 0.1
    assert torch.allclose(grounding.box_iou(a[:, None], b), box_iou(corners(a), corners(b)), atol=1e-6)


class Looks(Oracle):
    """At the true box alone; its words look everywhere alike."""

    def cross_attention(self, scenes, phrases, owner) -> Tensor:
        covered = alignment.coverage(grounding.questions(scenes)[2], self.config.model.vision.grid)
        first = covered.where(covered == covered.amax(1, keepdim=True), 0.0)
        alike = torch.full_like(covered, 1 / (1 + covered.shape[1]))
        both = torch.stack([first / first.sum(1, keepdim=True), alike], 1)
        return torch.cat([1 - both.sum(-1, keepdim=True), both], -1)


def test_who_looks_at_the_object_is_aligned_and_who_looks_everywhere_is_at_the_baseline(few, context) -> None:
    results, several = alignment.score(oracle(context, Looks)), "alignment (several objects)"
    for task in ("alignment", several):
        for metric in ("mass on the box", "pointing game"):
            first, words = (find_result(results, task, metric, query) for query in alignment.QUERIES)
            assert first.value > 0.9 and words.value == pytest.approx(words.baseline, abs=1e-6)
            assert first.baseline == words.baseline < 0.2 and first.better == "higher"
    other = find_result(results, several, "pointing game", "<s>, another object's box")
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
def test_the_models_attention_is_what_a_capture_sees_and_leaves_the_model_alone(config, tokenizer, function) -> None:
    model = build(config.replace({"model.cross_attention": function})).eval()
    context = EvalContext(model, config, tokenizer)
    scenes = context.scenes("grounding", 6)
    phrases, owner, _ = grounding.questions(scenes)
    with torch.inference_mode():
        weights = context.cross_attention(scenes, phrases, owner)
    assert all(layer.cross.tap is None for layer in model.fusion.layers)
    for r, phrase in enumerate(phrases):
        maps, _ = capture_attention(make_inputs(model, tokenizer, scenes[owner[r]].image, phrase), gradients=False)
        expected = maps["cross"].weights.mean((0, 1))
        both = torch.stack([expected[0], expected[1:-1].mean(0)])
        torch.testing.assert_close(weights[r], both, rtol=1e-4, atol=1e-6)
