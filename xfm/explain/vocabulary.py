"""Words that occur in the texts of a model's training pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ..data import Dataset
from ..data.source import Source

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class SeenWords:
    """The words of the training pictures' texts, lower-cased, and names that were held out although their words were
    not."""

    words: frozenset[str]
    held_out: tuple[str, ...] = ()

    def never(self, phrase: str) -> list[str]:
        """Parts of a phrase that no training picture's text has: held-out names, then single words, each once,
        lower-cased."""
        text, unseen = phrase.lower(), list[str]()
        for name in sorted(self.held_out, key=len, reverse=True):
            pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
            if re.search(pattern, text):
                text = re.sub(pattern, " ", text)
                unseen.append(name)
        return list(dict.fromkeys([*unseen, *(word for word in _WORD.findall(text) if word not in self.words)]))


def seen_words(data: Dataset) -> SeenWords:
    """Words of all sources with pictures. Reads the texts that a tokenizer is trained on: seconds, once."""
    pictured = [s for s in data.sources if {"pairs", "regions"} & s.provides]
    held_out = tuple(name.lower() for s in pictured for name in getattr(s, "unseen_names", ()))
    return SeenWords(frozenset().union(*map(_words, pictured)), held_out)


@lru_cache(maxsize=8)
def _words(source: Source) -> frozenset[str]:
    return frozenset(word for text in set(source.corpus()) for word in _WORD.findall(text.lower()))
