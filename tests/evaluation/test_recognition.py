"""Vision by probe and by neighbours: who sees is always right, and no picture is both learnt and asked."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
import torch
from evaluation.stubs import oracle
from scipy.stats import binomtest
from torch import Tensor

from xfm.base import seeding
from xfm.data.world import openmoji
from xfm.model import XFM
from xfm.tasks import EvalContext
from xfm.tasks.world import concept_recognition as module

KINDS = ("concept", "subcategory", "category")

pytestmark = pytest.mark.usefixtures("few")


@dataclass(frozen=True)
class Oracle(EvalContext):
    """Sees in every patch what is there, as codes of the category, the subcategory and the concept; with other weights
    than `knowing` it is an ordinary context."""

    knowing: XFM | None = None

    def patch_states(self, scenes) -> Tensor:
        if self.model is not self.knowing:
            return super().patch_states(scenes)
        seen = torch.zeros(len(scenes), 36, len(code(0)))
        for row, scene in zip(seen, scenes, strict=True):
            masks = [(code(o.concept), torch.from_numpy(o.mask.reshape(6, 8, 6, 8))) for o in scene.objects]
            for said, patches in (*((s, m.any(3).any(1)) for s, m in masks), *((s, m[:, 4, :, 4]) for s, m in masks)):
                row[patches.ravel()] = said  # the centre decides
        return seen


class Guesser(EvalContext):
    def patch_states(self, scenes) -> Tensor:
        return torch.randn(len(scenes), 36, 16, generator=seeding.generator(*(s.content for s in scenes)))


@lru_cache
def code(place: int) -> Tensor:
    concept, subcategories = openmoji.concepts()[place], sorted({c.subcategory for c in openmoji.concepts()})
    which = place if place < 100 else place - 703  # the last 50 are unseen
    category, subcategory = openmoji.CATEGORIES.index(concept.category), subcategories.index(concept.subcategory)
    return torch.cat([torch.eye(n)[i] for n, i in ((5, category), (len(subcategories), subcategory), (150, which))])


@pytest.mark.full
def test_who_sees_is_always_right(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCENES_TRAIN", 6)
    monkeypatch.setattr(module, "SCENES_PATCHES", 300)
    results = module.score(oracle(context, Oracle, knowing=context.model))
    ours = [r for r in results if r.condition.startswith(("pooled", "tokens"))]
    assert len(ours) == 2 * (3 + 3 + 1) + 1
    for r in ours:
        certain = r.task in (*KINDS, "concept (unseen concepts)", "concept of a patch")
        assert r.value == 1 if certain else r.value > 0.9, r  # the mean over patches says little of small objects
        inferred = "unseen" in r.task and not certain  # what a new thing is follows from the old ones
        assert r.upper_bound == (None if inferred else 1) and r.baseline is not None and r.baseline < 0.6


@pytest.mark.full
def test_who_guesses_is_at_chance(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEST", 4)
    results = module.score(oracle(context, Guesser))
    found = [r for r in results if r.task.startswith("concept") and "raw" not in r.condition and "patch" not in r.task]
    assert len(found) == 2 * 2 * 2
    for r in found:
        chance = 0.02 if "unseen" in r.task else 0.01
        assert binomtest(round(r.value * r.n), r.n, chance).pvalue > 0.001, r  # eight rows: the bootstrap is too strict
        assert "pooled" in r.condition or r.baseline == pytest.approx(chance)


@pytest.mark.full
@pytest.mark.parametrize("split", ["test", "unseen_combinations", "unseen_concepts"])
def test_the_rows_of_every_split(split, context: EvalContext) -> None:
    results = module.score(replace(context, split=split))
    own = {"unseen_concepts": ()}.get(split, ("concept of a patch", "presence", *(KINDS if split == "test" else ())))
    tasks = {f"{kind} (unseen concepts)": "unseen_concepts" for kind in KINDS} | dict.fromkeys(own, split)
    assert {r.task: r.split for r in results} == tasks
    for task in tasks:
        rows, first = {r.condition: r for r in results if r.task == task}, "tokens" if "patch" in task else "pooled"
        for method in ("linear probe",) if task == "presence" else ("linear probe", "k-NN"):
            ours, *baselines = (rows[f"{name}, {method}"] for name in (first, "raw pixels", "random weights"))
            best = max(baselines, key=lambda r: r.value)
            assert (ours.baseline, ours.baseline_name) == (best.value, best.condition.split(",")[0])


def test_no_content_is_learnt_and_asked(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "test", "unseen_concepts"):
        own = replace(context, split=split)
        trained = module._single_objects(own, 6, split=None if split == "unseen_concepts" else "train")
        asked = module._single_objects(own, 4, trained)
        assert len({s.content for s in (*trained, *asked)}) == len(trained) + len(asked)
        shown = Counter(s.objects[0].concept for s in asked)
        assert shown == dict.fromkeys(context.world.pool(split), 4) and {len(s.objects) for s in trained} == {1}
    own = replace(context, split="train")
    trained = module._several_objects(own, 50, split="train")
    assert len({s.content for s in (*trained, *module._several_objects(own, 50, trained))}) == 100
    assert {len(s.objects) for s in trained} == {2, 3, 4}
    monkeypatch.setattr(module, "DRAWS", 3)
    with pytest.raises(RuntimeError, match="6 draws gave only 1 of 2 pictures"):
        module._distinct(lambda i: trained[0], 2, set())
