"""Vision by probe and by neighbours: who sees is always right, and no picture is both learnt and asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from xfm.base import seeding
from xfm.data.world import openmoji
from xfm.data.world.scenes import Scene
from xfm.model import XFM
from xfm.tasks import EvalContext
from xfm.tasks.world import concept_recognition

KINDS = ("concept", "subcategory", "category")
PATCH = 8


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in {
        "TRAIN": 3,
        "TRAIN_UNSEEN": 3,
        "TEST": 2,
        "SCENES_TRAIN": 1,
        "SCENES_TEST": 40,
        "SCENES_PATCHES": 40,
    }.items():
        monkeypatch.setattr(concept_recognition, name, count)


@dataclass(frozen=True)
class Oracle(EvalContext):
    """Sees in every patch what is there, as codes of the category, the subcategory and the concept; with other weights
    than `knowing` it is an ordinary context."""

    knowing: XFM | None = None

    def patch_states(self, scenes: Sequence[Scene]) -> Tensor:
        if self.model is not self.knowing:
            return super().patch_states(scenes)
        seen = torch.zeros(len(scenes), 36, len(code(0)))
        for row, scene in zip(seen, scenes, strict=True):
            masks = [
                o.mask.reshape(6, PATCH, 6, PATCH).transpose(0, 2, 1, 3).reshape(36, PATCH, PATCH)
                for o in scene.objects
            ]
            for part in (lambda m: m.any((1, 2)), lambda m: m[:, PATCH // 2, PATCH // 2]):  # the centre decides
                for o, mask in zip(scene.objects, masks, strict=True):
                    row[torch.from_numpy(part(mask))] = code(o.concept)
        return seen


@dataclass(frozen=True)
class Guesser(EvalContext):
    def patch_states(self, scenes: Sequence[Scene]) -> Tensor:
        return torch.randn(len(scenes), 36, 16, generator=seeding.generator(*(s.content for s in scenes)))


@lru_cache
def code(place: int) -> Tensor:
    concept = openmoji.concepts()[place]
    subcategories = sorted({c.subcategory for c in openmoji.concepts()})
    ones = [torch.eye(5)[openmoji.CATEGORIES.index(concept.category)]]
    ones += [
        torch.eye(len(subcategories))[subcategories.index(concept.subcategory)],
        torch.eye(150)[place if place < 100 else place - 703],
    ]  # the last 50 are unseen
    return torch.cat(ones)


def like(context: EvalContext, kind: type[EvalContext], **more) -> EvalContext:
    return kind(context.model, context.config, context.tokenizer, context.split, context.seed, **more)


def test_who_sees_is_always_right(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_recognition, "SCENES_TRAIN", 6)
    monkeypatch.setattr(concept_recognition, "SCENES_PATCHES", 300)
    results = concept_recognition.score(like(context, Oracle, knowing=context.model))
    ours = {(r.task, r.condition): r for r in results if r.condition.startswith(("pooled", "tokens"))}
    assert len(ours) == 2 * (3 + 3 + 1) + 1
    for (task, _), r in ours.items():
        if task in (*KINDS, "concept (unseen concepts)", "concept of a patch"):
            assert r.value == r.upper_bound == 1, r
        elif task == "presence":
            assert r.value > 0.9 and r.upper_bound == 1  # the mean over patches says little of small objects
        else:
            assert r.value > 0.9 and r.upper_bound is None  # what a new thing is follows from the old ones
        assert r.baseline is not None and r.baseline < 0.6


def test_who_knows_what_is_present_ranks_it_first(context: EvalContext) -> None:
    sizes = {"train": 600, "test": 60}
    sets = [concept_recognition._several_objects(replace(context, split=split), n) for split, n in sizes.items()]
    known = [concept_recognition._present(scenes, 100).astype(float) for scenes in sets]
    noise = [seeding.rng("noise", len(scenes)).normal(size=(len(scenes), 8)) for scenes in sets]
    shown = [
        concept_recognition.Features(scenes, {"pooled": x, "raw pixels": y, "random weights": y})
        for scenes, x, y in zip(sets, known, noise, strict=True)
    ]
    ours, raw, random = concept_recognition._presence(context, *shown)
    assert ours.value == 1 and ours.low > 0.94 and ours.baseline == raw.value == random.value
    assert raw.baseline == random.baseline and raw.baseline_name == "training frequencies"
    assert abs(raw.value - raw.baseline) < 0.05


def test_who_guesses_is_at_chance(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_recognition, "TEST", 4)
    results = concept_recognition.score(like(context, Guesser))
    found = [r for r in results if r.task.startswith("concept") and "raw" not in r.condition and "patch" not in r.task]
    assert {r.condition for r in found} == {
        f"{name}, {how}" for name in ("pooled", "random weights") for how in ("linear probe", "k-NN")
    }
    for r in found:
        chance = 0.02 if "unseen" in r.task else 0.01
        assert binomtest(round(r.value * r.n), r.n, chance).pvalue > 0.001, r  # eight rows: the bootstrap is too strict
        assert "pooled" in r.condition or r.baseline == pytest.approx(chance)


@pytest.mark.parametrize("split", ["train", "test", "unseen_combinations", "unseen_concepts"])
def test_the_rows_of_every_split(split, context: EvalContext) -> None:
    results = concept_recognition.score(replace(context, split=split))
    tasks = {r.task: r.split for r in results}
    unseen = {f"{kind} (unseen concepts)": "unseen_concepts" for kind in KINDS}
    single = {} if split.startswith("unseen") else dict.fromkeys(KINDS, split)
    scenes = {} if split == "unseen_concepts" else dict.fromkeys(("concept of a patch", "presence"), split)
    assert tasks == unseen | single | scenes
    keys = [(r.task, r.condition, r.metric) for r in results]
    assert len(set(keys)) == len(keys)
    for task in tasks:
        rows = {r.condition: r for r in results if r.task == task}
        for method in ("linear probe",) if task == "presence" else ("linear probe", "k-NN"):
            first = "tokens" if "patch" in task else "pooled"
            ours, *baselines = (rows[f"{name}, {method}"] for name in (first, "raw pixels", "random weights"))
            best = max(baselines, key=lambda r: r.value)
            assert (ours.baseline, ours.baseline_name) == (best.value, best.condition.split(",")[0])
            assert len({(r.baseline, r.baseline_name) for r in baselines}) == 1 and ours.low <= ours.value <= ours.high


def test_the_same_model_gets_the_same_rows(context: EvalContext) -> None:
    results = concept_recognition.score(context)
    torch.manual_seed(1)
    assert concept_recognition.score(context) == results
    own, other = (concept_recognition._several_objects(replace(context, seed=seed), 5) for seed in (0, 1))
    assert [s.content for s in own] != [s.content for s in other]


def test_no_content_is_learnt_and_asked(context: EvalContext) -> None:
    for split in ("train", "test", "unseen_concepts"):
        own = replace(context, split=split)
        trained = concept_recognition._single_objects(own, 6, split=None if split == "unseen_concepts" else "train")
        asked = concept_recognition._single_objects(own, 4, trained)
        contents = [s.content for s in (*trained, *asked)]
        assert len(set(contents)) == len(contents)
        shown = Counter(s.objects[0].concept for s in asked)
        assert shown == dict.fromkeys(context.world.pool(split), 4) and {len(s.objects) for s in trained} == {1}
    own = replace(context, split="train")
    trained = concept_recognition._several_objects(own, 50, split="train")
    contents = [s.content for s in (*trained, *concept_recognition._several_objects(own, 50, trained))]
    assert len(set(contents)) == 100 and {len(s.objects) for s in trained} == {2, 3, 4}


def test_too_few_pictures_are_an_error(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_recognition, "DRAWS", 3)
    scene = context.scene("any", 0)
    with pytest.raises(RuntimeError, match="6 draws gave only 1 of 2 pictures"):
        concept_recognition._distinct(lambda i: scene, 2, set())


def test_pooled_features_are_what_itc_projects(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_recognition, "BATCH", 4)
    scenes = context.scenes("any", 9)
    pooled = torch.from_numpy(concept_recognition._pooled(context, scenes))
    itc = context.model.objectives["itc"]
    torch.testing.assert_close(itc.embed_image(pooled), context.image_features(scenes), rtol=1e-4, atol=1e-5)


def test_random_weights_are_random_and_the_same_for_all(context: EvalContext) -> None:
    other = replace(context, model=concept_recognition._random_weights(replace(context, seed=5)).model)
    contexts = concept_recognition._random_weights(context), concept_recognition._random_weights(other), context
    ours, theirs, own = (c.model.vision.state_dict() for c in contexts)
    differs = {name for name in ours if not torch.equal(ours[name], own[name])}
    assert "patch_embed.weight" in differs and "blocks.0.mlp.fc1.weight" in differs
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("split", ["test", "unseen_combinations"])
def test_covered_patches_have_their_centre_on_an_object(split, context: EvalContext) -> None:
    scenes = context.scenes("any", 20, split)
    naive = []
    for i, scene in enumerate(scenes):
        for o in scene.objects:
            for patch in range(36):
                y, x = (PATCH * place + PATCH // 2 for place in divmod(patch, 6))
                if o.mask[y, x]:
                    naive.append((o.concept, i, patch))
    assert len(naive) > 60 and [*zip(*concept_recognition._covered(scenes, PATCH), strict=True)] == naive
