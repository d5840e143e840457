"""What `xfm study NAME|SPEC` does: runs it, prints its effects, leaves its figures and tables beside its results."""

from __future__ import annotations

from pathlib import Path

from ..train.checkpoint import named, write
from .study import Study
from .variants import WHOLE


def command(what: str, workers: int = 1, root: str | Path = "studies", runs: str | Path = "runs") -> Study:
    """`what`: the name of a study under `root`, its folder, or its spec.json. With `workers` 0 nothing is trained: the
    tables and figures of what is there are made anew."""
    study = Study.load(what if Path(what).exists() else Path(root) / what, runs)
    spec, missing = study.spec, study.missing()
    kind = "confirmatory" if spec.confirmatory else "exploratory"
    print(f"{spec.name} ({kind}): {len(spec.variants)} variants x {len(spec.seeds)} seeds of {spec.recipe}, "
          f"{len(missing)} runs to do")  # fmt: skip
    if workers:
        study.run(workers=workers, show=True)
    against = WHOLE if WHOLE in spec.variants else next(iter(spec.variants))
    if len(study.results()):
        print(study.to_markdown(against=against))
        print("\n".join(f"  {path}" for path in save(study, against)))
    return study


def save(study: Study, against: str = WHOLE) -> list[Path]:
    """Draws and writes a study's figures (PNG, PDF) and tables (all metrics) into its folder, and returns the files."""
    drawn = {kind: study.figure(kind, against=against) for kind in ("effects", "seeds")}
    files: dict[str, bytes | str] = {f"{kind}.{suffix}": figure.bytes(suffix)
                                     for kind, figure in drawn.items() for suffix in ("png", "pdf")}  # fmt: skip
    files["effects.md"] = study.to_markdown("all", against)
    files["effects.tex"] = study.to_latex("all", against)
    folder = study.folder / "figures"
    with named(folder):
        folder.mkdir(exist_ok=True)
    for name, content in files.items():
        write(folder / name, content)
    return [folder / name for name in files]
