"""Minimal pairs (task "minimal pairs"): does the language encoder find a sentence likelier than one that differs from
it in a word or two and is wrong (BLiMP; Warstadt et al., 2020)? By the masked language model's pseudo-log-likelihood
(Salazar et al., 2020): the sum over all tokens of log p(token | the others), each masked in turn.

Only what is wrong without an annotator's judgement is asked. Of the grammar's captions, which MLM never reads (the
language encoder does, for ITC): number and article of a noun, the order of article and noun, and of relation and
article. Of WordNet's held-out sentences, of which MLM learns the training ones: "a" and "an" before an unambiguous
sound, the number of a noun that stands between its determiner and the end of its phrase, "of the" against "the of", and
such a noun against an adverb in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ...data import wordnet
from ...data.world.grammar import RELATIONS, Relation, Thing, article, compose, plural
from ..context import BATCH, EvalContext
from ..neighbours import NGram
from ..result import NGRAM, Result
from .language import log_unigram, ngram

NEEDS = ("objects", "senses")
EACH = 100  # pairs of a phenomenon, at most
LONGEST = 10  # words of a sentence of WordNet: each is a pass or more
CAPTIONS = 300  # drawn, of which EACH are chosen
# Concepts of which one may say "two corn", or not "a corn": no question of number.
UNCOUNTED = frozenset("""
bacon badminton baseball basketball bowling bread broccoli butter camping candy cheese chicken construction cooking
coral corn cricket curry custard dna fire fog football garlic herb ice lacrosse mail moose popcorn rice sake salt
shrimp soap softball spaghetti squid sushi tempura tennis thread turkey volleyball wood yarn
""".split())  # fmt: skip
ENDS = r"(?= (?:of|in|on|for|with|by|from|that|which)\b|$)"  # behind a noun that ends its phrase


def _noun_behind(*determiners: str, end: str = "") -> re.Pattern[str]:
    behind = "|".join(rf"(?<=\b{word} )" for word in determiners)
    return re.compile(rf"(?:{behind})(?!few\b|lot\b)\w{{2,}}{end}{ENDS}")


SINGULAR = _noun_behind("a", "an", "another", "each", "every")
PLURAL = _noun_behind("several", "many", "these", "those", "few", "two", "three", "four", "various", end="s")
NOUN = _noun_behind("a", "an", "the")
OF_THE = re.compile(r"\bof (?:the|a|an)(?= \w)")
# not before h, u, y, "eu", "ew", "one", "once": their first sound is not their first letter's
ARTICLE = re.compile(r"\b(?:a(?= [bcdfgjklmnpqrstvwz])|an(?= (?:[ai]|e(?![uw])|o(?!n[ce]))))(?= \w\w)")


class MinimalPair(NamedTuple):
    """A sentence that is right, and one that differs from it a little and is wrong."""

    right: str
    wrong: str
    source: str  # the sentence, or the concept: pairs of one source are resampled together


Pairs = dict[str, list[MinimalPair]]  # by phenomenon


def score(context: EvalContext) -> list[Result]:
    """Accuracy by phenomenon and over all: how often the right sentence has the higher pseudo-log-likelihood; chance is
    a half. Empty for unseen splits.

    Control conditions: the sentence that unigram frequencies in the training texts choose, which is the right one in
    half of the pairs, as they are drawn so (`balanced`); the one of fewer tokens; and the one that is likelier by an
    n-gram, the same sum with p(token | its two neighbours). Pairs of one sentence of WordNet,
    and of one concept of captions, are resampled together.
    """
    if context.unseen:
        return []
    drawn = draw_pairs(context, unigram := log_unigram(context))
    ids = _encode(context, [pair for each in drawn.values() for pair in each])
    chosen = {"MLM": pseudo_log_likelihood(context, ids), "unigram": _sums(ids, unigram),
              "fewer tokens": -np.array([len(row) for row in ids], float)}  # fmt: skip
    return _results(context, drawn, chosen) + by_neighbours(context, drawn)


def by_neighbours(context: EvalContext, drawn: Pairs) -> list[Result]:
    """The control condition of an n-gram, whatever the model."""
    ids = _encode(context, [pair for each in drawn.values() for pair in each])
    return _results(context, drawn, {NGRAM: _by_neighbours(ids, ngram(context))})


def _results(context: EvalContext, drawn: Pairs, chosen: dict[str, np.ndarray]) -> list[Result]:
    """Accuracy by phenomenon and over all, of each condition's scores of the right and the wrong sentences in turn."""
    pairs = [pair for each in drawn.values() for pair in each]
    phenomenon = np.repeat(list(drawn), [len(each) for each in drawn.values()])
    source = np.array([pair.source for pair in pairs])
    results = []
    for name in ("", *drawn):
        kept = phenomenon == name if name else np.ones(len(pairs), bool)
        for condition, scores in chosen.items():
            lead = (scores.reshape(-1, 2) @ (1, -1)).round(9)[kept]
            correct, better = (lead > 0) + 0.5 * (lead == 0), "higher" if condition == "MLM" else ""
            task, chance = f"minimal pairs ({name})" if name else "minimal pairs", (0.5, "chance")
            results.append(
                context.result(task, condition, "accuracy", correct, chance, 1.0, source[kept], better=better)
            )
    return results


