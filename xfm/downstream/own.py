"""Which data of one's own a fine-tuning was made of."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..config_utils import ConfigError
from ..data.readers.records import PICTURES
from ..text import shown

__all__ = ["contents"]


def contents(path: str | Path) -> str:
    """Hex digits that change with the annotations' content and with the pictures' names and sizes, not with where they
    lie. ConfigError where there is nothing."""
    root = Path(path)
    if not root.exists():
        raise ConfigError(f"data = {shown(str(path))}: no such file or folder")
    digest = hashlib.blake2b(digest_size=12)
    for folder, folders, files in os.walk(root) if root.is_dir() else [(str(root.parent), [], [root.name])]:
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            digest.update(
                f"{file.relative_to(root if root.is_dir() else root.parent)}\0{file.stat().st_size}\0".encode()
            )
            if file.suffix.lower() not in PICTURES:
                with open(file, "rb") as stream:
                    digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()
