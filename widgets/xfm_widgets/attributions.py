"""Attributions, their faithfulness and objects as AttributionLab sends them to the browser: JSON, bytes for arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm.base.fields import require
from xfm.base.strings import shown
from xfm.explain.scores import ALIKE, SCORES
from xfm.plots.arrays import numbers

if TYPE_CHECKING:
    from xfm.explain.attribution import Attribution, Method
    from xfm.explain.faithfulness import FaithfulnessReport
    from xfm.explain.inputs import AttributionInputs

__all__ = ["by_word", "checked_masks", "covered", "explained", "finite", "is_finite", "number", "packed",
           "page_target", "rescorer", "verdict"]  # fmt: skip

SHOWS = 0.1  # of a patch, that an object must cover to go with it
ROUNDING = {"rel_tol": 1e-5, "abs_tol": 1e-6}  # by so much passes differ that compute the same


def packed(a: Attribution, report: FaithfulnessReport | None) -> dict[str, Any]:
    """An attribution with its faithfulness report, as the browser draws it."""
    rows = (
        [
            [
                name,
                finite(value),
                [[b, finite(scores[name])] for b, scores in report.baselines.items() if name in scores],
                name not in SCORES or SCORES[name].higher_is_better,
            ]
            for name, value in report.scores.items()
        ]
        if report
        else []
    )
    return {
        "method": a.method,
        "target": a.target,
        "signed": a.signed,
        "unit": a.unit,
        "gap": finite(a.gap),
        "verdict": verdict(report),
        "trust": rows,
        "patches": a.patches.numpy().astype("<f4").tobytes(),
        "words": by_word(a).astype("<f4").tobytes(),
    }


def verdict(report: FaithfulnessReport | None) -> str:
    """What the scores say of an attribution, in one sentence. Up to three things are asked: whether it finds the object
    better than every baseline, whether what it ranks first matters more, and whether it explains half of the changes
    under masking, and more than numbers that are all alike. What is not decided, and a score that is not finite, is no
    part of the verdict."""
    known = {name: value for name, value in (report.scores if report else {}).items() if math.isfinite(value)}
    parts = [_found(known, report.baselines) if report else None, _ordered(known), _explained(known, report)]
    said = [part for part in parts if part is not None]
    if not said:
        return "Trust was not measured."
    decided = [ok for ok, _ in said if ok is not None]
    mixed = not decided or any(decided) != all(decided)
    head = "Trust with care" if mixed else "Can be trusted here" if all(decided) else "Cannot be trusted here"
    return f"{head}: {', '.join(text for _, text in said)}."


def _found(scores: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> tuple[bool, str] | None:
    """Whether most scores against ground truth are better than all baselines'."""
    judged = [
        all(value > b[name] for b in beside)
        for name, value in scores.items()
        if name in SCORES and SCORES[name].truth and (beside := [b for b in baselines.values() if name in b])
    ]
    if not judged:
        return None
    won, names = sum(judged), " and ".join(name for name in baselines if name != ALIKE)
    return 2 * won > len(judged), f"finds the object better than {names} by {won} of {len(judged)} scores"


def _ordered(scores: Mapping[str, float]) -> tuple[bool, str] | None:
    """Whether the target stays higher while what is ranked first is inserted than while it is deleted. Where the two
    are equal the target does not read that side, and no order of it is better than another."""
    names = [(f"insertion, {side}", f"deletion, {side}") for side in ("image", "text")]
    pairs = [(scores[more], scores[less]) for more, less in names if more in scores and less in scores]
    read = [(more, less) for more, less in pairs if not math.isclose(more, less, **ROUNDING)]
    if not read:
        return None
    ok = all(more > less for more, less in read)
    return ok, f"what it ranks first {'matters' if ok else 'does not matter'} more to the model than the rest"


def _explained(scores: Mapping[str, float], report: FaithfulnessReport | None) -> tuple[bool | None, str] | None:
    """Whether the numbers explain half at least of what masking does to the target, and more than equal ones would;
    None where the masked subsets do not tell the two apart."""
    if "infidelity" not in scores or report is None:
        return None
    share = max(0.0, 1 - scores["infidelity"])
    said, beside = f"its numbers explain {share:.0%} of what masking does", report.baselines.get(ALIKE)
    if not beside:
        return share >= 0.5, said
    alike, (low, high) = max(0.0, 1 - beside["infidelity"]), report.beyond or (0.0, 0.0)
    if share >= 0.5 and low <= 0 <= high:
        return None, f"{said}, about as much as equal ones ({alike:.0%})"
    return share >= 0.5 and low > 0, f"{said}, equal ones {alike:.0%}"


