"""Visual questions with answers from the ground truth, balanced in pairs.

Questions 2k and 2k + 1 are one text with two pictures for which the answers differ (as in VQA v2, Goyal et al., 2017).
Both answers are drawn evenly and independently of the text, so a model that reads the text alone is right at most once
in a pair: exactly once for yes and no, elsewhere as often as a random answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ...base import seeding
from . import colours
from .grammar import RELATIONS, article, plural
from .sampling import ConceptSampler, SceneSampler, choose, choose_two, name_of
from .scenes import ATTEMPTS, MOST, Object, Scene, Split, World

QuestionKind = Literal["what", "which", "colour", "count", "exists", "relation"]
QUESTION_KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
YES_NO = ("yes", "no")


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


def visual_questions(world: World, split: Split, count: int, seed: int = 0) -> list[VisualQuestion]:
    """The first `count`, the kinds in turn. Raises ValueError where the split shows too few concepts."""
    return [visual_question(world, split, i, seed) for i in range(count)]


def visual_question(world: World, split: Split, index: int, seed: int = 0) -> VisualQuestion:
    """Question `index`: a pure function of (seed, split, index)."""
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
    reference, concepts = _reference_and_two(sampler, rng, name_of)
    word = choose(sampler.relation_words, rng)
    return _QuestionPair(
        f"what is {word} the {name_of(reference)}?",
        {name: sampler.showing([reference, c], most=3) for name, c in concepts.items()},
        tuple(map(name_of, sampler.pool)),
        lambda scene: _of_single(_related(scene, word, reference), lambda o: o.name),
    )


def _colour(sampler: SceneSampler, rng: np.random.Generator) -> _QuestionPair:
    """ "what colour is the thing above the dog?": no name in the text gives the colour away."""

    def colour(concept: int) -> str | None:
        return colours.colour(concept, sampler.world.styles)

    reference, concepts = _reference_and_two(sampler, rng, colour)
    word = choose(sampler.relation_words, rng)
    possible = {colour(c) for c in sampler.pool}
    return _QuestionPair(
        f"what colour is the thing {word} the {name_of(reference)}?",
        {term: sampler.showing([reference, c], most=3) for term, c in concepts.items()},
        tuple(term for term in colours.TERMS if term in possible),
        lambda scene: _of_single(_related(scene, word, reference), lambda o: o.colour or ""),
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
