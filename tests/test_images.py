"""Images of every kind come out as (side, side, 3) uint8; what is no image is refused with what was given."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hostile_pictures import BAD
from PIL import Image

from xfm.base.fields import ConfigError
from xfm.base.images import decode, pixels, prepare, upright_size

SIDE = 48
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


def encoded(array: np.ndarray, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def test_what_fits_already_is_the_same_in_every_form(tmp_path):
    (path := tmp_path / "one.png").write_bytes(encoded(RGB))
    forms = [RGB, Image.fromarray(RGB), encoded(RGB), bytearray(encoded(RGB)), path, str(path), torch.from_numpy(RGB),
             RGB / 255, (RGB / 255).astype(np.float32), np.asfortranarray(RGB)]  # fmt: skip
    for form in forms:
        image = prepare(form, SIDE)
        assert image.dtype == np.uint8 and np.array_equal(image, RGB) and image is not RGB, type(form)
    deep = GREY.astype(np.uint16) * 257  # sixteen bits are scaled
    for image in (GREY, GREY[..., None], encoded(GREY), GREY / 255, deep, encoded(deep)):
        assert np.array_equal(prepare(image, SIDE), np.stack([GREY] * 3, -1))


@pytest.mark.parametrize("image", [
    np.stack([GREY, GREY], -1), np.dstack([RGB, GREY]), GREY.astype(np.float16) / 255, RNG.random((7, 300, 3)),
    *(Image.new(mode, (90, 30)) for mode in ("LA", "I", "F", "I;16")), RNG.integers(0, 256, (1, 1), dtype=np.uint8),
])  # fmt: skip
def test_every_size_and_mode_is_prepared(image):  # of files: tests/data/test_skipped_items.py
    prepared = prepare(image, SIDE)
    assert prepared.shape == (SIDE, SIDE, 3) and prepared.dtype == np.uint8 and prepared.flags.writeable


def test_what_is_transparent_is_on_white():
    clear = np.zeros((SIDE, SIDE, 4), np.uint8)
    for image in (clear, clear / 255, Image.fromarray(clear), encoded(clear), clear[..., :2]):
        assert (prepare(image, SIDE) == 255).all()
    assert prepare(np.full((60, 80, 4), [255, 0, 0, 128], np.uint8), SIDE)[0, 0].tolist() == [255, 127, 127]


def test_the_shorter_side_fits_and_the_middle_stays():
    wide = np.zeros((SIDE * 2, SIDE * 6, 3), np.uint8)
    wide[:, SIDE * 2 : SIDE * 4] = [10, 200, 30]
    for image in (wide, wide.transpose(1, 0, 2)):
        assert (prepare(image, SIDE)[2:-2, 2:-2] == [10, 200, 30]).all()


def test_photographs_are_upright(tmp_path):
    top = np.repeat([255, 0], SIDE // 2).astype(np.uint8)[:, None, None].repeat(SIDE, 1).repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    for image in (encoded(top, "PNG", exif=exif), encoded(top, "JPEG", exif=exif, quality=100)):
        prepared = prepare(image, SIDE)
        assert prepared[:20].max() < 30 and prepared[-20:].min() > 225
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(path := tmp_path / "a.tiff", exif=exif)
    assert upright_size(path) == decode(path).size == (20, 30)


@pytest.mark.parametrize(("image", "message"), [
    ("https://example.org/cat.png", r"image = 'https://example.org/cat.png': nothing is downloaded; save it"),
    ("no/such/cat.png", r"image = 'no/such/cat.png': no such file; give"), ("cat\0.png", "no such file"),
    (__file__, r"test_images.py': no picture that can be read"), (b"", "image = 0 bytes: no picture"),
    *((BAD[name], "no picture that can be read") for name in ("half.png", "svg.png", "postscript.jpg")),
    (None, "image: of type NoneType; give a path"), ([[1, 2]], "image: of type list"),
    (torch.ones(4, 4, 3, requires_grad=True), "image: a Tensor that is no array .*requires grad"),
    (RGB.astype(np.int64), r"shape \(48, 48, 3\) and type int64; make it uint8, or float"),
    (RGB.astype(np.float64), r"values from 0 to 255; floats must be in \[0, 1\]"),
    (np.full((9, 9), np.nan), "values from nan to nan; floats"), (np.array(["cat"]), "type <U3"),
    (RGB.transpose(2, 0, 1), r"shape \(3, 48, 48\) .*\.transpose\(1, 2, 0\)"),
    (np.zeros((0, 9, 3), np.uint8), r"shape \(0, 9, 3\) .* not empty"),
    (Image.new("F", (5, 5), float("nan")), "mode 'F', not all in"),
])  # fmt: skip
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(ConfigError, match=message):
        prepare(image, SIDE)


def test_a_large_picture_is_refused_in_every_thread_and_no_filter_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    (tmp_path / "large.png").write_bytes(large := encoded(RNG.integers(0, 256, (110, 110, 3), dtype=np.uint8)))

    def refused(_) -> None:
        for read, given in ((pixels, large), (upright_size, tmp_path / "large.png")):
            with pytest.raises(ConfigError, match=r"over 10,000 pixels; make it smaller first"):
                read(given)

    with warnings.catch_warnings(record=True) as said, ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        list(pool.map(refused, range(200)))
        assert warnings.filters == before and not said


def test_pixels_keep_their_size_and_are_what_prepare_sees():
    wide = RNG.integers(0, 256, (20, 31, 3), dtype=np.uint8)
    for form in (wide, wide / 255, np.asfortranarray(wide), Image.fromarray(wide), encoded(wide)):
        assert np.array_equal(pixels(form), wide)
    for form in (GREY, np.dstack([RGB, GREY]), GREY > 99, Image.new("I;16", (SIDE, SIDE), 40000)):
        assert np.array_equal(prepare(form, SIDE), pixels(form))
    with pytest.raises(ConfigError, match=r"^boxes\['a'\]: an array of shape \(9, 9, 7\)"):
        pixels(np.zeros((9, 9, 7), np.uint8), "boxes['a']")
    with pytest.raises(ConfigError, match=r"\A[^\x1b]{,400}\Z"):
        pixels("\x1b[2J" + "x" * 10_000_000)
