"""Visual questions with answers from the ground truth, balanced in pairs; scenes on demand, for statements as well.

Questions 2k and 2k + 1 are one text with two pictures for which the answers differ (as in VQA v2, Goyal et al., 2017).
Both answers are drawn evenly and independently of the text, so a model that reads the text alone is right at most once
in a pair: exactly once for yes and no, elsewhere as often as a random answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, get_args

import numpy as np

from ...base import seeding
from . import colours, openmoji
from .concept_pools import FEWEST
from .grammar import OCCLUSIONS, RELATIONS, article, plural
from .scenes import ATTEMPTS, MOST, Object, Scene, Split, World

T = TypeVar("T")
ConceptSampler = Callable[[np.random.Generator], list[int]]  # draws the concepts of a picture
QuestionKind = Literal["what", "which", "colour", "count", "exists", "relation"]
QUESTION_KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
YES_NO = ("yes", "no")


class SceneSampler:
    """Draws scenes under constraints, for pairs of scenes that differ in one thing."""

    def __init__(self, world: World, split: Split) -> None:
        """Raises ValueError where the split shows too few concepts."""
        self.world, self.combined = world, split == "unseen_combinations"
        self.split: Split = split
        self.pool: Sequence[int] = world.pool(split)  # the concepts that may be shown with another
        if len(self.pool) < FEWEST:
            few = f"{len(self.pool)} concepts are too few to ask about, {FEWEST} are needed"
            raise ValueError(f"split = {split!r}, data.concepts = {world.concepts}: {few}; take fewer or another split")
        if self.combined:
            self.pool = [c for c in self.pool if world.held_out_partners[c]]
        self.relation_words = [w for w in RELATIONS if world.scenes.overlap or w not in OCCLUSIONS]  # that can be true

    @cached_property
    def countable(self) -> list[int]:
        """The concepts whose plural is unique: "books" are several of one concept, and the name of another."""
        plurals = Counter(plural(name_of(c)) for c in self.pool)
        return [c for c in self.pool if plurals[plural(name_of(c))] == 1]

    def partners(self, concept: int) -> list[int]:
        """Those that may be shown with the concept; in `unseen_combinations` those that it is held out from."""
        held_out = self.world.held_out_partners[concept]
        return sorted(held_out) if self.combined else [c for c in self.pool if c != concept and c not in held_out]

    def showing(
        self, shown: Sequence[int], excluded: Sequence[int] = (), least: int = 1, most: int = MOST
    ) -> ConceptSampler:
        """Of `shown` and others, each once and none `excluded`: `least` to `most`, each number equally likely."""
        least = max(len(shown), least, 2 if self.combined else 1)

        def sample(rng: np.random.Generator) -> list[int]:
            chosen, number = list(shown), least + int(rng.random() * (most + 1 - least))
            while len(chosen) < number:
                new = choose(self.pool, rng)
                if new not in chosen and new not in excluded:
                    chosen.append(new)
            return chosen

        return sample

    def scene(self, concepts: ConceptSampler, accept: Callable[[Scene], bool], *key: object) -> Scene:
        """An accepted scene of the split: a function of the key. RuntimeError where none is found."""
        rng, seed = seeding.rng("stage", *key), seeding.seed("stage", *key)
        for attempt in range(ATTEMPTS):
            shown = rng.permutation(concepts(rng)).tolist()  # from back to front
            if any(not self.world.held_out_partners[c].isdisjoint(shown) for c in shown) == self.combined:
                scene = self.world.scene(self.split, attempt, seed=seed, concepts=tuple(shown), phrases=False)
                if accept(scene):
                    return scene
        raise RuntimeError(f"no such {self.split!r} scene in {ATTEMPTS} attempts: {key}")


def name_of(concept: int) -> str:
    """The name of a concept by its index."""
    return openmoji.concepts()[concept].name


def choose(items: Sequence[T], rng: np.random.Generator) -> T:
    """One item, each as likely."""
    return items[int(rng.random() * len(items))]


def choose_two(items: Sequence[T], rng: np.random.Generator) -> tuple[T, T]:
    """Two different ones, in any order."""
    first, second = rng.choice(len(items), 2, replace=False).tolist()
    return items[first], items[second]


@dataclass(frozen=True, eq=False)
class VisualQuestion:
    """A question about a scene, with its answer."""

    scene: Scene
    text: str
    answer: str
    answers: tuple[str, ...]  # all possible ones of the kind, in this world and split
    kind: QuestionKind


@dataclass(frozen=True)
class _QuestionPair:
    text: str
    concepts: dict[str, ConceptSampler]  # by each of the two answers: of pictures with it
    answers: tuple[str, ...]
    answer_of: Callable[[Scene], str]  # the true answer; "" where there is none


def visual_question(world: World, split: Split, index: int, seed: int = 0) -> VisualQuestion:
    """Question `index`, the kinds in turn, a pure function of (seed, split, index). ValueError where a split shows too
    few concepts."""
    number, side = divmod(index, 2)
    kind = QUESTION_KINDS[number % len(QUESTION_KINDS)]
    sampler = SceneSampler(world, split)
    pair = _MAKERS[kind](sampler, seeding.rng("question", seed, split, number))
    answer, key = list(pair.concepts)[side], ("question", seed, split, index)
    scene = sampler.scene(pair.concepts[answer], lambda s: pair.answer_of(s) == answer, *key)
    return VisualQuestion(scene, pair.text, answer, pair.answers, kind)


def _what(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "what is this?" of one object, or "what is the small thing?" of two."""
    size = choose(("big", "small") if sampler.combined else ("", "big", "small"), rng)
    number = 2 if size else 1
    return _QuestionPair(
        f"what is the {size} thing?" if size else "what is this?",
        {name_of(c): sampler.showing([c], least=number, most=number) for c in choose_two(sampler.pool, rng)},
        tuple(map(name_of, sampler.pool)),
        lambda scene: _of_single([o for o in scene.objects if size in ("", o.size)], lambda o: o.name),
    )


