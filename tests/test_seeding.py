"""A key is all that a draw depends on."""

import itertools

import numpy as np
import torch

from xfm.base import seeding

KEYS = [
    (0,),
    (1,),
    (1, 2),
    (2, 1),
    (12,),
    (1, 23),
    (12, 3),
    (1, 2, "texts"),
    (1, 2, "pairs"),
    ("text", "s"),
    ("texts",),
]


def test_another_key_is_another_seed_and_the_parts_of_a_key_stay_apart() -> None:
    seeds = [seeding.seed(*key) for key in KEYS]
    assert len({*seeds}) == len(KEYS) and all(0 <= seed < 2**63 for seed in seeds)


def test_a_draw_is_a_function_of_its_key() -> None:
    for a, b in itertools.product(KEYS, KEYS):
        drawn = [torch.rand(4, generator=seeding.generator(*key)) for key in (a, b)]
        assert drawn[0].equal(drawn[1]) == (a == b)
        assert np.array_equal(*(seeding.rng(*key).random(4) for key in (a, b))) == (a == b)


def test_seeds_are_those_that_committed_results_were_drawn_by() -> None:
    assert seeding.seed(0, 7, "negatives") == 5128321907749414188
