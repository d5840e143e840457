"""Training texts that do not fit their pictures, and everything else as it is."""

from __future__ import annotations

import numpy as np

from xfm import recipes
from xfm.data import dataset

CONFIG = recipes.smoke()
WORLD, SHUFFLED = (dataset(CONFIG.replace({"data.dataset": name})).world for name in ("openmoji", "shuffled"))


def test_only_the_pictures_of_training_are_others():
    for i in range(8):
        plain, shuffled = (world.scene("train", i) for world in (WORLD, SHUFFLED))
        assert plain.caption == shuffled.caption and plain.phrases == shuffled.phrases
        assert plain.objects == shuffled.objects and not np.array_equal(plain.image, shuffled.image)
        assert np.array_equal(shuffled.image, SHUFFLED.scene("train", i).image)
        same = [world.scene("test", i) for world in (WORLD, SHUFFLED)]
        assert same[0].caption == same[1].caption and np.array_equal(same[0].image, same[1].image)


def test_a_curriculum_can_ask_for_concepts():
    scene = SHUFFLED.scene("train", 3, concepts=(5,))
    assert [o.concept for o in scene.objects] == [5]
    assert not np.array_equal(scene.image, WORLD.scene("train", 3, concepts=(5,)).image)


def test_both_have_one_tokenizer():
    texts = [
        dataset(CONFIG.replace({"data.dataset": n})).tokenizer().encode("two lions", 9)
        for n in ("openmoji", "shuffled")
    ]
    assert texts[0] == texts[1]
