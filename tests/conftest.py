"""What every test runs under: one thread, no network, no window, the same seeds, a cache of this session alone."""

import os
import random
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

# In the environment, so that it holds for torch (not imported yet) and for the processes that tests start.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="Agg")

# What would leave this machine is refused, here and (Python runs a `sitecustomize`) in the processes that tests start.
OFFLINE = Path(__file__).with_name("offline")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))
_, NOTES = tempfile.mkstemp(prefix="xfm-tests-network-")  # what was refused
os.environ["XFM_TESTS_NETWORK"] = NOTES
runpy.run_path(str(OFFLINE / "sitecustomize.py"))

settings.register_profile(
    "xfm", max_examples=20, deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True
)
settings.load_profile("xfm")


def pytest_configure(config: pytest.Config) -> None:
    """One cache (pictures, tokenizers) for all tests and, by the environment, all workers; never the user's own."""
    if not hasattr(config, "workerinput") and "XFM_CACHE" not in os.environ:
        os.environ["XFM_CACHE"] = tempfile.mkdtemp(prefix="xfm-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("XFM_CACHE"), ignore_errors=True))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda"):
        import torch  # late: most runs need not wait for it

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")


def pytest_unconfigure() -> None:
    Path(NOTES).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """once(name, make): a folder that `make` fills once a session, for all its processes. Not to be changed."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root  # xdist's controller's

    def shared(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / f"once-{name}", root / f"once-{name}.done"
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process in which `make` failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return shared


@pytest.fixture
def refused() -> Iterator[Path]:
    """The file that notes what would have left this machine; for the tests that mean to."""
    yield Path(NOTES)
    Path(NOTES).write_text("")


@pytest.fixture(autouse=True)
def _offline() -> Iterator[None]:
    """A test that would leave this machine fails, also where somebody catches the error."""
    yield
    if said := Path(NOTES).read_text("utf-8"):
        Path(NOTES).write_text("")
        pytest.fail(f"this test, or a process that it started, wanted the network:\n{said}")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The global generators; those that are not imported are not worth importing."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)  # `torch.manual_seed` keeps a traceback of each call for a GPU to come
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(0)
