"""machines.jsonl of a study: on what each of its runs was trained, a line a run; it outlasts the run folders.

{"variant", "seed", "date": "2026-11-28", "torch": "2.13.0", "device": "cpu", "precision": "fp32", ...}

A run is paired with those of its seed. Where `train.precision` is up to the machine ("auto", "native"), another machine
may train one of a pair in bf16 and the other in fp32, and their difference is then not of the variants alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..base.numbers import listed
from ..runs.precision import BY_MACHINE, reached
from .run_lines import Lines
from .runner import Key
from .spec import Spec

__all__ = ["lines", "sentences", "torn_here"]


def lines(folder: Path) -> Lines:
    """The file of a study's folder."""
    return Lines(folder / "machines.jsonl", "what runs were trained on", {"precision": str, "torch": str})


def _precisions(spec: Spec, folder: Path, keys: Iterable[Key]) -> dict[Key, str]:
    """Of the runs whose precision was up to the machine, and is known; of one that is there twice the last."""
    known = {(record["variant"], record["seed"]): record["precision"] for record in lines(folder).read()}
    up_to_it = {label for label, config in spec.configs.items() if config.train.precision in BY_MACHINE}
    return {key: known[key] for key in keys if key in known and key[0] in up_to_it}


def torn_here(spec: Spec, folder: Path, todo: Iterable[Key]) -> str:
    """A warning where runs to do would be of another precision on this machine than those of their seed that are
    there; "" where none would."""
    theirs = _precisions(spec, folder, [(variant, seed) for seed in spec.seeds for variant in spec.variants])
    missing = {(variant, seed): reached(spec.configs[variant].train.precision) for variant, seed in todo}
    torn = {seed for (_, seed), found in theirs.items() for (_, other), ours in missing.items()
            if seed == other and found != ours}  # fmt: skip
    if not torn:
        return ""
    here = listed(sorted({*missing.values()}))
    return (
        f"{spec.name}: this machine trains in {here}, and what is there of {_named(torn)} was trained in another "
        "precision: their differences will not be of the variants alone, and the report will say so. Finish them on "
        f"such a machine, or delete their rows in {folder / 'results.csv'}"
    )


def sentences(spec: Spec, folder: Path, finished: Iterable[Key]) -> list[str]:
    """What the report says of the runs' precision; nothing where none is known."""
    found = _precisions(spec, folder, finished)
    if not found:
        return []
    counts = sorted(Counter(found.values()).items())
    told = [f"Trained in {listed([f'{kind}: {n} run' + 's' * (n > 1) for kind, n in counts])}."]
    seeds = {seed: {kind for (_, other), kind in found.items() if other == seed} for _, seed in found}
    if torn := {seed for seed, kinds in seeds.items() if len(kinds) > 1}:
        told.append(
            f"Of {_named(torn)} some runs are in another precision: differences there are not of variants alone."
        )
    return told


def _named(seeds: Iterable[int]) -> str:
    numbers = sorted(seeds)
    return f"seed{'s' * (len(numbers) > 1)} {listed([*map(str, numbers)])}"
