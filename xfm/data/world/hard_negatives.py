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
    spans = [i for i, span in enumerate(caption.spans) if span[2] == kind]
    edits = [(i, *edit) for i in spans for edit in _EDITS[kind](caption, i, world)]
    for i in rng.permutation(len(edits)).tolist():
        changed = _edited(caption, *edits[i])
        if not is_true(changed, scene.objects):
            return changed
    return None


def _names(caption: Caption, span: int, world: World) -> Iterator[_Edit]:
    thing = caption.things[_thing_of(caption, span)]
    uncountable = article("", thing.name) == "some"
    for name in world.unseen_names if thing.name in world.unseen_names else world.names:
        if name == thing.name or (article("", name) == "some") != uncountable:
            continue
        if thing.colour in (None, colours.colour(_concept_of()[name], world.styles)):
            yield plural(name) if thing.count > 1 else name, replace(thing, name=name)


def _sizes(caption: Caption, span: int, world: World) -> Iterator[_Edit]:
    thing = caption.things[_thing_of(caption, span)]
    size = "small" if thing.size == "big" else "big"
    yield size, replace(thing, size=size)


def _colours(caption: Caption, span: int, world: World) -> Iterator[_Edit]:
    thing = caption.things[_thing_of(caption, span)]
    for term in colours.TERMS:
        if colours.is_rare(_concept_of()[thing.name], term, world.styles):
            yield term, replace(thing, colour=term)


def _counts(caption: Caption, span: int, world: World) -> Iterator[_Edit]:
    thing, (start, end, _) = caption.things[_thing_of(caption, span)], caption.spans[span]
    wording = -1 if caption.text[start:end].startswith("a ") else 0  # "there is" stays right: "a group of three"
    for count, wordings in COUNTS.items():
        if count != thing.count:
            yield wordings[wording], replace(thing, count=count)


def _relations(caption: Caption, span: int, world: World) -> Iterator[_Edit]:
    relation = caption.relations[_relation_of(caption, span)]
    for word in EXTREMES if relation.word in EXTREMES else RELATIONS:
        if word != relation.word and (world.scenes.overlap or word not in OCCLUSIONS):
            yield word, replace(relation, word=word)


_EDITS: dict[Kind, Callable[[Caption, int, World], Iterator[_Edit]]] = {
    "noun": _names, "size": _sizes, "colour": _colours, "count": _counts, "relation": _relations,
}  # fmt: skip


def _relation_of(caption: Caption, span: int) -> int:
    return sum(kind == "relation" for *_, kind in caption.spans[:span])


def _thing_of(caption: Caption, span: int) -> int:
    """The thing that the span is part of the mention of. Those with relations are mentioned first."""
    related = [i for r in caption.relations for i in dict.fromkeys((r.subject, r.object))]
    order = related + [i for i in range(len(caption.things)) if i not in related]
    return order[sum(kind == "noun" for *_, kind in caption.spans[:span])]  # a noun ends its mention


def _edited(caption: Caption, span: int, words: str, claim: Thing | Relation) -> Caption:
    """The caption with other words for the span, their claim, and the article before them adapted."""
    start, end, kind = caption.spans[span]
    before = re.sub(r"\b(a|an) $", lambda _: article(words, words) + " ", caption.text[:start])
    moved, shift = len(before) - start, len(before) + len(words) - end  # of the span's start, of all after it
    spans = (*caption.spans[:span], (start + moved, end + shift, kind))
    spans += tuple((a + shift, b + shift, k) for a, b, k in caption.spans[span + 1 :])
    things, relations = list(caption.things), list(caption.relations)
    if isinstance(claim, Thing):
        things[_thing_of(caption, span)] = claim
    else:
        relations[_relation_of(caption, span)] = claim
    text = before + words + caption.text[end:]
    return replace(caption, text=text, spans=spans, things=tuple(things), relations=tuple(relations))


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
