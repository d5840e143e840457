"""Word pieces belong to words, patches to rectangles of the image."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from xfm import recipes
from xfm.data import dataset
from xfm.explain.token_axes import PatchAxis, token_axis

TOKENIZER = dataset(recipes.smoke()).tokenizer()


@given(st.text(max_size=40))
def test_pieces_belong_to_words_of_the_text(text):
    ids = TOKENIZER.encode(text, 1 << 30)
    words = token_axis(TOKENIZER, text, ids)
    assert len(words.pieces) == len(words.owner) == len(ids)
    assert all(-1 <= owner < len(words.words) for owner in words.owner)
    assert all(word in text for word in words.words)
    ordered = [owner for owner in words.owner if owner >= 0]
    assert ordered == sorted(ordered)


def test_words_are_joined_from_their_pieces():
    text = "a small cookie, below a hammer"
    words = token_axis(TOKENIZER, text, TOKENIZER.encode(text, 99))
    assert words.words == ("a", "small", "cookie", ",", "below", "a", "hammer")
    joined = words.joined(torch.ones(2, len(words.pieces)))
    assert joined[0].tolist() == [float(words.owner.count(word)) for word in range(7)]
    assert words.owner[0] == words.owner[-1] == -1


def test_patches_are_rectangles_of_the_image():
    axis = PatchAxis(grid=3, size=4)
    covered = torch.zeros(12, 12, dtype=torch.int)
    for patch in range(9):
        x, y, w, h = axis.rectangle(patch)
        covered[y : y + h, x : x + w] += 1
        assert (axis.pixels(torch.arange(9))[y : y + h, x : x + w] == patch).all()
    assert (covered == 1).all()
