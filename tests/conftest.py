"""What every test runs under: one thread, no network, no window, the same seeds, a cache of this session alone."""

import os
import random
import shutil
import sys
import tempfile

import pytest
from hypothesis import settings

# In the environment, so that it holds for torch (not imported yet) and for the processes that tests start.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", MPLBACKEND="Agg")

settings.register_profile("xfm", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("xfm")


def pytest_configure(config: pytest.Config) -> None:
    """One cache (pictures, tokenizers) for all tests and, by the environment, all workers; never the user's own."""
    if not hasattr(config, "workerinput") and "XFM_CACHE" not in os.environ:
        os.environ["XFM_CACHE"] = tempfile.mkdtemp(prefix="xfm-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop("XFM_CACHE"), ignore_errors=True))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The global generators; those that are not imported are not worth importing."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