def pseudo_log_likelihood(context: EvalContext, ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Of n texts, token ids with `<s>` and `</s>`, which are never masked -> (n,) nats (Salazar et al., 2020)."""
    model: Any = context.model
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # little padding
    places = [(i, p) for i in order for p in range(1, len(ids[i]) - 1)]
    total = np.zeros(len(ids))
    for start in range(0, len(places), BATCH):
        text, at = (list(column) for column in zip(*places[start : start + BATCH], strict=True))
        masked = [[*ids[i][:p], context.tokenizer.mask_id, *ids[i][p + 1 :]] for i, p in zip(text, at, strict=True)]
        states = context.text_states(masked)[0][range(len(at)), at]
        logits = model.objectives["mlm"].head(states, model.text.word.weight).float().cpu()
        truth = torch.tensor([ids[i][p] for i, p in zip(text, at, strict=True)])
        np.add.at(total, text, logits.log_softmax(-1).gather(1, truth[:, None])[:, 0].double().numpy())
    return total


def draw_pairs(context: EvalContext, unigram: np.ndarray) -> Pairs:
    """The pairs of a split, `balanced` by the tokens' log-probabilities `unigram` (V,). A phenomenon of which there are
    none is left out."""
    kept: Pairs = {}
    for name, pairs in (caption_pairs(context) | sentence_pairs(context, unigram)).items():
        lead = _sums(_encode(context, pairs), unigram).reshape(-1, 2) @ (1, -1)
        chosen = balanced(lead, EACH, context.rng("minimal pairs", name))
        kept |= {name: [pairs[i] for i in chosen]} if chosen else {}
    return kept


def balanced(lead: np.ndarray, most: int, rng: np.random.Generator) -> list[int]:
    """At most so many of n items: as many of a positive `lead` (n,) as of a negative one, drawn at random; what has
    none, a change of order alone, fills the rest."""
    order = rng.permutation(len(lead))
    ahead, behind, level = (order[np.sign(lead.round(9))[order] == sign] for sign in (1, -1, 0))
    each = min(len(ahead), len(behind), most // 2)
    return np.concatenate([ahead[:each], behind[:each], level[: most - 2 * each]]).astype(int).tolist()


def caption_pairs(context: EvalContext) -> Pairs:
    """Of two things that the world's captions name, from the grammar alone: CAPTIONS of each phenomenon; of articles as
    many of them as are unambiguous."""
    rng, found = context.rng("minimal pairs", "captions"), dict[str, list[MinimalPair]]()
    names = sorted({*context.world.names} & wordnet.lemmas("noun") - UNCOUNTED)
    names = [name for name in names if plural(name) != name and article(name, name) != "some"]
    for i in range(CAPTIONS):
        name, other = (names[j] for j in rng.choice(len(names), 2, replace=False).tolist())
        relation = list(RELATIONS)[int(rng.random() * len(RELATIONS))]
        right = compose([Thing(name), Thing(other)], [Relation(0, relation, 1)]).text
        one, second = article(name, name), article(other, other)
        two = compose([Thing(name, count=2), Thing(other)], ()).text
        edits = {
            "order": (right, f"{name} {one} {relation} {second} {other}"),
            "relation": (right, f"{one} {name} {second} {relation} {other}"),
            "number": (two, two.replace(plural(name), name, 1))
            if i % 2
            else (f"{one} {name} and {second} {other}", f"{one} {plural(name)} and {second} {other}"),
        }
        if place := ARTICLE.match(right):
            edits["article"] = right, _replaced(right, place, _other_article(place[0]))
        for phenomenon, texts in edits.items():
            found.setdefault(f"{phenomenon}, captions", []).append(MinimalPair(*texts, name))
    return found


def sentence_pairs(context: EvalContext, unigram: np.ndarray) -> Pairs:
    """Of the split's sentences of WordNet of at most LONGEST words, one pair of a sentence and phenomenon. `unigram`
    (V,): as in `draw_pairs`."""
    rng, found = context.rng("minimal pairs", "sentences"), dict[str, list[MinimalPair]]()
    words = {word for s in context.source.sentences("train") for word in s.text.split()}
    adverbs = _Adverbs(context, unigram, words)
    edits: dict[str, Sequence[tuple[re.Pattern[str], Callable[[str], str | None]]]] = {
        "article": [(ARTICLE, _other_article)],
        "number": [(SINGULAR, plural), (PLURAL, lambda noun: _singular(noun, words))],
        "order": [(OF_THE, lambda text: " ".join(reversed(text.split())))],
        "part of speech": [(NOUN, lambda noun: adverbs.like(noun, rng))],
    }
    for text in (s.text for s in context.source.sentences(context.split) if len(s.text.split()) <= LONGEST):
        for phenomenon, ways in edits.items():
            place, edit = next(((m, edit) for pattern, edit in ways if (m := pattern.search(text))), (None, None))
            new = edit(place[0]) if place and edit else None
            if place and new and new != place[0]:
                pair = MinimalPair(text, _replaced(text, place, new), text)
                found.setdefault(f"{phenomenon}, WordNet", []).append(pair)
    return found


class _Adverbs:
    """WordNet's adverbs in -ly that are no other part of speech, and occur in the training texts."""

    def __init__(self, context: EvalContext, unigram: np.ndarray, words: Collection[str]) -> None:
        alone = wordnet.lemmas("adv").difference(*map(wordnet.lemmas, ("noun", "verb", "adj")))
        self.context, self.unigram = context, unigram
        self.more_frequent = False  # whether the next one is to be: as often as not
        self.known = [(*self._measured(w), w) for w in sorted(alone & set(words)) if w.endswith("ly")]

    def _measured(self, word: str) -> tuple[int, float]:
        """The number of its tokens, and the sum of their log-probabilities."""
        ids = self.context.tokenizer.encode(word, 1 << 30)[1:-1]
        return len(ids), float(self.unigram[ids].sum())

    def like(self, noun: str, rng: np.random.Generator) -> str | None:
        """One of as many tokens and with the same article, in turn more and less frequent; None where there is none."""
        tokens, level = self._measured(noun)
        self.more_frequent = not self.more_frequent
        fit = [
            word for n, own, word in self.known
            if n == tokens and article(word, word) == article(noun, noun) and (own > level) == self.more_frequent
        ]  # fmt: skip
        return fit[int(rng.random() * len(fit))] if fit else None


def _singular(noun: str, words: Collection[str]) -> str | None:
    """Of a plural in -s, where the training texts have such a word."""
    stems = (f"{noun[:-3]}y" if noun.endswith("ies") else "", noun[:-1], noun[:-2] if noun.endswith("es") else "")
    return next((stem for stem in stems if stem in words and plural(stem) == noun), None)


def _other_article(word: str) -> str:
    return "a" if word == "an" else "an"


def _replaced(text: str, place: re.Match[str], new: str) -> str:
    return text[: place.start()] + new + text[place.end() :]


def _encode(context: EvalContext, pairs: Sequence[MinimalPair]) -> list[list[int]]:
    """The token ids of each pair's right sentence, then its wrong one."""
    longest = context.config.data.text_tokens
    return [context.tokenizer.encode(text, longest) for pair in pairs for text in (pair.right, pair.wrong)]


def _by_neighbours(ids: Sequence[Sequence[int]], counted: NGram) -> np.ndarray:
    """(n,) nats: the pseudo-log-likelihood of each text, token ids with `<s>` and `</s>`, by an n-gram."""
    rows = [(row[p - 1], row[p + 1], row[p]) for row in ids for p in range(1, len(row) - 1)]
    text = np.repeat(range(len(ids)), [len(row) - 2 for row in ids])
    return np.bincount(text, np.log(counted.probability(np.array(rows))), len(ids))


def _sums(ids: Sequence[Sequence[int]], of: np.ndarray) -> np.ndarray:
    """(n,) over the tokens of each text of what each token has (V,)."""
    return np.array([of[row[1:-1]].sum() for row in ids])
