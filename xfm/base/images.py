"""Any image as the model takes it, or as it is drawn: a path, bytes, PIL image or array of any mode -> RGB uint8."""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .fields import ConfigError
from .strings import printable, shown

ImageLike = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
# What may decode a file: others start programs (EPS) or leave what is shown to the viewer (PDF, WMF).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA")
_SCHEMES = ("http:", "https:", "ftp:", "file:", "data:", "s3:", "gs:")


def prepare(image: ImageLike, side: int) -> np.ndarray:
    """(side, side, 3) uint8 RGB, rows first. What has that shape and type already comes back with the same pixels.

    Anything else is turned upright (EXIF), put on white where it is transparent, resized so that its shorter side is
    `side` (bicubic, antialiased), and cropped to the centre, as CLIP prepares pictures.

    `image`: a file's path or content, a PIL image, or an array (H, W), (H, W, 1 to 4) of uint8, uint16, bool, or
    floats in [0, 1]: grey, grey and alpha, RGB, RGBA. ConfigError, which says what was given, for anything else.
    """
    return np.array(ImageOps.fit(decode(image), (side, side), Image.Resampling.BICUBIC))


def pixels(image: ImageLike, name: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB of any size, for drawing: as `prepare` reads it, in its own size. ConfigError, which calls
    the image by `name`, for what is none."""
    return np.array(decode(image, name))


def decode(image: ImageLike, name: str = "image") -> Image.Image:
    """The picture as `prepare` has it before it is resized: RGB, upright, on white where it is transparent.

    ConfigError as `prepare`, which calls the image by `name`."""
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        return _decode(_file(path, name), shown(path), name)
    if isinstance(image, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(image), f"{len(image)} bytes", name)
    if isinstance(image, Image.Image):
        return _decode(image, f"a PIL image of mode {image.mode!r}", name)
    return _rgb(_of_array(image, name), name)


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a picture's file as `decode` turns it, read off its head. ConfigError as `prepare`."""
    with suppress(Exception), open(path, "rb") as file:  # which `decode` has words for
        picture = _opened(file)
        lies = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        if picture.format != "TIFF":  # of which newer Pillows turn the size already
            width, height = picture.size
            return (height, width) if lies else (width, height)
    return decode(path).size


def _file(path: str, name: str) -> Path:
    if path.lower().startswith(_SCHEMES):
        raise ConfigError(f"{name} = {shown(path)}: nothing is downloaded; save it, and give its path or its bytes")
    file = Path(path).expanduser()
    try:
        exists = file.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte: a text
        exists = False
    if not exists:
        raise ConfigError(f"{name} = {shown(path)}: no such file; give a picture's path, its bytes, or an array")
    return file


def _decode(source: Path | io.BytesIO | Image.Image, given: str, name: str) -> Image.Image:
    """The first picture, upright, RGB."""
    try:
        if isinstance(source, Image.Image):
            return _upright(source, name)
        with source.open("rb") if isinstance(source, Path) else source as file:
            return _upright(_opened(file), name)
    except ConfigError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ConfigError(f"{name} = {given}: over {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first") from error
    except Exception as error:  # on damaged files a decoder may raise anything
        unknown = isinstance(error, UnidentifiedImageError)  # whose own words name an object by its address
        why = "of no known format" if unknown else printable(error)
        raise ConfigError(f"{name} = {given}: no picture that can be read ({why}); PNG and JPEG can") from error


def _upright(picture: Image.Image, name: str) -> Image.Image:
    if 0 in picture.size:
        raise ConfigError(f"{name}: {picture.width} x {picture.height} pixels; give one that is not empty")
    return _rgb(ImageOps.exif_transpose(picture), name)


def _opened(file: BinaryIO) -> Image.Image:
    """`Image.open` of a file that stays open. Above its limit of pixels that only warns, through filters that all
    threads share, and refuses from twice as many: here DecompressionBombError above the limit, and no warning."""
    head = file.read(16)
    Image.init()
    for name in (name for name in _FORMATS if name in Image.OPEN):
        try:
            make, accept = Image.OPEN[name]
            accepted = accept(head) if accept else True
            if accepted and not isinstance(accepted, str):  # a text: what this Pillow lacks for it
                file.seek(0)
                picture = make(file, "")
                break
        except (SyntaxError, IndexError, TypeError, struct.error):  # which mean another format
            continue
    else:
        raise UnidentifiedImageError
    if Image.MAX_IMAGE_PIXELS is not None and picture.width * picture.height > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    return picture


def _of_array(image: Any, name: str) -> Image.Image:
    given = type(image).__name__
    if not hasattr(image, "__array__"):
        raise ConfigError(f"{name}: of type {given}; give a path, bytes, a PIL image or an array")
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU, or with a graph
        raise ConfigError(f"{name}: a {given} that is no array ({error})") from error
    given = f"an array of shape {array.shape} and type {array.dtype}"
    flat, channels = array.ndim == 2, array.shape[2] if array.ndim == 3 else 0
    if not flat and channels not in (1, 2, 3, 4):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        way = "move the channels to the end, .transpose(1, 2, 0)" if first else "(H, W) or (H, W, 1 to 4) are pictures"
        raise ConfigError(f"{name}: {given}; {way}")
    if array.size == 0:
        raise ConfigError(f"{name}: {given}; give one that is not empty")
    scale = {"f": 1, "bool": 1, "uint16": 65535, "uint8": 255}.get("f" if array.dtype.kind == "f" else array.dtype.name)
    if scale is None:
        raise ConfigError(f"{name}: {given}; make it uint8, or float in [0, 1]")
    if array.dtype.kind == "f" and not (array.min() >= 0 and array.max() <= 1):  # NaN neither
        values = f"values from {array.min():g} to {array.max():g}"
        raise ConfigError(f"{name}: {given} with {values}; floats must be in [0, 1]")
    array = array if scale == 255 else np.rint(array / scale * 255)
    return Image.fromarray(np.ascontiguousarray(array.squeeze(2) if channels == 1 else array).astype(np.uint8))


def _rgb(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # of more than 8 bits, which `convert` would clip
        values = np.asarray(picture).astype(np.float64)
        scales = {"F": (1, 255, 65535), "I": (255, 65535)}.get(picture.mode, (65535,))
        scale = next((scale for scale in scales if values.min() >= 0 and values.max() <= scale), None)
        if scale is None:  # NaN as well
            raise ConfigError(f"{name}: a PIL image of mode {picture.mode!r}, not all in [0, 65535]; convert it to RGB")
        picture = Image.fromarray(np.rint(values / scale * 255).astype(np.uint8))
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return picture.convert("RGB")
