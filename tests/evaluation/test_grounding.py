"""Grounding: a perfect model scores 1; control conditions and parts are what they say."""

import numpy as np
import pytest
import torch
from evaluation.stubs import oracle
from torchvision.ops import box_iou

from xfm import recipes
from xfm.base import seeding
from xfm.data import DATASETS, Dataset, dataset
from xfm.data.pair_source import PairSource
from xfm.data.source import Region
from xfm.objectives import build
from xfm.objectives.bbp import corners
from xfm.recipes import LEVELS
from xfm.tasks import EvalContext, find_result
from xfm.tasks.world import grounding


def test_who_knows_grounds_everything(context: EvalContext) -> None:
    results = grounding.score(oracle(context))
    for task in ("grounding", "grounding (several objects)"):
        assert find_result(results, task, "acc@0.5").value == 1
        assert find_result(results, task, "mean IoU").value == pytest.approx(1)
    several = "grounding (several objects)"
    assert find_result(results, several, "acc@0.5", "swapped phrase").value == 0  # boxes do not overlap
    assert find_result(results, "grounding", "acc@0.5").n > find_result(results, several, "acc@0.5").n > 800


def test_the_control_conditions(context: EvalContext) -> None:
    scenes = context.scenes("grounding", 60)
    _, owner, true, _ = grounding.predict(context, scenes)
    each = [len(s.objects) for s in scenes]
    assert torch.allclose(grounding.any_object_box(owner, true), 1 / torch.tensor(each, dtype=torch.float)[owner])
    thing, number = grounding.objects(owner, true)
    assert number.tolist() == torch.tensor(each)[owner].tolist() and thing.unique().numel() == len(owner)
    other = grounding.swap(owner, thing)
    assert (owner[other] == owner).all() and sorted(other.tolist()) == list(range(len(owner)))
    assert ((other == torch.arange(len(owner))) == (torch.tensor(each)[owner] == 1)).all()


def test_phrases_of_one_box_are_of_one_object() -> None:
    """As RefCOCO's three sentences an object: of a picture with one object nothing can be swapped."""
    one, two, far = (0.2, 0.2, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2), (0.2, 0.7, 0.2, 0.2)
    owner = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    true = torch.tensor([one, one, one, one, two, two, far])
    thing, number = grounding.objects(owner, true)
    assert number.tolist() == [1, 1, 1, 3, 3, 3, 3] and thing.unique().numel() == 4
    assert grounding.swap(owner, thing).tolist() == [0, 1, 2, 4, 6, 6, 3]
    assert grounding.any_object_box(owner, true).tolist() == pytest.approx([1, 1, 1, *[1 / 3] * 4])


def test_a_box_is_right_from_half_an_overlap() -> None:
    assert grounding.is_correct(torch.tensor([0, 0.01, 0.49, 0.5, 1])).tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("again", ["thing", "another thing"])
def test_one_phrase_for_several_objects_has_no_known_upper_bound(again: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [np.full((48, 48, 3), 10 * i, np.uint8) for i in range(20)]
    regions = [Region("thing", (0.2, 0.2, 0.2, 0.2)), Region(again, (0.7, 0.7, 0.2, 0.2))]
    source = PairSource(pictures, [f"picture {i}" for i in range(20)], 48, regions=[regions] * 20)
    monkeypatch.setitem(DATASETS, "mine", lambda config: Dataset(config, (source,)))
    config = recipes.smoke().replace({"data.dataset": "mine", "model.text.vocabulary": 270})
    data = dataset(config).feasible
    with torch.inference_mode():
        results = grounding.score(EvalContext(build(data), data, dataset(config).tokenizer()))
    assert {r.upper_bound for r in results} == {None if again == "thing" else 1.0}
    assert find_result(results, "grounding (several objects)", "acc@0.5").n == results[0].n > 0


def test_the_best_constant_box_is_the_best_of_the_grid() -> None:
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.3]] * 3 + [[0.7, 0.7, 0.4, 0.4]] * 2)
    best = grounding._best_constant(boxes, grid_alone=True)
    assert grounding.is_correct(grounding.box_iou(best.expand(5, 4), boxes)).tolist() == [1, 1, 1, 0, 0]


def test_iou_is_torchvisions() -> None:
    a, b = torch.rand(2, 20, 4, generator=seeding.generator("boxes")) * 0.5 + 0.1
    assert torch.allclose(grounding.box_iou(a[:, None], b), box_iou(corners(a), corners(b)), atol=1e-6)


def test_grounding_by_size_and_number_splits_the_phrases(context: EvalContext) -> None:
    results = grounding.score(oracle(context))
    whole = find_result(results, "grounding", "acc@0.5").n
    parts = {r.condition: r.n for r in results if r.task == "grounding (by size and number)"}
    assert parts.keys() == {"big object", "small object", "alone", "one of 2", "one of 3", "one of 4"}
    assert parts["big object"] + parts["small object"] == whole
    assert sum(n for name, n in parts.items() if "object" not in name) == whole
    harder = {r.condition: r for r in results if r.task == "grounding (harder pictures)"}
    assert harder.keys() == set(grounding.HARDER) and {r.value for r in harder.values()} == {1.0}


def test_harder_pictures_are_those_of_the_levels(context: EvalContext) -> None:
    calm, hard = context.scenes("grounding", 5), context.with_data(LEVELS["cluttered"]).scenes("grounding", 5)
    assert all((a.image != b.image).any() for a, b in zip(calm, hard, strict=True))
    assert context.with_data({}).scenes("grounding", 1)[0].content == calm[0].content