def page_target(inputs: AttributionInputs, report: FaithfulnessReport | None = None) -> dict[str, Any] | None:
    """A `PageTarget`, with what a report has of baselines; None for a target that a page does not know."""
    from xfm.explain.prepare_inputs import encode_text
    from xfm.explain.targets import TARGETS

    target, truth = inputs.target, {"truth": page_truth(inputs, report)}
    if TARGETS.get(target.name) == target:
        return {"name": target.name, "places": [], "ids": []} | truth
    word = target.name.removeprefix("word ")
    if target.head != "imlm" or word == target.name or inputs.tokenizer is None:
        return None
    ids, places = encode_text(inputs.model, inputs.tokenizer, inputs.text, word)
    return {"name": target.name, "places": places, "ids": [ids[place] for place in places]} | truth


def page_truth(inputs: AttributionInputs, report: FaithfulnessReport | None) -> dict[str, Any] | None:
    """A `PageTruth` of payloads.d.ts; None where it is not known."""
    if inputs.truth is None and inputs.name_pieces is None:
        return None
    grid, size = inputs.grid.grid, len(inputs.image) // inputs.grid.grid
    truth = np.zeros(inputs.image.shape[:2], bool) if inputs.truth is None else inputs.truth
    names = [] if inputs.name_pieces is None else inputs.name_pieces.nonzero().flatten().tolist()
    baselines = {name: of for name, of in report.baselines.items() if name != ALIKE} if report else {}
    return {
        "pixels": truth.reshape(grid, size, grid, size).sum((1, 3)).ravel().tolist(),
        "size": size * size,
        "names": names,
        "baselines": {name: {k: finite(v) for k, v in scores.items()} for name, scores in baselines.items()},
    }


def by_word(a: Attribution) -> np.ndarray:
    """(words,): the sum over each word's pieces."""
    return a.words.joined(a.text).numpy() if a.words.words else np.zeros(0)


def finite(x: float | None) -> float | None:
    """A JSON number; None where it is none."""
    return float(x) if x is not None and math.isfinite(x) else None


def is_finite(a: Attribution) -> bool:
    """Whether all its numbers are finite."""
    return bool(a.patches.isfinite().all() and a.text.isfinite().all())


def number(x: float | None) -> str:
    """Three significant digits; – where there is none."""
    return "–" if x is None else f"{x:.3g}".replace("-", "−")


def covered(mask: np.ndarray, grid: int) -> np.ndarray:
    """(side, side) bool -> (P,) bool: the patches that show the object, as `Question.object_patches` has them."""
    size = len(mask) // grid
    return mask.reshape(grid, size, grid, size).mean((1, 3)).ravel() >= SHOWS


def checked_masks(objects: Mapping[str, np.ndarray] | None, side: int) -> dict[str, np.ndarray]:
    """ConfigError for a mask that is not of the picture's size, and for one without a phrase."""
    for name in objects or {}:
        require(isinstance(name, str), "objects", name, "masks by phrase, of type str")
    given = (objects or {}).items()
    return {name: numbers(mask, f"objects[{shown(name)}]", (side, side)) > 0 for name, mask in given}


def explained(
    inputs: Sequence[AttributionInputs],
    methods: Sequence[str | Method],
    seed: int = 0,
    sensitive: bool = False,
    name: str = "",
) -> list[tuple[Attribution, FaithfulnessReport]]:
    """Each question by each method, a function under `name`. Errors as `attribute`."""
    from xfm.explain.faithfulness import faithfulness_report
    from xfm.explain.method_table import attribute
    from xfm.model.modes import eval_mode

    with eval_mode(inputs[0].model):
        found = [(i, attribute(i, method, seed, name=name)) for i in inputs for method in methods]
        return [(a, faithfulness_report(i, a, seed, sensitive)) for i, a in found]


def rescorer(inputs: Sequence[AttributionInputs]) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    """(removed patches (P,) bool, removed pieces (L,) bool) -> {target: score}, as `AttributionLab` asks it."""
    import torch

    from xfm.model.modes import eval_mode

    def rescore(gone: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
        patches, pieces = (torch.from_numpy(~mask)[None] for mask in (gone, hidden))
        with eval_mode(inputs[0].model):
            return {i.target.name: i.masked_scores(patches, pieces).item() for i in inputs}

    return rescore
