"""Twenty generated pictures with captions, and nothing else: pretraining, evaluation, trace and attribution."""

from pathlib import Path

import numpy as np
import pytest

import xfm
from xfm import recipes
from xfm.data import DATASETS, Dataset
from xfm.data.pair_source import PairSource
from xfm.train import pretrain

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 80, 220), "yellow": (240, 220, 40)}
PLACES = ["left", "right", "top", "bottom", "middle"]


def picture(colour: str, place: str) -> np.ndarray:
    """(60, 80, 3): a square of the colour at the place, on grey."""
    image = np.full((60, 80, 3), 200, np.uint8)
    x, y = {"left": (4, 20), "right": (56, 20), "top": (30, 2), "bottom": (30, 38), "middle": (30, 20)}[place]
    image[y : y + 20, x : x + 20] = COLOURS[colour]
    return image


@pytest.fixture(scope="module")
def own() -> list[tuple[np.ndarray, str]]:
    return [(picture(c, p), f"a {c} square at the {p}") for c in COLOURS for p in PLACES]


def test_a_source_of_twenty_pictures_and_captions(
    own: list[tuple[np.ndarray, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, captions = zip(*own, strict=True)
    make = lambda config: Dataset(config, [PairSource(images, captions, config.model.vision.image_size)])  # noqa: E731
    monkeypatch.setitem(DATASETS, "squares", make)
    changes = {"data.dataset": "squares", "model.text.vocabulary": 300, "train.steps": 6, "data.workers": 1}
    with pytest.warns(UserWarning, match=r"'squares' \(own\): provides no regions: off, and with it bbp"):
        records = list(pretrain(recipes.smoke().replace({**changes, "train.validate_every": 3}), tmp_path))
    assert len(records) == 6 and np.isfinite([r["loss"] for r in records]).all()
    trained = {key.split("/")[0] for r in records for key in r if "/" in key}
    assert trained == {"pairs", "images", "texts", "validation"}  # no regions, and so no box loss
    assert {"pairs/itc", "pairs/itm", "pairs/imlm"} <= set().union(*records)

    (folder,) = (path.parent for path in tmp_path.rglob("DONE"))
    # a finished run is read back, not set up again: nothing to warn of
    assert list(pretrain(recipes.smoke().replace({**changes, "train.validate_every": 3}), tmp_path)) == records
    lab = xfm.load(folder)
    example = lab.scene(0)
    assert example.text in captions and example.credit == "" and example.image.shape == (48, 48, 3)

    results = lab.evaluate()
    tasks = {result.task for result in results}
    assert any("ITC" in r.condition for r in results) and all(np.isfinite(r.value) for r in results)
    assert not any("grounding" in task or "naming" in task for task in tasks)  # these need boxes or classes

    trace = lab.trace(example.image, example.text, target="itm")
    assert trace.maps and np.isfinite(trace.scores["itm"])
    attribution = lab.attribute(images[0], captions[0], "generic attention", "itm")  # a picture of another size
    assert attribution.patches.shape == (36,) and bool(attribution.patches.isfinite().all())
