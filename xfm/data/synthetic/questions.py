"""Questions about a picture with answers from the ground truth, balanced in pairs.

Questions 2k and 2k + 1 are one text with two pictures for which the answers differ (as in VQA v2). The two answers are
drawn evenly, and not by the text. So who reads the text alone is right once in a pair at most: where the answers are
yes and no exactly once, elsewhere as often as one draw among all answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ... import seeding
from . import colours
from .grammar import RELATIONS, article, plural
from .sampling import Cast, cast, countable, name_of, partners, pick, pool, relation_words, stage, two_of
from .scenes import ATTEMPTS, MOST, Object, Scene, Split, World

Ask = Literal["what", "which", "colour", "count", "exists", "relation"]
ASKS: tuple[Ask, ...] = get_args(Ask)
YES_NO = ("yes", "no")


@dataclass(frozen=True, eq=False)
class Question:
    scene: Scene
    text: str
    answer: str
    answers: tuple[str, ...]  # all that may be the answer to a question of the kind, in this world and split
    kind: Ask


@dataclass(frozen=True)
class Plan:
    text: str
    two: tuple[str, str]  # the answers of the pair
    answers: tuple[str, ...]
    draw: Callable[[str], Cast]  # what a picture with the answer shows
    reply: Callable[[Scene], str]  # the answer that a picture gives; "" where there is none


def questions(world: World, split: Split, count: int, seed: int = 0) -> list[Question]:
    """The first `count`, the kinds in turn. Raises ValueError where the split shows too few concepts."""
    return [question(world, split, i, seed) for i in range(count)]


def question(world: World, split: Split, index: int, seed: int = 0) -> Question:
    """Question `index`: a pure function of (seed, split, index)."""
    pair, side = divmod(index, 2)
    kind = ASKS[pair % len(ASKS)]
    plan = PLANS[kind](world, split, seeding.rng("question", seed, split, pair))
    answer = plan.two[side]
    scene = stage(world, split, plan.draw(answer), lambda s: plan.reply(s) == answer, "question", seed, split, index)
    return Question(scene, plan.text, answer, plan.answers, kind)


def ask_what(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "what is this?" of one object, or "what is the small thing?" of two."""
    everything = pool(world, split)
    size = pick(("big", "small") if split == "unseen_combinations" else ("", "big", "small"), rng)
    two = named(two_of(everything, rng))
    number = 2 if size else 1
    return Plan(
        f"what is the {size} thing?" if size else "what is this?",
        both(two),
        tuple(named(everything)),
        lambda answer: cast(world, split, [two[answer]], least=number, most=number),
        lambda scene: only([o for o in scene.objects if size in ("", o.size)], lambda o: o.name),
    )


def ask_which(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "what is above the dog?": a name."""
    reference, two = reference_and_two(world, split, rng, lambda c: name_of(c))
    word = pick(relation_words(world), rng)
    return Plan(
        f"what is {word} the {name_of(reference)}?",
        both(two),
        tuple(named(pool(world, split))),
        lambda answer: cast(world, split, [reference, two[answer]], most=3),
        lambda scene: only(related(scene, word, reference), lambda o: o.name),
    )


def ask_colour(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "what colour is the thing above the dog?": nothing that the text names gives it away."""
    reference, two = reference_and_two(world, split, rng, colours.colour)
    word = pick(relation_words(world), rng)
    known = {colours.colour(c) for c in pool(world, split)}
    return Plan(
        f"what colour is the thing {word} the {name_of(reference)}?",
        both(two),
        tuple(term for term in colours.TERMS if term in known),
        lambda answer: cast(world, split, [reference, two[answer]], most=3),
        lambda scene: only(related(scene, word, reference), lambda o: o.colour or ""),
    )


def ask_count(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "how many dogs are there?": 0 to 4, in `unseen_combinations`, where something else is shown as well, 0 to 3."""
    concept = pick(countable(world, split), rng)
    answers = tuple(map(str, range(MOST if split == "unseen_combinations" else MOST + 1)))
    return Plan(
        f"how many {plural(name_of(concept))} are there?",
        two_of(answers, rng),
        answers,
        lambda answer: cast(world, split, [concept] * int(answer), [concept]),
        lambda scene: str(sum(o.concept == concept for o in scene.objects)),
    )


def ask_exists(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "is there a dog?" """
    concept = pick(pool(world, split), rng)
    name = name_of(concept)
    some = article(name, name)
    return Plan(
        f"are there any {name}?" if some == "some" else f"is there {some} {name}?",
        two_of(YES_NO, rng),
        YES_NO,
        lambda answer: cast(world, split, [concept] if answer == "yes" else [], [concept]),
        lambda scene: YES_NO[all(o.concept != concept for o in scene.objects)],
    )


def ask_relation(world: World, split: Split, rng: np.random.Generator) -> Plan:
    """ "is the cat above the dog?": both are there in either picture."""
    reference, two = reference_and_two(world, split, rng, lambda c: name_of(c))
    subject, word = two[both(two)[0]], pick(relation_words(world), rng)
    verb = "are" if article("", name_of(subject)) == "some" else "is"
    return Plan(
        f"{verb} the {name_of(subject)} {word} the {name_of(reference)}?",
        two_of(YES_NO, rng),
        YES_NO,
        lambda answer: cast(world, split, [reference, subject], most=3),
        lambda scene: YES_NO[all(o.concept != subject for o in related(scene, word, reference))],
    )


PLANS: dict[Ask, Callable[[World, Split, np.random.Generator], Plan]] = {
    "what": ask_what,
    "which": ask_which,
    "colour": ask_colour,
    "count": ask_count,
    "exists": ask_exists,
    "relation": ask_relation,
}


def named(concepts: Sequence[int]) -> dict[str, int]:
    return {name_of(c): c for c in concepts}


def both(two: dict[str, int]) -> tuple[str, str]:
    first, second = two
    return first, second


def reference_and_two(
    world: World, split: Split, rng: np.random.Generator, answer: Callable[[int], str | None]
) -> tuple[int, dict[str, int]]:
    """A concept, drawn evenly, and two that may be shown beside it, by different answers, drawn evenly as well."""
    for _ in range(ATTEMPTS):
        reference = pick(pool(world, split), rng)
        by_answer: dict[str, list[int]] = {}
        for c in partners(world, split, reference):
            if found := answer(c):
                by_answer.setdefault(found, []).append(c)
        if len(by_answer) > 1:
            return reference, {found: pick(by_answer[found], rng) for found in two_of(sorted(by_answer), rng)}
    raise RuntimeError(f"{split!r}: no concept of {world.concepts} can be shown beside two others to ask about")


def related(scene: Scene, word: str, reference: int) -> list[Object]:
    """The objects that stand in the relation to the one of that concept."""
    there = next(o for o in scene.objects if o.concept == reference)
    return [o for o in scene.objects if o is not there and RELATIONS[word](o, there)]


def only(found: Sequence[Object], answer: Callable[[Object], str]) -> str:
    """The answer where one object is meant."""
    return answer(found[0]) if len(found) == 1 else ""
