"""Hard negatives: the caption of a picture with one thing changed, so that it is false of it (as in FOIL and ARO)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import colours, openmoji
from .grammar import COUNTS, EXTREMES, OCCLUSIONS, RELATIONS, Caption, Kind, Relation, Thing, article, is_true, plural
from .scenes import Scene, World

HARD_NEGATIVE_KINDS: tuple[Kind, ...] = ("noun", "size", "colour", "count", "relation", "negation")
_Edit = tuple[str, Thing | Relation]  # the words that replace a span, and the claim that they make


def hard_negative(caption: Caption, scene: Scene, kind: Kind, world: World, rng: np.random.Generator) -> Caption | None:
    """A caption that differs in the words of one span of that kind, and is false of the scene.

    The change is drawn evenly from all that make it false. A name becomes any that captions of its split may mention,
    if of the same number and, where a colour is mentioned, of that colour; a size the other; a colour any that hardly
    occurs in the object; a count another from 2 to 4; a relation any that the world's captions use; "no" and "without"
    become "a" and "with". Articles are adapted. None where the caption has nothing of the kind, or no change makes it
    false. Raises ValueError for an unknown kind.
    """
    if kind not in HARD_NEGATIVE_KINDS:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(HARD_NEGATIVE_KINDS)}")
    if kind == "negation":
        affirmed = _affirmed(caption) if caption.absent else None
        return affirmed if affirmed and not is_true(affirmed, scene.objects) else None
    edits: list[tuple[int, _Edit]] = []
    for i, (start, end, of) in enumerate(caption.spans):
        if of == kind:
            field, place = _claim_of(caption, i)
            claim = getattr(caption, field)[place]
            edits += [(i, edit) for edit in _EDITS[kind](claim, caption.text[start:end], world)]
    for i in rng.permutation(len(edits)).tolist():
        changed = _edited(caption, *edits[i])
        if not is_true(changed, scene.objects):
            return changed
    return None


def _names(thing: Thing, words: str, world: World) -> Iterator[_Edit]:
    uncountable = article("", thing.name) == "some"
    for name in world.unseen_names if thing.name in world.unseen_names else world.names:
        if name == thing.name or (article("", name) == "some") != uncountable:
            continue
        if thing.colour in (None, colours.colour(_concept_of()[name], world.styles)):
            yield plural(name) if thing.count > 1 else name, replace(thing, name=name)


def _sizes(thing: Thing, words: str, world: World) -> Iterator[_Edit]:
    size = "small" if thing.size == "big" else "big"
    yield size, replace(thing, size=size)


def _colours(thing: Thing, words: str, world: World) -> Iterator[_Edit]:
    for term in colours.TERMS:
        if colours.is_rare(_concept_of()[thing.name], term, world.styles):
            yield term, replace(thing, colour=term)


def _counts(thing: Thing, words: str, world: World) -> Iterator[_Edit]:
    wording = -1 if words.startswith("a ") else 0  # "there is" stays right: "a group of three"
    for count, wordings in COUNTS.items():
        if count != thing.count:
            yield wordings[wording], replace(thing, count=count)


def _relations(relation: Relation, words: str, world: World) -> Iterator[_Edit]:
    for word in EXTREMES if relation.word in EXTREMES else RELATIONS:
        if word != relation.word and (world.scenes.overlap or word not in OCCLUSIONS):
            yield word, replace(relation, word=word)


_EDITS: dict[Kind, Callable[..., Iterator[_Edit]]] = {  # of a claim, the words that make it, and the world
    "noun": _names, "size": _sizes, "colour": _colours, "count": _counts, "relation": _relations,
}  # fmt: skip


def _claim_of(caption: Caption, span: int) -> tuple[str, int]:
    """The field of the caption and the place in it of what a span says. Things with relations are mentioned first."""
    kinds = [kind for *_, kind in caption.spans]
    if kinds[span] == "relation":
        return "relations", kinds[:span].count("relation")
    related = [i for r in caption.relations for i in dict.fromkeys((r.subject, r.object))]
    order = related + [i for i in range(len(caption.things)) if i not in related]
    return "things", order[kinds[:span].count("noun")]  # a noun ends its mention


def _edited(caption: Caption, span: int, edit: _Edit) -> Caption:
    """The caption with other words for the span, their claim, and the article before them adapted."""
    (words, claim), (start, end, kind), (field, place) = edit, caption.spans[span], _claim_of(caption, span)
    before = re.sub(r"\b(a|an) $", lambda _: article(words, words) + " ", caption.text[:start])
    moved, shift = len(before) - start, len(before) + len(words) - end  # of the span's start, of all after it
    spans = (*caption.spans[:span], (start + moved, end + shift, kind))
    spans += tuple((a + shift, b + shift, k) for a, b, k in caption.spans[span + 1 :])
    claims = list(getattr(caption, field))
    claims[place] = claim
    return replace(caption, text=before + words + caption.text[end:], spans=spans, **{field: tuple(claims)})


def _affirmed(caption: Caption) -> Caption:
    """What is absent is there: "and a cat" for "and no cat", "with a cat" for "without a cat"."""
    assert caption.absent
    *spans, (start, end, _), (name, _, _) = caption.spans
    word = "with" if caption.text[start:end] == "without" else article(caption.absent.name, caption.absent.name)
    text = caption.text[:start] + word + caption.text[end:]
    noun = (name + len(word) - (end - start), len(text), "noun")
    return Caption(text, (*caption.things, caption.absent), caption.relations, (*spans, noun))


@lru_cache(maxsize=1)
def _concept_of() -> dict[str, int]:
    return {c.name: i for i, c in enumerate(openmoji.concepts())}
