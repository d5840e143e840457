"""The cache folder: deleted while a file is made, not ours, and where nothing at all can be kept."""

import os
import shutil
import tempfile
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


def whole() -> str:
    return "whole"


def test_deleted_while_a_file_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is written, and before its checksum is."""
    times = []
    write = cache.write_atomically

    def interrupted(path: Path, data: str) -> None:
        times.append(path)
        if len(times) < 3:
            shutil.rmtree(folder)
        write(path, data)

    monkeypatch.setattr(cache, "write_atomically", interrupted)
    path = cache.cached("table", whole)
    assert (path, path.read_text(encoding="ascii"), len(times)) == (folder / "table", "whole", 4)
    assert sorted(p.name for p in folder.iterdir()) == ["table", "table.sha256"]


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
