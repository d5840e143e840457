"""Messages that no page of ours sends, texts that no friend writes, pictures that no camera takes."""

import gc
import random
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hostile
import numpy as np
import pandas as pd
import psutil
import pytest
from hostile_pictures import BAD, GOOD
from html_page import Page

from widgets import test_hostile_choices as views
from xfm import recipes
from xfm.base.files import FileError
from xfm.base.images import prepare
from xfm.cli import main
from xfm.config import ConfigError, from_json
from xfm.data.pair_source import PairSource
from xfm.plots import charts
from xfm.study import Spec
from xfm.train import Run

pytestmark = pytest.mark.full
MESSAGES = 200  # a view
GROWTH = 200 << 20  # bytes: a leak of one value a message would be more
NAMED = (ConfigError, FileError, ValueError)  # ValueError: of a source


def value(draw: random.Random, deep: int = 3) -> Any:
    kind = draw.randrange(8 if deep else 6)
    if kind < 2:
        return draw.choice(views.JSON)
    if kind < 4:
        return draw.choice([draw.randint(-3, 9), draw.uniform(-2, 2), draw.getrandbits(70), text(draw)[:2000]])
    if kind < 6:
        return draw.choice([None, True, False, "lion", "itm"])
    inner = [value(draw, deep - 1) for _ in range(draw.randrange(4))]
    return inner if kind == 6 else {text(draw)[:50]: each for each in inner}


def text(draw: random.Random) -> str:
    parts = [draw.choice([*hostile.STRINGS.values()]) for _ in range(draw.choice([1, 1, 2, 3]))]
    joined = draw.choice(["", " ", "\n", "lion"]).join(part[: draw.choice([20, 200, 200_000])] for part in parts)
    return joined if draw.random() < 0.9 else "".join(chr(draw.randrange(0x110000)) for _ in range(20))


def test_messages(attack):
    """To every view, as traits and as messages of its own; it says what it holds, and its memory does not grow."""
    made, process = {name: make("lion") for name, make in views.MAKE.items()}, psutil.Process()
    before = 0
    for draw in attack:
        name = draw.choice([*made])
        view = made[name]
        for _ in range(MESSAGES):
            with attack.attempt(name):
                if draw.random() < 0.3:
                    asked = draw.choice(["refresh", "trace", "whole", "pause", text(draw)[:9]])
                    view._handle_custom_msg(draw.choice([{"do": asked, "of": value(draw)}, value(draw)]), [])
                else:
                    traits = draw.choices([*view.traits(sync=True)], k=3)
                    view.set_state({trait: value(draw) for trait in traits})
        with attack.attempt(f"{name}, afterwards"):
            views.sound(view)
            gc.collect()
            now = process.memory_info().rss
            before = before or now
            assert now - before < GROWTH, f"{(now - before) >> 20} MiB more"


def scripts(view: Any, folder: Path) -> list[str]:
    page = view.to_html(folder / "page.html").read_text("utf-8")
    return [tag for tag in Page(page).tags if tag in ("script", "iframe", "img", "object")]


def as_page(said: str, folder: Path) -> None:
    make = views.MAKE[random.Random(said).choice([*views.MAKE])]
    assert scripts(make(said), folder) == scripts(make("lion"), folder)


def as_figure(said: str, folder: Path) -> None:
    figure = charts.lines(pd.DataFrame({said: [0.1, 0.2]}), said, said, said)
    assert figure.bytes("png")[:4] == b"\x89PNG" and ElementTree.fromstring(figure.bytes("svg")) is not None


def as_name(said: str, folder: Path) -> None:
    run = Run.of(config := recipes.get("smoke").replace({"name": said}), folder / "runs")
    run.make()
    run.claim()
    assert Run.open(run.folder).config == config == from_json(config.to_json())
    assert run.folder.resolve().is_relative_to((folder / "runs").resolve())


def as_label(said: str, folder: Path) -> None:
    assert [*Spec("s", "smoke", {said: {"train.lr": 1e-3}, "other": {}}, (0, 1)).variants] == [said, "other"]


def as_caption(said: str, folder: Path) -> None:
    source = PairSource([np.full((9, 9, 3), i, np.uint8) for i in range(8)], [said] * 8, 8)
    assert source.example("train", 0).text == said


def as_argument(said: str, folder: Path) -> None:
    for words in (["runs", said], ["evaluate", said], ["study", said], ["pretrain", f"smoke+{said}"]):
        try:
            main(words)
        except SystemExit as end:
            assert isinstance(end.code, int) or all(map(str.isprintable, str(end.code).split("\n")))


PLACES = (as_page, as_figure, as_name, as_label, as_caption, as_argument)


def test_texts(attack, tmp_path, capsys, monkeypatch):
    """Wherever a text comes in: taken as it is, or refused by name; and only as text in what is written."""
    monkeypatch.chdir(tmp_path)
    for draw in attack:
        said, place = text(draw), draw.choice(PLACES)
        with attack.attempt(f"{place.__name__} {said[:80]!r}"):
            try:
                place(said, tmp_path)
            except NAMED as error:
                assert len(str(error)) < 2000 and all(line.isprintable() for line in str(error).split("\n"))
            finally:
                capsys.readouterr()


TYPES = [np.uint8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.complex64, bool, object, "U3", "M8[s]"]


def picture(draw: random.Random) -> Any:
    kind = draw.randrange(3)
    if kind == 0:
        shape = [draw.choice([0, 1, 3, 4, 8, 33]) for _ in range(draw.randint(0, 4))]
        array = np.array(np.random.default_rng(draw.getrandbits(30)).uniform(-1, 3, shape)).astype(draw.choice(TYPES))
        array = array[::-1].T if draw.random() < 0.3 and array.ndim == 2 else array
        array.setflags(write=draw.random() < 0.5)
        return array
    if kind == 1:
        data = bytearray(draw.choice([*GOOD.values(), *BAD.values()]))
        for _ in range(draw.randrange(9) if data else 0):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data[: draw.choice([len(data), draw.randint(0, len(data))])])
    return draw.choice([None, 5, [], {}, "", text(draw), Path(text(draw).replace("\0", "")), b"", object(), [[1, 2]]])


def test_pictures(attack):
    for draw in attack:
        given = picture(draw)
        with attack.attempt(f"{type(given).__name__} {getattr(given, 'shape', '')} {getattr(given, 'dtype', '')}"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's, of a TIFF that was cut
                    found = prepare(given, 8)
            except ConfigError as error:
                assert len(str(error)) < 2000
            else:
                assert found.shape == (8, 8, 3) and found.dtype == np.uint8
