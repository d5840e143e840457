"""Pictures that views are given, send to a page, and are sent by one."""

from __future__ import annotations

import base64
import binascii
from io import BytesIO

import numpy as np
from PIL import Image

from xfm.base.fields import ConfigError, require
from xfm.base.images import ImageLike, decode, pixels

__all__ = ["compact", "decoded_picture", "square_pixels"]

LARGEST = 4_000_000  # characters: a page makes a picture smaller first
SIDE, SMALL = 224, 96  # pixels of a compact picture's longer side, and up to which it is sent without loss


def decoded_picture(content: str) -> Image.Image:
    """A file's content in base64, as a page sends it -> RGB. ConfigError for what is none."""
    require(len(content) <= LARGEST, "picture", f"{len(content):,} characters", f"of at most {LARGEST:,}")
    try:
        return decode(base64.b64decode(content, validate=True), "picture")
    except (binascii.Error, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"picture: no base64 ({error})") from error


def square_pixels(image: ImageLike, grid: int) -> np.ndarray:
    """Any image -> (side, side, 3) uint8. ConfigError for what is none, or has not so many patches a side."""
    array = pixels(image)
    side = len(array)
    fits = array.shape == (side, side, 3) and side % grid == 0
    require(fits, "image.shape", array.shape, f"(side, side, 3), {grid} patches a side")
    return array


def compact(image: ImageLike, name: str) -> bytes:
    """A PNG where it is small, else a JPEG of at most SIDE pixels a side. ConfigError for what is no image."""
    picture = Image.fromarray(pixels(image, name))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    picture.save(buffer, "PNG" if max(picture.size) <= SMALL else "JPEG", quality=85)
    return buffer.getvalue()
