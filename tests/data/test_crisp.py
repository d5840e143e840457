"""A crisp picture is the same scene: reduced to the model's pixels it is what the model sees."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from xfm import recipes
from xfm.config import SceneConfig
from xfm.data import dataset
from xfm.data.world import crisp, styles

WORLD = dataset(recipes.smoke()).world
OTHERS = tuple(name for name in styles.STYLES if name != "openmoji")[:1]
WORLDS = {
    "plain": WORLD,
    "rotated, occluded, cluttered": replace(WORLD, scenes=SceneConfig(overlap=0.4, rotation=30, clutter=2)),
    "another style": replace(WORLD, styles=OTHERS),
}


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("name", WORLDS)
def test_a_crisp_picture_reduced_is_nearly_what_the_model_sees(name):
    for index in range(4):
        scene, other = (WORLDS[name].scene("test", i) for i in (index, index + 50))
        large = decoded(crisp.crisp(scene.image))
        assert large.shape == (crisp.SIDE, crisp.SIDE, 3)
        small = Image.fromarray(large).resize(scene.image.shape[:2], Image.Resampling.BOX)
        error, apart = (np.abs(np.asarray(small, float) - image).mean() for image in (scene.image, other.image))
        assert error < 8 and error < 0.5 * apart, (index, error, apart)


def test_pictures_that_no_world_has_drawn_stay_as_they_are():
    scene = WORLD.scene("test", 1)
    assert crisp.crisp(scene.image), "the world remembers it"
    changed = scene.image.copy()
    changed[0, 0] ^= 1
    assert crisp.crisp(changed) == b"" and crisp.crisp(np.zeros((48, 48, 3), np.uint8)) == b""
    assert crisp.crisp(scene.image, side=len(scene.image)) == b"", "no more pixels than the model sees"


def test_a_scene_that_is_held_stays_crisp_however_many_are_drawn_after_it(monkeypatch):
    monkeypatch.setattr(crisp, "MOST", 3)
    held, forgotten = WORLD.scene("test", 2), WORLD.scene("test", 3).image.copy()
    for index in range(4, 9 + len(crisp._drawn)):
        WORLD.scene("test", index)
    assert crisp.crisp(held.image) and crisp.crisp(forgotten) == b""


def test_an_object_that_is_replaced_is_drawn_anew():
    scene = WORLD.scene("test", 1)
    other = WORLD.replace_object(scene, scene.objects[0].name, WORLD.names[0])
    assert crisp.crisp(other.image) not in (b"", crisp.crisp(scene.image))
