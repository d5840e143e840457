"""A picture of the reader's own, as a page sends it."""

from __future__ import annotations

import base64
import binascii

from PIL import Image

from xfm.base.fields import ConfigError, require
from xfm.base.images import decode

__all__ = ["decoded_picture"]

LARGEST = 4_000_000  # characters: a page makes a picture smaller first


def decoded_picture(sent: str) -> Image.Image:
    """A file's content in base64 -> RGB. ConfigError for what is none."""
    require(len(sent) <= LARGEST, "picture", f"{len(sent):,} characters", f"of at most {LARGEST:,}")
    try:
        content = base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"picture: no base64 ({error})") from error
    return decode(content, "picture")
