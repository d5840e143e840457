"""Masks against slow, literal re-implementations of the published rules and against closed forms."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.base import seeding
from xfm.data.masking import block_mask, mask_tokens, span_positions

VOCABULARY = 200
MASK = VOCABULARY - 1


def naive_block_mask(grid: int, hidden: int, smallest: int, draw: random.Random) -> np.ndarray:
    mask = np.zeros((grid, grid), bool)
    while mask.sum() < hidden:
        missing = hidden - mask.sum()
        for _ in range(10):
            area = draw.uniform(smallest, missing)
            aspect = math.exp(draw.uniform(math.log(0.3), math.log(1 / 0.3)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if width < grid and height < grid:
                top, left = draw.randint(0, grid - height), draw.randint(0, grid - width)
                new = (~mask[top : top + height, left : left + width]).sum()
                if 0 < new <= missing:
                    mask[top : top + height, left : left + width] = True
                    break
        else:
            free = np.flatnonzero(~mask)
            mask.ravel()[draw.sample(list(free), missing)] = True
    return mask.ravel()


def naive_span_positions(length: int, share: float, most: int, span_share: float, draw: random.Random) -> list[int]:
    wanted = min(most, max(1, round(length * share)), length - 2)
    starts, chosen = list(range(1, length - 1)), []
    draw.shuffle(starts)
    for start in starts:
        if len(chosen) < wanted and start not in chosen:
            tokens = draw.randint(2, 3) if draw.random() < span_share else 1
            chosen += [p for p in range(start, start + tokens) if p < length - 1 and p not in chosen]
    draw.shuffle(chosen)
    return sorted(chosen[:wanted])


@given(st.integers(2, 14), st.floats(0, 1), st.integers(1, 20), st.integers(0))
def test_exactly_so_many_patches_are_hidden(grid: int, share: float, smallest: int, key: int) -> None:
    hidden = round(share * grid * grid)
    mask = block_mask(grid, hidden, smallest, seeding.rng(key))
    assert mask.shape == (grid * grid,) and mask.dtype == bool and mask.sum() == hidden
    with pytest.raises(ValueError, match=f"must be from 0 to the {grid**2} patches"):
        block_mask(grid, grid**2 + 1, smallest, seeding.rng(key))


@pytest.mark.parametrize(("grid", "hidden", "smallest"), [(14, 75, 16), (6, 14, 4), (6, 30, 9)])
def test_blocks_fall_where_the_published_ones_do(grid: int, hidden: int, smallest: int) -> None:
    rng, draw, n = seeding.rng("blocks"), random.Random(0), 2000
    ours = np.mean([block_mask(grid, hidden, smallest, rng) for _ in range(n)], axis=0)
    naive = np.mean([naive_block_mask(grid, hidden, smallest, draw) for _ in range(n)], axis=0)
    assert np.abs(ours - naive).max() < 5 * math.sqrt(2 * 0.25 / n)  # five standard errors of a difference


@given(st.integers(3, 128), st.floats(0, 1), st.integers(1, 20), st.floats(0, 1), st.integers(0))
def test_as_many_positions_as_documented_and_never_the_ends(length, share, most, span_share, key) -> None:
    positions = span_positions(length, share, most, span_share, seeding.rng(key))
    assert len(positions) == min(most, max(1, round(length * share)), length - 2)
    assert positions == sorted(set(positions)) and positions[0] >= 1 and positions[-1] <= length - 2


@pytest.mark.parametrize(("length", "share", "most", "span_share"), [(16, 0.5, 15, 0.2), (30, 0.15, 20, 0.9)])
def test_spans_are_as_published(length: int, share: float, most: int, span_share: float) -> None:
    """Frequencies of each position and of each pair of neighbours, the latter showing the spans."""
    rng, draw, n = seeding.rng("spans"), random.Random(0), 4000

    def frequencies(sample: list[list[int]]) -> np.ndarray:
        hidden = np.zeros((n, length), bool)
        for row, positions in zip(hidden, sample, strict=True):
            row[positions] = True
        return np.concatenate([hidden.mean(0), (hidden[:, 1:] & hidden[:, :-1]).mean(0)])

    ours = frequencies([span_positions(length, share, most, span_share, rng) for _ in range(n)])
    naive = frequencies([naive_span_positions(length, share, most, span_share, draw) for _ in range(n)])
    assert np.abs(ours - naive).max() < 5 * math.sqrt(2 * 0.25 / n)


texts = st.lists(st.integers(4, MASK - 1), min_size=1, max_size=60).map(lambda words: [0, *words, 2])


@given(texts, st.integers(0))
def test_masked_texts_differ_only_where_they_say(ids: list[int], key: int) -> None:
    masked, positions, labels = mask_tokens(ids, VOCABULARY, 0.5, 15, 0.2, seeding.rng(key))
    assert labels == [ids[p] for p in positions] and positions
    assert all(a == b for i, (a, b) in enumerate(zip(ids, masked, strict=True)) if i not in positions)
    assert all(token == MASK or 4 <= token < MASK for token in (masked[p] for p in positions))
    inside = [0, 3, 10, MASK, 1, 11, 3, 2]  # special tokens inside a text stay
    assert mask_tokens(inside, VOCABULARY, 1.0, 15, 1.0, seeding.rng(key))[1] == [2, 5]
    assert mask_tokens([0, 2], VOCABULARY, 0.5, 15, 0.2, seeding.rng(key)) == ([0, 2], [], [])


def test_eighty_ten_ten() -> None:
    rng, tokens = seeding.rng("tokens"), []
    for _ in range(1000):
        masked, positions, _ = mask_tokens([0, *[50] * 30, 2], VOCABULARY, 0.5, 15, 0.2, rng)
        tokens += [masked[p] for p in positions]
    counts = np.bincount(tokens, minlength=VOCABULARY) / len(tokens)
    words = np.delete(counts[4:MASK], 50 - 4)
    assert counts[MASK] == pytest.approx(0.8, abs=0.015)
    assert counts[50] == pytest.approx(0.1 + 0.1 / (MASK - 4), abs=0.012)
    assert counts[:4].sum() == 0 and words.min() > 0 and words.max() < 3 * 0.1 / (MASK - 4)
