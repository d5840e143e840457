"""A study's folder: of one process at a time, and of one spec."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from ..base.files import explain_os_error, write_atomically
from . import curves_jsonl, diagnostics_jsonl, machines
from .lock import held
from .preregistration import read_spec
from .results_csv import StudyError
from .runner import Key
from .spec import Spec

__all__ = ["alone", "settle"]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A context in which this call alone runs the study of a folder, which is made; it ends with the process, however
    that ends. StudyError where another one does."""
    with ExitStack() as ending:
        with explain_os_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                ending.enter_context(held(folder / ".lock"))
            except Timeout:  # itself an OSError
                raise StudyError(
                    f"{folder}: is being run by another process or thread; let it finish, or stop it there: what it "
                    "has trained is saved. For another spec choose another name"
                ) from None
        yield


def settle(spec: Spec, folder: Path, measured: Collection[Key]) -> None:
    """Writes the spec. What was noted of other runs than those `measured`, whose rows say their config, goes where they
    were perhaps configured otherwise."""
    path = folder / "spec.json"
    if not path.exists() or read_spec(folder).configs != spec.configs:
        for lines in (diagnostics_jsonl.lines, curves_jsonl.lines, machines.lines):
            lines(folder).keep(measured)
    if not measured:
        with explain_os_error(folder / "baselines.json"):
            (folder / "baselines.json").unlink(missing_ok=True)
    write_atomically(path, spec.to_json())
