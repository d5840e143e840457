"""Hard negatives: the caption of a picture with one thing changed, so that it is false of it (as in FOIL and ARO)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from . import colours, openmoji
from .grammar import COUNTS, EXTREMES, LAYERS, RELATIONS, Caption, Kind, Relation, Thing, article, holds, plural
from .scenes import Scene, World

CONTRASTS: tuple[Kind, ...] = ("noun", "size", "colour", "count", "relation", "negation")
Edit = tuple[int, str, Thing | Relation]  # place of a span; what it says instead; what is then claimed instead


def contrast(caption: Caption, scene: Scene, kind: Kind, world: World, rng: np.random.Generator) -> Caption | None:
    """A caption that differs in the words of one span of that kind, and is false of the scene.

    What changes, and to what, is drawn evenly from all that makes it false. A name becomes any that captions of its
    split may say, if of the same number and, where a colour is said, of that colour; a size the other; a colour any
    that the thing hardly shows; a count another from 2 to 4; a relation any that the world's captions use; "no" and
    "without" become "a" and "with". Articles are adapted. None where the caption says nothing of the kind, or where
    all changes stay true. Raises ValueError for an unknown kind.
    """
    if kind not in CONTRASTS:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(CONTRASTS)}")
    if kind == "negation":
        return present(caption) if caption.absent and not holds(present(caption), scene) else None
    edits = [e for i, span in enumerate(caption.spans) if span[2] == kind for e in EDITS[kind](caption, i, world)]
    for i in rng.permutation(len(edits)).tolist():
        changed = edited(caption, *edits[i])
        if not holds(changed, scene):
            return changed
    return None


def other_names(caption: Caption, span: int, world: World) -> Iterator[Edit]:
    thing = caption.things[mentioned(caption, span)]
    some = article("", thing.name) == "some"
    for name in world.unseen_names if thing.name in world.unseen_names else world.names:
        if name == thing.name or (article("", name) == "some") != some:
            continue
        if thing.colour in (None, colours.colour(place_of()[name])):
            yield span, plural(name) if thing.count > 1 else name, replace(thing, name=name)


def other_size(caption: Caption, span: int, world: World) -> Iterator[Edit]:
    thing = caption.things[mentioned(caption, span)]
    size = "small" if thing.size == "big" else "big"
    yield span, size, replace(thing, size=size)


def other_colours(caption: Caption, span: int, world: World) -> Iterator[Edit]:
    thing = caption.things[mentioned(caption, span)]
    for term in colours.TERMS:
        if colours.stray(place_of()[thing.name], term):
            yield span, term, replace(thing, colour=term)


def other_counts(caption: Caption, span: int, world: World) -> Iterator[Edit]:
    thing, (start, end, _) = caption.things[mentioned(caption, span)], caption.spans[span]
    way = -1 if caption.text[start:end].startswith("a ") else 0  # "there is" stays right before "a group of three"
    for count, ways in COUNTS.items():
        if count != thing.count:
            yield span, ways[way], replace(thing, count=count)


def other_relations(caption: Caption, span: int, world: World) -> Iterator[Edit]:
    relation = caption.relations[sum(kind == "relation" for *_, kind in caption.spans[:span])]
    words = EXTREMES if relation.word in EXTREMES else RELATIONS
    for word in words:
        if word != relation.word and (world.scenes.overlap or word not in LAYERS):
            yield span, word, replace(relation, word=word)


EDITS: dict[Kind, Callable[[Caption, int, World], Iterator[Edit]]] = {
    "noun": other_names,
    "size": other_size,
    "colour": other_colours,
    "count": other_counts,
    "relation": other_relations,
}


def mentioned(caption: Caption, span: int) -> int:
    """The thing whose mention the span is part of. Those with relations are mentioned first, each part in its order."""
    related = [i for r in caption.relations for i in dict.fromkeys((r.subject, r.object))]
    order = related + [i for i in range(len(caption.things)) if i not in related]
    return order[sum(kind == "noun" for *_, kind in caption.spans[:span])]  # a name ends its mention


def edited(caption: Caption, span: int, words: str, claim: Thing | Relation) -> Caption:
    """The caption with other words for the span and what it then claims; the article before them is adapted."""
    start, end, kind = caption.spans[span]
    before = re.sub(r"\b(a|an) $", lambda found: article(words, words) + " ", caption.text[:start])
    grown, moved = len(words) - (end - start), len(before) - start
    spans = (*caption.spans[:span], (start + moved, end + moved + grown, kind))
    spans += tuple((a + moved + grown, b + moved + grown, k) for a, b, k in caption.spans[span + 1 :])
    text = before + words + caption.text[end:]
    things, relations = list(caption.things), list(caption.relations)
    if isinstance(claim, Thing):
        things[mentioned(caption, span)] = claim
    else:
        relations[sum(k == "relation" for *_, k in caption.spans[:span])] = claim
    return replace(caption, text=text, spans=spans, things=tuple(things), relations=tuple(relations))


def present(caption: Caption) -> Caption:
    """What is absent is there: "and a cat" for "and no cat", "with a cat" for "without a cat"."""
    assert caption.absent
    *spans, (start, end, _), (name, _, _) = caption.spans
    word = "with" if caption.text[start:end] == "without" else article(caption.absent.name, caption.absent.name)
    text = caption.text[:start] + word + caption.text[end:]
    noun = (name + len(word) - (end - start), len(text), "noun")
    return Caption(text, (*caption.things, caption.absent), caption.relations, (*spans, noun))


@lru_cache(maxsize=1)
def place_of() -> dict[str, int]:
    return {c.name: i for i, c in enumerate(openmoji.concepts())}
