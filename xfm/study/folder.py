"""A study's folder: of one process at a time, and of one spec."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from ..files import explain_os_error, write_atomically
from . import curves_jsonl, diagnostics_jsonl, machines, study_json
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
    """Writes the spec. Where another one was there, what was noted of runs that it configured otherwise goes, but for
    those `measured`, whose rows say their config."""
    path = folder / "spec.json"
    before = read_spec(folder).configs if path.exists() else {}
    if before != spec.configs:
        failed = folder / "failed.json"
        reasons = study_json.read_failed(failed).items()
        same = {label for label, config in spec.configs.items() if before.get(label) == config}
        study_json.write_failed(failed, {key: why for key, why in reasons if key[0] in same})
        diagnostics_jsonl.lines(folder).keep(measured)
        curves_jsonl.lines(folder).keep(measured)
        machines.lines(folder).keep(measured)
        if not measured:
            with explain_os_error(folder / "baselines.json"):
                (folder / "baselines.json").unlink(missing_ok=True)
    write_atomically(path, spec.to_json())
