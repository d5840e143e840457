"""What of a phrase no training picture came with."""

from __future__ import annotations

import pytest

from xfm import recipes
from xfm.data import dataset
from xfm.explain.vocabulary import SeenWords, seen_words

SEEN = SeenWords(frozenset({"the", "lion", "bear", "polar", "left", "of", "car", "t-shirt"}), ("polar bear", "taco"))


@pytest.mark.parametrize(
    ("phrase", "never"),
    [
        ("the lion", []),
        ("The LION left of the car.", []),
        ("the zebra", ["zebra"]),
        ("the zebra, the zebra and a gnu", ["zebra", "and", "a", "gnu"]),
        ("the polar bear", ["polar bear"]),  # held out, though each word was seen
        ("the bear", []),
        ("polar bears", ["bears"]),
        ("taco-taco", ["taco"]),
        ("a t-shirt", ["a"]),
        ("", []),
        ("!?. \x00 ", []),
        ("<b>löwe</b> 豹", ["b", "löwe", "豹"]),
        ("a lion " * 3, ["a"]),
    ],
)
def test_words_and_held_out_names_are_named_once(phrase: str, never: list[str]) -> None:
    assert SEEN.never(phrase) == never


def test_of_a_world_all_its_phrases_are_known_and_its_held_out_concepts_are_not() -> None:
    data = dataset(recipes.smoke())
    seen = seen_words(data)
    for i in range(20):
        scene = data.world.scene("test", i)
        assert [seen.never(text) for text in (scene.text, *(p.text for p in scene.phrases))] == [
            [] for _ in (scene.text, *scene.phrases)
        ]
    for name in data.world.unseen_names:
        assert seen.never(f"the {name}") == [name]
