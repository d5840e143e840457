"""Masks of own data: read as pycocotools reads them, framed as their pictures are, and refused where they are none."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import photographs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photographs import HEIGHT, WIDTH

from xfm import explain, recipes
from xfm.check.source_check import check
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.source import CaptionedImage, Region
from xfm.files.file_source import FileSource
from xfm.files.readers.masks import mask_of
from xfm.files.readers.records import Unusable
from xfm.objectives import build
from xfm.train import pretrain

SQUARE = [20, 10, 36, 10, 36, 22, 20, 22]
library = partial(pytest.importorskip, "pycocotools.mask")


def runs(mask: np.ndarray) -> list[int]:
    """Uncompressed run lengths of (H, W) bool, down the columns."""
    flat = np.concatenate([[False], mask.T.ravel(), [not mask.T.ravel()[-1]]])
    return np.diff(np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1])])).tolist()


def drawn() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:22, 20:36] = True
    return mask


def rle(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": runs(mask)}


coco = partial(photographs.coco, box=(20, 10, 16, 12))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([0.02, 0.5, 0.97]))
def test_run_lengths_are_read_as_pycocotools_reads_them(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    compressed = library().encode(np.asfortranarray(mask, np.uint8))
    compressed["counts"] = compressed["counts"].decode()
    for segmentation in (compressed, rle(mask)):
        found = mask_of(segmentation, width, height)
        assert found is not None and np.array_equal(found.pixels(width, height), mask)


@given(st.lists(st.lists(st.tuples(*[st.floats(-30, 90)] * 2), min_size=3, max_size=9), min_size=1, max_size=3))
def test_polygons_are_drawn_as_pycocotools_draws_them(shapes: list) -> None:
    polygons = [[value for vertex in shape for value in vertex] for shape in shapes]
    coco = library()
    expected = coco.decode(coco.merge(coco.frPyObjects(polygons, 40, 60)))
    found = mask_of(polygons)
    assert found is not None and np.array_equal(found.pixels(60, 40), expected > 0)


SIZES: list[Any] = [[], [40, 60, 3], [0, 60], [40.0, 60.0], ["40", "60"], [True, 1], [10**400, 1], [60, 40], 40]
COUNTS = [[], [2399], [-1, 2401], [10**400], [2400.0], [True, 2399], None, "", "P" * 5000, "\x00", "\ud800",
          "oooooooo0"]  # fmt: skip
HOSTILE = [
    *({"size": [40, 60], "counts": counts} for counts in COUNTS),
    *({"size": size, "counts": [1]} for size in SIZES), {"counts": [2400]}, {"size": [40, 60]},
    *([p] for p in ([], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], "polygon", {}, [[1] * 6])), "polygon", 7, {},
    *([[*SQUARE[:-1], v]] for v in (float("nan"), 1e300, -1e7, 10**400, "22", None, True, [1])),
    [[0, 0, 9e5, 0, 0, 9e5]], [[0, 0, 100, 0, 100, 100] * 4000], [[0, 0, 1000, 0, 1000, 1000]] * 1000,
]  # fmt: skip


def test_what_is_no_mask_is_a_row_that_cannot_be_used() -> None:
    for segmentation in HOSTILE:
        with pytest.raises(Unusable) as error:
            mask_of(segmentation, WIDTH, HEIGHT)
        assert error.value.kind == "no mask" and len(str(error.value)) < 1500, segmentation


@pytest.mark.parametrize("kind", ["run lengths", "polygons"])
def test_the_mask_is_framed_as_the_picture_is(kind: str, tmp_path: Path) -> None:
    """Of 60 x 40 the columns from 10 to 50 are shown; of a mask too fine to be seen the best pixel stays, and of one
    outside nothing. Masks are no part of what the data are: a run is not trained on them."""
    source = FileSource(coco(tmp_path, *[rle(drawn()) if kind == "run lengths" else [SQUARE]] * 12), 80)
    expected = np.zeros((80, 80), bool)
    expected[20:44, 20:52] = True
    assert np.array_equal(source.example("test", 0).regions[0].mask, expected)
    point, outside = np.zeros((2, HEIGHT, WIDTH), bool)
    point[15, 30], outside[:, :9] = True, True
    for mask, found in ((point, [[3, 4]]), (outside, None)):
        small = FileSource(coco(tmp_path, *[rle(mask)] * 12), 8)
        (region,) = small.example("test", 0).regions
        assert (region.mask if region.mask is None else np.argwhere(region.mask).tolist()) == found
        assert small.fingerprint == FileSource(coco(tmp_path), 8).fingerprint
    spec = coco(tmp_path, *[rle(np.ones((30, 50), bool))] * 12)
    with pytest.raises(ConfigError, match="a mask of 50 x 30 pixels in a picture of 60 x 40"):
        _ = FileSource(spec, 48).example("test", 0).regions[0].mask
    assert check(spec, progress=False).kinds["mask of another size"] == 12


def test_masks_are_decoded_when_they_are_asked_for_and_never_in_training(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    sources = [coco(tmp_path / "data", *[[SQUARE]] * 12)]
    own = {"train.steps": 2, "train.warmup": 1, "model.text.vocabulary": 270, "data.sources": sources}
    config = recipes.smoke().replace(own)
    assert len(list(pretrain(config, tmp_path / "runs"))) == 2
    with pytest.raises(ConfigError, match=r"needs the package pycocotools: pip install 'xfm-lab\[own\]'"):
        _ = dataset(config).sources[0].example("test", 0).regions[0].mask


def test_the_truth_of_an_explanation_is_the_mask_or_else_the_box(tmp_path: Path) -> None:
    """Of regions of one name all together; a caption has none, and a region that is not there is refused."""
    masked, boxed = (FileSource(coco(tmp_path / f"{n}", *[rle(drawn())] * n), 48).example("test", 0) for n in (12, 0))
    config = recipes.smoke()
    asked = partial(explain.example_inputs, build(config), dataset(config).tokenizer())
    inputs, (region,) = asked(masked, target="itm", about=0), masked.regions
    assert inputs.text == region.text and list(inputs.objects) == [region.text]
    assert np.array_equal(inputs.truth, region.mask)
    cx, cy, w, h = (48 * v for v in region.box)
    edges = np.argwhere(asked(boxed, about=0).truth)[:, ::-1]
    found = np.concatenate([edges.min(0), edges.max(0) + 1])
    assert np.abs(found - [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]).max() <= 1
    assert (asked(masked).text, asked(masked).truth) == (masked.text, None)
    with pytest.raises(ConfigError, match=r"about = 1: must be one of the example's 1 regions"):
        asked(masked, about=1)
    boxes = ((0.25, 0.25, 0.5, 0.5), (0.75, 0.75, 0.25, 0.25))
    example = CaptionedImage(np.zeros((48, 48, 3), np.uint8), "", tuple(Region("a dog", box) for box in boxes))
    assert asked(example, about=0).truth.mean() == pytest.approx(0.25 + 0.0625)
