"""The colour words: the colour space, the terms of colours that nobody disputes, and of drawings."""

import numpy as np
import pytest

from xfm.data.world import colours, openmoji
from xfm.data.world.colours import LEVELS, TERMS, oklab

PLACE = {c.name: i for i, c in enumerate(openmoji.concepts())}


@pytest.mark.parametrize(("rgb", "lab"), [  # of Ottosson's own implementation
    ((1, 1, 1), (1, 0, 0)), ((1, 0, 0), (0.627955, 0.224863, 0.125846)), ((0, 0, 0), (0, 0, 0)),
    ((0, 0, 1), (0.452014, -0.032457, -0.311528)), ((0, 1, 0), (0.866440, -0.233888, 0.179498)),
])  # fmt: skip
def test_oklab(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    assert oklab(np.array(rgb)) == pytest.approx(lab, abs=1e-4)
    for level in np.linspace(0, 1, 30):  # greys have no hue
        assert np.abs(oklab(np.full(3, level))[1:]).max() < 1e-4
        assert term(*[round(level * 255)] * 3) in ("black", "grey", "white")


def term(red: int, green: int, blue: int) -> str:
    step = 256 // LEVELS
    return TERMS[colours.terms_of_colours()[(red // step * LEVELS + green // step) * LEVELS + blue // step]]


def test_drawings_have_the_colours_that_anybody_sees() -> None:
    seen = {
        "apple": "red", "carrot": "orange", "lemon": "yellow", "frog": "green", "whale": "blue", "eggplant": "purple",
        "pig": "pink", "horse": "brown", "elephant": "grey", "alarm clock": "white", "snowflake": "black",
        "bat": "black", "rainbow": None, "penguin": None, "zebra": None, "toilet": "grey",
        "red envelope": None, "blue book": None, "black cat": None,  # the name says one already
    }  # fmt: skip
    assert {name: colours.colour(PLACE[name]) for name in seen} == seen


def test_a_word_is_said_where_one_colour_dominates() -> None:
    table = colours.term_shares()
    assert table.shape == (853, 11) and np.allclose(table.sum(1), 1)
    for place, word in enumerate(colours.colour_words()):
        shares = dict(zip(TERMS, table[place], strict=True))
        if word:
            rest = sorted(share for name, share in shares.items() if name != word)
            assert shares[word] >= 0.5 and rest[-1] < 0.25 and not colours.is_rare(place, word)
    said = [w for w in colours.colour_words() if w]
    assert set(said) == set(TERMS) and 400 < len(said) < 700
