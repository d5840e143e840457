"""Guests with random weights, from files."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import open_clip
import pytest
import small_guests

import xfm
from xfm.guests.handle import GuestLab


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small_guests.saved(tmp_path_factory.mktemp("open_clip"))


@pytest.fixture(scope="package")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_guests.save_hugging_face(tmp_path_factory.mktemp("clip-of-transformers"))


@pytest.fixture(scope="package")
def guest(files: dict[str, Path], hugging_face: Path) -> Callable[[str], GuestLab]:
    @cache
    def opened(name: str) -> GuestLab:
        if name == "hugging face":
            return xfm.load(f"hf_clip:{hugging_face}")
        return xfm.load(f"open_clip:{name}", pretrained=files[name])

    return opened


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("something would be fetched")

    for name in ("download_pretrained", "download_pretrained_from_hf", "_get_hf_config"):
        monkeypatch.setattr(open_clip.factory, name, refused)
    for name in ("socket.connect", "getaddrinfo"):
        monkeypatch.setattr(f"socket.{name}", refused)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
