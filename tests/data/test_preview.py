"""The contact sheet, by its parts: nothing lies over anything else."""

from itertools import combinations
from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.data.source import SPLITS, Split
from xfm.data.world import styles
from xfm.plots import preview as module


@pytest.mark.full
@pytest.mark.parametrize(("name", "split"), [("demo+full_world+hard+rich", None), ("demo+hard+rich", SPLITS[4])])
def test_texts_and_pictures_do_not_overlap(name: str, split: Split | None, tmp_path: Path, monkeypatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    path = module.preview(recipes.get(name), tmp_path / "sheet.png", split)
    assert matplotlib.image.imread(path).shape[2] == 4
    figure = drawn[0]
    figure.draw_without_rendering()
    shown = [*figure.texts, *figure.findobj(Annotation)]
    texts = [text.get_text() for text in shown]
    assert styles.credit(styles.DEFAULT) in texts and len(figure.axes) == (12 if split else 25)
    headings = [f"{s.replace('_', ' ')}: {module.MEANING[s]}" for s in ([split] if split else SPLITS)]
    assert [text for text in texts if text in headings] == headings
    boxes = [text.get_window_extent() for text in shown] + [axes.get_window_extent() for axes in figure.axes]
    inside = figure.bbox.padded(1)
    assert all(inside.contains(*corner) for box in boxes for corner in box.corners())
    for a, b in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 3, overlap  # pixels: descenders may touch the next line


def test_an_unknown_kind_of_file_is_refused_before_anything_is_drawn(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "dataset", lambda _: pytest.fail("drawn"))
    for name in ("p", "p.jpg", ".png", "p.\x1b[2J"):
        with pytest.raises(ConfigError, match=r"^out = .*: must be a file's name that ends in \.png, ") as caught:
            module.preview(recipes.get("demo"), tmp_path / name)
        assert "\x1b" not in str(caught.value) and not list(tmp_path.iterdir())
