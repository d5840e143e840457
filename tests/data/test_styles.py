"""The styles: complete, whole, by different hands; a scene of one is what it was, of several each object has one."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from xfm import recipes
from xfm.base.seeding import rng
from xfm.config import CaptionConfig, ConfigError, SceneConfig
from xfm.data import dataset
from xfm.data.world import openmoji, styles
from xfm.data.world.hard_negatives import hard_negative
from xfm.data.world.objects import VISIBLE
from xfm.data.world.questions import visual_question
from xfm.data.world.scenes import Shuffled, World

OTHERS = [name for name in styles.STYLES if name != "openmoji"]
ALL = tuple(styles.STYLES)


def test_there_are_four_and_the_packed_ones_say_what_they_are() -> None:
    assert ALL == ("openmoji", "noto", "twemoji", "fluent")
    licences = {name: style.licence for name, style in styles.STYLES.items()}
    assert licences == {"openmoji": "CC BY-SA 4.0", "noto": "Apache-2.0", "twemoji": "CC BY 4.0", "fluent": "MIT"}
    for name in OTHERS:
        style = styles.STYLES[name]
        assert re.fullmatch(r"@iconify-json/[\w-]+", style.package) and re.fullmatch(r"\d+\.\d+\.\d+", style.version)
        assert style.copyright and style.url.startswith("https://") and style.licence_url.startswith("https://")
        assert len(style.package_sha256) == 64
        assert (styles.FOLDER / f"LICENSE-{name}.txt").read_text("utf-8").strip()
    assert sum(f.stat().st_size for f in styles.FOLDER.iterdir()) <= 2_500_000


@pytest.mark.parametrize("name", OTHERS)
def test_a_packed_style_has_every_concept_as_plain_svg(name: str) -> None:
    packed = (styles.FOLDER / f"{name}.json.xz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == styles.STYLES[name].sha256
    drawings = styles.svg(name)
    assert drawings.keys() == {c.code for c in openmoji.concepts()}
    for drawing in drawings.values():
        assert drawing.startswith("<svg ") and drawing.endswith("</svg>")
        assert not re.search(r"<script|<image|<foreignObject|\bon\w+=|href=\"(?!#)", drawing)


@pytest.mark.parametrize("name", ALL)
def test_a_style_is_rendered_with_an_object_and_alpha(name: str) -> None:
    pictures = styles.pictures(32, name)
    assert pictures.shape == (853, 32, 32, 4) and pictures.dtype == np.uint8
    visible = (pictures[..., 3] >= VISIBLE).mean((1, 2))
    assert visible.min() > 0.02 and 0.2 < visible.mean() < 0.8
    assert len({picture.tobytes() for picture in pictures}) > 820  # some families draw two concepts alike
    assert all(not (pictures == styles.pictures(32, other))[::8].all((1, 2, 3)).any() for other in {*ALL} - {name})
    apple = next(c for c in openmoji.concepts() if c.name == "apple")
    assert np.array_equal(styles.picture(apple, 32, name), styles.render(styles.svg(name)[apple.code], 32))
    red, _, blue, alpha = styles.picture(apple, 32, name).reshape(-1, 4).T
    assert np.median(red[alpha > 200]) > 150 > 100 > np.median(blue[alpha > 200])


def test_a_file_that_is_not_the_packed_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = bytearray((styles.FOLDER / "noto.json.xz").read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "noto.json.xz").write_bytes(damaged)
    monkeypatch.setattr(styles, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"noto\.json\.xz: is not the file that this version brings; install"):
        styles.svg("noto")


@pytest.mark.parametrize(("value", "said"), [
    ("", "'': must be one of 'openmoji', "), ("noto+", "'': must be one of"),
    ("emoji", "'emoji': must be one of 'openmoji', 'noto', 'twemoji', 'fluent'; did you mean"),
    ("noto, twemoji", "'noto, twemoji': must be one of"),
    ("noto+openmoji+noto", "'noto+openmoji+noto': must be names of different styles, joined by +"),
])  # fmt: skip
def test_a_wrong_choice_of_styles_is_refused(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(f'data.styles = {said}')}"):
        dataset(recipes.demo().replace({"data.styles": value}))


def test_the_config_chooses_the_styles_of_the_world_which_draw_from_a_generator_of_their_own() -> None:
    one, two = (dataset(recipes.demo().replace({"data.styles": s})).world for s in ("openmoji", "noto+fluent"))
    assert one == dataset(recipes.demo()).world and one.styles == ("openmoji",) and two.styles == ("noto", "fluent")
    assert one.fingerprint != two.fingerprint  # placements depend on the drawings
    for i in range(20):
        (a,), (b,) = (world.scene("unseen_concepts", i, 1).objects for world in (one, two))
        assert (a.concept, a.size) == (b.concept, b.size)


def test_credits_name_what_is_shown() -> None:
    assert World().credit == World().scene("test", 0).credit == "Pictures: OpenMoji, CC BY-SA 4.0"
    assert "The figures that show them are adaptations under the same licence: who passes this" in World().licence
    world = World(styles=("twemoji", "openmoji", "noto"))
    assert world.credit == "Pictures: OpenMoji, CC BY-SA 4.0; Noto Emoji, Apache-2.0; Twemoji, CC BY 4.0"
    for name in ("twemoji", "openmoji", "noto"):
        about = styles.STYLES[name]
        assert f"{about.family} ({about.url}), {about.licence} ({about.licence_url})" in world.licence
    assert "adaptations" not in World(styles=("fluent",)).licence and "MIT" in World(styles=("fluent",)).licence
    for i in range(20):
        scene = world.scene("test", i)
        families = {styles.STYLES[o.style].family for o in scene.objects}
        assert {f.split(", ")[0] for f in scene.credit.removeprefix("Pictures: ").split("; ")} == families
    worlds = Shuffled(styles=ALL), World(styles=ALL)  # the picture's credit, not the text's
    assert any(len({world.scene("train", i).credit for world in worlds}) == 2 for i in range(9))


def test_what_is_said_of_colours_is_true_of_the_drawing_that_is_shown() -> None:
    """Two cats of different styles may be yellow and orange: they have no colour together."""
    world = World(100, 48, SceneConfig(overlap=0.4), CaptionConfig(colours=1), styles=ALL)
    scenes = [world.scene("train", i, phrases=False) for i in range(300)]
    said = [(thing, s) for s in scenes for thing in s.caption.things]
    groups = [thing.colour for thing, _ in said if thing.count > 1]
    assert None in groups and any(groups)
    for thing, scene in said:
        assert not thing.colour or any((o.name, o.colour) == (thing.name, thing.colour) for o in scene.objects)
    changed = [hard_negative(s.caption, s, "colour", world, rng("test", i)) for i, s in enumerate(scenes[:60])]
    assert sum(c is not None for c in changed) > 20
    for question in (visual_question(world, "train", i) for i in range(24)):
        if question.kind == "colour":
            assert question.answer in {o.colour for o in question.scene.objects} and question.answer in question.answers