def _which(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "what is above the dog?": a name."""
    return _beside(sampler, rng, "what is", name_of, lambda o: o.name, tuple(map(name_of, sampler.pool)))


def _colour(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "what colour is the thing above the dog?": no name in the text gives the colour away."""
    colour_of = {concept: colours.colour(concept, sampler.world.styles) for concept in sampler.pool}
    possible = tuple(term for term in colours.TERMS if term in colour_of.values())
    return _beside(sampler, rng, "what colour is the thing", colour_of.__getitem__, lambda o: o.colour or "", possible)


def _beside(
    sampler: SceneSampler, rng: np.random.Generator, asked: str, of_concept: Callable[[int], str | None],
    of_object: Callable[[Object], str], answers: tuple[str, ...],
) -> _QuestionPair:  # fmt: skip
    """A question about the one thing that stands in a relation to another."""
    reference, concepts = _reference_and_two(sampler, rng, of_concept)
    word = choose(sampler.relation_words, rng)
    return _QuestionPair(
        f"{asked} {word} the {name_of(reference)}?",
        {answer: sampler.showing([reference, c], most=3) for answer, c in concepts.items()},
        answers,
        lambda scene: _of_single(_related(scene, word, reference), of_object),
    )


def _count(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "how many dogs are there?": 0 to 4, in `unseen_combinations`, where something else is shown as well, 0 to 3."""
    concept = choose(sampler.countable, rng)
    answers = tuple(map(str, range(MOST if sampler.combined else MOST + 1)))
    return _QuestionPair(
        f"how many {plural(name_of(concept))} are there?",
        {n: sampler.showing([concept] * int(n), [concept]) for n in choose_two(answers, rng)},
        answers,
        lambda scene: str(sum(o.concept == concept for o in scene.objects)),
    )


def _exists(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "is there a dog?" """
    concept = choose(sampler.pool, rng)
    name = name_of(concept)
    determiner = article(name, name)
    return _QuestionPair(
        f"are there any {name}?" if determiner == "some" else f"is there {determiner} {name}?",
        {a: sampler.showing([concept] if a == "yes" else [], [concept]) for a in choose_two(YES_NO, rng)},
        YES_NO,
        lambda scene: YES_NO[all(o.concept != concept for o in scene.objects)],
    )


def _relation(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "is the cat above the dog?": both are in either picture."""
    reference, concepts = _reference_and_two(sampler, rng, name_of)
    name, subject = next(iter(concepts.items()))
    word = choose(sampler.relation_words, rng)
    return _QuestionPair(
        f"{'are' if article('', name) == 'some' else 'is'} the {name} {word} the {name_of(reference)}?",
        {answer: sampler.showing([reference, subject], most=3) for answer in choose_two(YES_NO, rng)},
        YES_NO,
        lambda scene: YES_NO[all(o.concept != subject for o in _related(scene, word, reference))],
    )


_MAKERS: dict[QuestionKind, Callable[[SceneSampler, np.random.Generator], _QuestionPair]] = {
    "what": _what, "which": _which, "colour": _colour, "count": _count, "exists": _exists, "relation": _relation,
}  # fmt: skip


def _reference_and_two(
    sampler: SceneSampler, rng: np.random.Generator, answer_of: Callable[[int], str | None]
) -> tuple[int, dict[str, int]]:
    """A concept, drawn evenly, and two that may be shown with it, by different answers, drawn evenly as well."""
    for _ in range(ATTEMPTS):
        reference = choose(sampler.pool, rng)
        by_answer: dict[str, list[int]] = {}
        for concept in sampler.partners(reference):
            if answer := answer_of(concept):
                by_answer.setdefault(answer, []).append(concept)
        if len(by_answer) > 1:
            return reference, {answer: choose(by_answer[answer], rng) for answer in choose_two(sorted(by_answer), rng)}
    few = f"no concept of {sampler.world.concepts} can be shown beside two others to ask about"
    raise RuntimeError(f"{sampler.split!r}: {few}")


def _related(scene: Scene, word: str, reference: int) -> list[Object]:
    """The objects that stand in the relation to the one of that concept."""
    anchor = next(o for o in scene.objects if o.concept == reference)
    return [o for o in scene.objects if o is not anchor and RELATIONS[word](o, anchor)]


def _of_single(objects: Sequence[Object], answer_of: Callable[[Object], str]) -> str:
    """The answer where exactly one object is meant; else none."""
    return answer_of(objects[0]) if len(objects) == 1 else ""
