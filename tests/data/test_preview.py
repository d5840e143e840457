"""The contact sheet, by its parts: nothing lies over anything else."""

from itertools import combinations
from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.figure import Figure

from xfm.config import RunConfig
from xfm.data import preview as module
from xfm.data.openmoji import CREDIT
from xfm.data.scenes import SPLITS, World


@pytest.mark.parametrize("split", [SPLITS[0], SPLITS[3]])
def test_texts_and_pictures_do_not_overlap(
    config: RunConfig, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    path = module.preview(config, tmp_path / "sheet.png", split)  # type: ignore[arg-type]
    assert matplotlib.image.imread(path).shape[2] == 4
    figure = drawn[0]
    texts = [text.get_text() for text in figure.texts]
    assert CREDIT in texts and split.replace("_", " ") in texts[0] and len(figure.axes) == 12
    boxes = [text.get_window_extent() for text in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
    inside = figure.bbox.padded(1)
    assert all(inside.contains(*corner) for box in boxes for corner in box.corners())
    for a, b in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 3, overlap  # pixels: descenders may touch the next line


def test_numbers_hide_no_object(world: World) -> None:
    hidden = 0
    for i in range(100):
        objects = world.scene("train", i).objects
        boxes = [(o.x, o.y, o.width, o.height) for o in objects]
        for o in objects:
            x, y = module.free_corner(o, 3.6, boxes)
            assert 0 <= x <= 48 - 3.6 and 0 <= y <= 48 - 3.6
            hidden += any(x < a + w and a < x + 3.6 and y < b + h and b < y + 3.6 for a, b, w, h in boxes)
    assert hidden < 5
