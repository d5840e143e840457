"""What `xfm study NAME|SPEC` does: runs it, prints its effects, leaves figures, tables, report beside its results."""

from __future__ import annotations

from pathlib import Path

from ..files import explain_os_error, write_atomically
from .report import plates
from .study import Study


def command(what: str, workers: int = 1, root: str | Path = "studies", runs: str | Path = "runs") -> Study:
    """`what`: the name of a study under `root`, its folder, or its spec.json. With `workers` 0 nothing is trained: the
    tables, figures and report of what is there are made anew."""
    study = Study.load(what if Path(what).exists() else Path(root) / what, runs)
    spec, missing = study.spec, study.missing()
    kind = "confirmatory" if spec.confirmatory else "exploratory"
    print(
        f"{spec.name} ({kind}): {len(spec.variants)} variants x {len(spec.seeds)} seeds of {spec.recipe}, "
        f"{len(missing)} runs to do"
    )
    if workers:
        study.run(workers=workers, show=True)
    if len(study.results()):
        print(study.to_markdown())
        print("\n".join(f"  {path}" for path in save(study)))
    return study


def save(study: Study) -> list[Path]:
    """Writes a study's report, figures (PNG, PDF) and tables (all metrics) into its folder, and returns the files."""
    folder = study.folder / "figures"
    with explain_os_error(folder):
        folder.mkdir(exist_ok=True)
    drawn = [figure for some in plates(study).values() for plate in some for figure in plate.files().items()]
    files: dict[Path, bytes | str] = {
        folder / f"{name}.{kind}": figure.bytes(kind) for name, figure in drawn for kind in ("png", "pdf")
    }
    files |= {folder / "effects.md": study.to_markdown("all"), folder / "effects.tex": study.to_latex("all")}
    for path, content in files.items():
        write_atomically(path, content)
    return [*files, study.report()]
