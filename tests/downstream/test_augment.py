"""Crops and mirror images of training pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xfm.tasks.own.both import around, changed, mirrors, part

sides = st.integers(2, 300)
seeds = st.integers(0, 999)


@given(sides, sides, seeds)
def test_a_crop_is_half_of_the_picture_or_more(width: int, height: int, seed: int) -> None:
    left, upper, right, lower = part((width, height), np.random.default_rng(seed))
    w, h = right - left, lower - upper
    assert 0 <= left < right <= width + 1e-9 and 0 <= upper < lower <= height + 1e-9
    assert w * h >= 0.5 * width * height * (1 - 1e-9)
    assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9 or (w, h) == (width, height)


@given(sides, sides, st.tuples(*[st.floats(0, 1)] * 4), seeds)
def test_a_crop_around_a_box_has_it_whole(width: int, height: int, at: tuple, seed: int) -> None:
    (x0, x1), (y0, y1) = sorted(at[:2]), sorted(at[2:])
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    left, upper, right, lower = around((width, height), box, np.random.default_rng(seed))
    assert 0 <= left <= box[0] and 0 <= upper <= box[1] and box[2] <= right <= width and box[3] <= lower <= height


@pytest.mark.parametrize("texts, ever", [(("the Left dog",), False), (("a dog", "upright"), False), (("a dog",), True)])
def test_what_a_text_calls_left_is_not_mirrored(texts: tuple[str, ...], ever: bool) -> None:
    rng = np.random.default_rng(0)
    assert any(mirrors(texts, rng) for _ in range(50)) == ever


@given(seeds, st.booleans(), st.integers(0, 2))
def test_a_changed_picture_is_the_window_in_other_colours(seed: int, mirrored: bool, blank: int) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 20:] = (200, 40, 90)
    if blank:
        pixels[:] = 255 * (blank - 1)
    made = changed(Image.fromarray(pixels), (10, 0, 30, 20), mirrored, 16, np.random.default_rng(seed))
    assert made.shape == (16, 16, 3) and made.dtype == np.uint8
    if not blank:
        left, right = made[:, 2].mean(), made[:, -3].mean()
        assert (left > right) == mirrored
    again = changed(Image.fromarray(pixels), (10, 0, 30, 20), mirrored, 16, np.random.default_rng(seed))
    assert (made == again).all()
