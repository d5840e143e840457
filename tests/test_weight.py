"""What a checkout weighs: generated things are not committed, pictures of notebooks are small."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(("folder", "megabytes"), [(".", 60), ("notebooks", 6), ("studies", 25)])
def test_a_checkout_is_light(folder: str, megabytes: int) -> None:
    git = ["git", "-C", str(ROOT), "ls-files", "-z", folder]
    listed = subprocess.run(git, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    sizes = {path: path.stat().st_size for path in files if path.is_file()}
    largest = [f"{size / 1e6:.1f} MB {path.relative_to(ROOT)}" for path, size in sizes.items() if size > 1e6]
    assert sum(sizes.values()) <= 1e6 * megabytes, "\n".join(largest)
