"""The styles: complete, by different hands; their colours, their crisp pictures."""

import hashlib
import re
from dataclasses import replace
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfm import recipes
from xfm.config import CaptionConfig, ConfigError, SceneConfig
from xfm.data import dataset
from xfm.data.world import colours, crisp, openmoji, styles
from xfm.data.world.colours import oklab
from xfm.data.world.objects import VISIBLE
from xfm.data.world.questions import visual_question
from xfm.data.world.scenes import World

ALL = tuple(styles.STYLES)


@pytest.mark.parametrize("name", ALL[1:])
def test_a_packed_style_has_every_concept_as_plain_svg(name: str) -> None:
    packed = (styles.FOLDER / f"{name}.json.xz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == styles.STYLES[name].sha256
    assert styles.STYLES[name].copyright and (styles.FOLDER / f"LICENSE-{name}.txt").read_text("utf-8").strip()
    drawings, concepts = styles.svg(name), openmoji.concepts()
    assert drawings.keys() == {c.code for c in concepts} and len(drawings) == len({c.name for c in concepts}) == 853
    for drawing in drawings.values():
        assert drawing.startswith("<svg ") and drawing.endswith("</svg>")
        assert not re.search(r"<script|<image|<foreignObject|\bon\w+=|href=\"(?!#)", drawing)


@pytest.mark.full
@pytest.mark.parametrize("name", ALL)
def test_a_style_is_rendered_with_an_object_and_alpha(name: str) -> None:
    pictures = styles.pictures(32, name)
    assert pictures.shape == (853, 32, 32, 4) and pictures.dtype == np.uint8
    visible = (pictures[..., 3] >= VISIBLE).mean((1, 2))
    assert visible.min() > 0.02 and 0.2 < visible.mean() < 0.8
    assert len({picture.tobytes() for picture in pictures}) > 820  # some families draw two concepts alike
    assert all(not (pictures == styles.pictures(32, other))[::8].all((1, 2, 3)).any() for other in {*ALL} - {name})
    apple = next(c for c in openmoji.concepts() if c.name == "apple")
    red, _, blue, alpha = styles.picture(apple, 32, name).reshape(-1, 4).T
    assert np.median(red[alpha > 200]) > 150 > 100 > np.median(blue[alpha > 200])


def test_a_damaged_file_and_a_wrong_choice_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, said in (("noto+emoji", "one of 'openmoji', 'noto'"), ("noto+noto", "names of different styles")):
        with pytest.raises(ConfigError, match=rf"^data.styles = '.*': must be {said}"):
            dataset(recipes.demo().replace({"data.styles": value}))
    damaged = bytearray((styles.FOLDER / "noto.json.xz").read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "noto.json.xz").write_bytes(damaged)
    monkeypatch.setattr(styles, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"noto\.json\.xz: is not the file that this version brings; install"):
        styles.svg("noto")


def test_credits_name_what_is_shown() -> None:
    assert World().credit == World().scene("test", 0).credit == "Pictures: OpenMoji, CC BY-SA 4.0"
    world = World(styles=("twemoji", "openmoji", "noto"))
    assert world.credit == "Pictures: OpenMoji, CC BY-SA 4.0; Noto Emoji, Apache-2.0; Twemoji, CC BY 4.0"
    for scene in (world.scene("test", i) for i in range(20)):
        families = {styles.STYLES[o.style].family for o in scene.objects}
        assert {f.split(", ")[0] for f in scene.credit.removeprefix("Pictures: ").split("; ")} == families


def test_what_is_asked_of_colours_is_true_of_the_drawing_that_is_shown() -> None:
    """Two cats of different styles may be yellow and orange: they have no colour together."""
    world = World(100, 48, SceneConfig(overlap=0.4), CaptionConfig(colours=1), styles=ALL)
    scenes = [world.scene("train", i, phrases=False) for i in range(300)]
    groups = [thing.colour for scene in scenes for thing in scene.caption.things if thing.count > 1]
    assert None in groups and any(groups)
    for question in (q for i in range(24) if (q := visual_question(world, "train", i)).kind == "colour"):
        assert question.answer in {o.colour for o in question.scene.objects} & {*question.answers}


def test_a_crisp_picture_reduced_is_nearly_what_the_model_sees_and_others_stay_as_they_are():
    plain = dataset(recipes.smoke()).world
    rotated = replace(plain, scenes=SceneConfig(overlap=0.4, rotation=30, clutter=2))
    for world, index in product((plain, replace(plain, styles=("noto",)), rotated), range(4)):
        scene, other = (world.scene("test", i) for i in (index, index + 50))
        large = Image.open(BytesIO(crisp.crisp(scene.image))).convert("RGB")
        small = large.resize(scene.image.shape[:2], Image.Resampling.BOX)
        assert large.size == (crisp.SIDE, crisp.SIDE)
        error, apart = (np.abs(np.asarray(small, float) - image).mean() for image in (scene.image, other.image))
        assert error < 8 and error < 0.5 * apart, (index, error, apart)
    scene = plain.scene("test", 1)
    changed = scene.image ^ np.eye(48, 48, dtype=np.uint8)[..., None]
    assert crisp.crisp(changed) == b"" == crisp.crisp(scene.image, side=len(scene.image)), "none unless it shows more"
    other = plain.replace_object(scene, scene.objects[0].name, plain.names[0])
    assert crisp.crisp(other.image) not in (b"", crisp.crisp(scene.image))


def test_oklab_is_ottossons_and_drawings_have_the_colours_that_anybody_sees() -> None:
    rgb = np.array([(1, 1, 1), (1, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 0)])
    lab = [(1, 0, 0), (0.627955, 0.224863, 0.125846), (0, 0, 0), (0.452014, -0.032457, -0.311528)]
    assert oklab(rgb) == pytest.approx(np.array([*lab, (0.866440, -0.233888, 0.179498)]), abs=1e-4)
    seen = {
        "apple": "red", "carrot": "orange", "lemon": "yellow", "frog": "green", "whale": "blue", "eggplant": "purple",
        "pig": "pink", "horse": "brown", "elephant": "grey", "alarm clock": "white", "bat": "black",
        "rainbow": None, "penguin": None, "red envelope": None, "black cat": None,  # whose name says one already
    }  # fmt: skip
    place = {c.name: i for i, c in enumerate(openmoji.concepts())}
    assert {name: colours.colour(place[name]) for name in seen} == seen
