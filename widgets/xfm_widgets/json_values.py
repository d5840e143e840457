"""Values that a page, a file and a table can hold: finite numbers, texts that can be encoded, arrays and pictures as
bytes."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from xfm.base.fields import ConfigError, require
from xfm.base.images import ImageLike, decode, pixels
from xfm.data.world import crisp

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 4_000_000  # characters: a page makes a picture smaller first
SIDE, SMALL = 224, 96  # pixels of a compact picture's longer side, and up to which it is sent without loss


def encodable(value: Any) -> Any:
    """The same JSON, texts in it with a question mark for each lone surrogate: neither a page nor an Arrow table, which
    pandas may use, can hold one."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list | tuple) else value


def finite(x: float | None) -> float | None:
    """A JSON number; None where it is none."""
    return float(x) if x is not None and math.isfinite(x) else None


def float_bytes(values: Any) -> bytes:
    """An array, or a tensor on the CPU, as little-endian float32."""
    return np.ascontiguousarray(values, "<f4").tobytes()


def table(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """A view's `data`: rows as tuples, or as dictionaries that may lack columns."""
    import pandas as pd

    return pd.DataFrame(encodable(list(rows)), columns=list(columns))


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


def sharp(seen: np.ndarray, image: ImageLike | None = None) -> bytes:
    """A WebP of what a model sees, (side, side, 3) uint8, at a screen's resolution: a scene drawn anew, or the square
    in the middle of the larger `image` that it was made of. b"" where there is no more than is seen."""
    if (drawn := crisp.crisp(seen)) or image is None or min((whole := decode(image)).size) <= len(seen):
        return drawn
    return crisp.webp(ImageOps.fit(whole, (crisp.SIDE, crisp.SIDE), Image.Resampling.BICUBIC))


def compact(image: ImageLike, name: str) -> bytes:
    """A lossless WebP where it is small, else a JPEG of at most SIDE pixels a side. ConfigError for no image."""
    picture = Image.fromarray(pixels(image, name))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    picture.save(buffer, "WEBP" if max(picture.size) <= SMALL else "JPEG", quality=85, lossless=True)
    return buffer.getvalue()
