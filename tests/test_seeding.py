"""A key is all that a draw depends on."""

import itertools

import numpy as np
import torch

from xfm.base import seeding

KEYS = [(0,), (1, 2), (2, 1), (12,), (1, 23), (12, 3), (1, 2, "texts"), (1, 2, "pairs"), ("text", "s"), ("texts",)]


def test_a_draw_is_a_function_of_its_key_whose_parts_stay_apart() -> None:
    assert all(0 <= seeding.seed(*key) < 2**63 for key in KEYS)
    for a, b in itertools.product(KEYS, KEYS):
        drawn = [torch.rand(4, generator=seeding.generator(*key)) for key in (a, b)]
        assert drawn[0].equal(drawn[1]) == (a == b)
        assert np.array_equal(*(seeding.rng(*key).random(4) for key in (a, b))) == (a == b)
    assert seeding.seed(0, 7, "negatives") == 5128321907749414188, "by which committed results were drawn"
