"""Minimal pairs: what is wrong is wrong for the reason named, frequency knows nothing, and the score is a loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xfm.data import wordnet
from xfm.data.world.grammar import plural
from xfm.data.world.parsing import parse
from xfm.tasks import EvalContext
from xfm.tasks.world import minimal_pairs
from xfm.tasks.world.language import log_unigram
from xfm.tasks.world.minimal_pairs import balanced, draw_pairs, pseudo_log_likelihood


def test_the_pseudo_log_likelihood_is_a_loop_over_single_texts(context: EvalContext) -> None:
    ids = context.encode(["a cat", "two dogs above the big red house", "an owl and a car", "cat", "a cat"])
    model, found = context.model, pseudo_log_likelihood(context, ids)
    for row, value in zip(ids, found, strict=True):
        expected = 0.0
        for place in range(1, len(row) - 1):
            masked = torch.tensor([[*row[:place], context.tokenizer.mask_id, *row[place + 1 :]]])
            states = model.text(masked, torch.ones_like(masked, dtype=torch.bool))
            logits = model.objectives["mlm"].head(states[0, place], model.text.word.weight)
            expected += logits.double().log_softmax(0)[row[place]].item()
        assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.full
def test_each_wrong_sentence_is_wrong_in_what_its_phenomenon_names(context: EvalContext) -> None:
    drawn = draw_pairs(context, log_unigram(context))
    validation = draw_pairs(replace(context, split="validation"), log_unigram(context))
    assert minimal_pairs.score(replace(context, split="unseen_concepts")) == []
    assert len(drawn) == 8 and all(len(pairs) >= 40 for pairs in drawn.values())
    for name, pairs in drawn.items():
        phenomenon, source = name.split(", ")
        assert source == "captions" or not {p.source for p in pairs} & {p.source for p in validation[name]}
        for right, wrong, _ in pairs:
            before, after = right.split(), wrong.split()
            assert right != wrong
            if source == "captions":
                assert parse(right).whole and not parse(wrong).whole
                assert minimal_pairs.UNCOUNTED.isdisjoint(before)
            if phenomenon in ("order", "relation"):
                assert sorted(before) == sorted(after)
                continue
            ((one, other),) = ((x.strip(",;"), y.strip(",;")) for x, y in zip(before, after, strict=True) if x != y)
            if phenomenon == "article":
                assert {one, other} == {"a", "an"}
            elif phenomenon == "number":
                assert plural(one) == other or plural(other) == one
            else:
                assert other in wordnet.lemmas("adv") - wordnet.lemmas("noun") - wordnet.lemmas("adj")


@given(st.lists(st.sampled_from([-2.0, -1e-12, 0.0, 0.5, 3.0]), max_size=40), st.integers(1, 30), st.integers(0, 3))
def test_as_many_pairs_lead_as_trail(leads: list[float], most: int, seed: int) -> None:
    lead = np.array(leads, float).round(9)
    kept = balanced(np.array(leads, float), most, np.random.default_rng(seed))
    chosen, ahead, behind = lead[np.array(kept, int)], (lead > 0).sum(), (lead < 0).sum()
    both = min(ahead, behind, most // 2)
    assert len(set(kept)) == len(kept) <= most
    assert (chosen > 0).sum() == (chosen < 0).sum() == both
    assert (chosen == 0).sum() == min(len(lead) - ahead - behind, most - 2 * both)


@pytest.mark.full
def test_frequency_is_right_in_half_of_each_phenomenon(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a model that knows the right sentences has all, one that cannot tell them apart half, without a width."""
    known = {p.right for pairs in draw_pairs(context, log_unigram(context)).values() for p in pairs}
    decode, said = context.tokenizer.decode, "pseudo_log_likelihood"
    monkeypatch.setattr(minimal_pairs, said, lambda _, ids: np.array([decode(row) in known for row in ids], float))
    rows = minimal_pairs.score(context)
    assert len({(r.task, r.condition) for r in rows}) == 9 * 4 and {r.baseline for r in rows} == {0.5}
    for row in rows:
        assert row.better == ("higher" if row.condition == "MLM" else "")
        if row.condition == "unigram":
            assert row.value == 0.5 and row.low <= 0.5 <= row.high
        elif row.condition != "fewer tokens":
            assert row.value > {"n-gram": 0.5, "MLM": 0.98}[row.condition]
    of_model = {r.task: r.n for r in rows if r.condition == "MLM"}
    assert sum(n for task, n in of_model.items() if "(" in task) == of_model["minimal pairs"]
    monkeypatch.setattr(minimal_pairs, said, lambda _, ids: np.zeros(len(ids)))
    undecided = [r for r in minimal_pairs.score(context) if r.condition == "MLM"]
    assert all((r.value, r.low, r.high) == (0.5, 0.5, 0.5) for r in undecided)
