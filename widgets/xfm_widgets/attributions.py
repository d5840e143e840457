"""Attributions, their faithfulness and objects as AttributionLab sends them to the browser: JSON, bytes for arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm.base import seeding
from xfm.base.fields import ConfigError, require
from xfm.base.strings import shown
from xfm.explain.attribution import ALIKE, SCORES, SHARE, TARGET
from xfm.plots.arrays import numbers

from .json_values import finite, float_bytes

if TYPE_CHECKING:
    from xfm.explain.attribution import Attribution, Method
    from xfm.explain.faithfulness import FaithfulnessReport
    from xfm.explain.inputs import AttributionInputs

    Pairs = Sequence[tuple[Attribution, FaithfulnessReport | None]]

UNITS = {"itm": "log-odds", "itc": "cosine", "word": "log-probability", "class": "log-probability",
         "answer": "log-probability", "similarity": "points, 0 to 5", "box": "share of the picture's side"}  # fmt: skip
_SHARE = {"signed": False, "unit": SHARE, "complete": False}
_CHANGE = {"signed": True, "unit": TARGET, "complete": False}
_OWN = {"signed": False, "unit": "", "complete": False}
_WHOLE = _CHANGE | {"complete": True}
IN_PAGE = {  # the methods that a page computes, with what the attributions say of their numbers
    "random": _OWN, "centre": _OWN, "edges": _OWN, "raw attention": _SHARE, "rollout": _SHARE,
    "attention x gradient": _OWN, "generic attention": _OWN, "layer gradients": _OWN, "grad-cam": _OWN,
    "saliency": _OWN, "smoothgrad": _OWN, "input x gradient": _CHANGE, "integrated gradients": _WHOLE,
    "gradient shap": _WHOLE, "occlusion": _CHANGE, "ablation": _CHANGE, "object ablation": _CHANGE, "shapley": _WHOLE,
}  # fmt: skip
SHOWS = 0.1  # of a patch, that an object must cover to go with it


def fields_of(pairs: Pairs, inputs: Sequence[AttributionInputs], masks: bool) -> dict[str, Any]:
    """The part of the payload that the attributions make; with inputs further methods can be added."""
    from xfm.explain.method_table import METHODS, SLOW
    from xfm.explain.targets import TARGETS

    methods, targets = (list(dict.fromkeys(getattr(a, name) for a, _ in pairs)) for name in ("method", "target"))
    known = {*methods} if masks else {*methods, "object ablation"}  # which needs masks
    more = [name for name in METHODS if inputs and name not in SLOW and name not in known]
    units = {target: UNITS.get(target.partition(" ")[0], "") for target in targets}
    found = [packed(a, report) for a, report in pairs]
    asks = bool(inputs) and "itm" in getattr(inputs[0].model, "objectives", ())
    match = finite(replace(inputs[0], target=TARGETS["itm"]).score()) if asks else None
    return {"methods": methods, "found": found, "more": more, "targets": targets, "units": units, "match": match}


def packed(a: Attribution, report: FaithfulnessReport | None) -> dict[str, Any]:
    """An attribution with its faithfulness report, as the browser draws it."""
    baselines = report.baselines if report else {}
    rows = [[name, finite(value),
            [[b, finite(scores[name])] for b, scores in baselines.items() if name in scores],
            name not in SCORES or SCORES[name].higher_is_better]
            for name, value in (report.scores.items() if report else ())]  # fmt: skip
    return {"method": a.method, "target": a.target, "signed": a.signed, "unit": a.unit,
            "gap": finite(a.gap),
            "beyond": list(report.beyond) if report and report.beyond and np.isfinite(report.beyond).all() else None,
            "trust": rows, "patches": float_bytes(a.patches), "words": float_bytes(by_word(a))}  # fmt: skip


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


def random_seed(inputs: AttributionInputs) -> int:
    """32 bits, as torch and a page seed the method "random" with."""
    return seeding.seed("random attribution", 0, inputs.text, inputs.image.tobytes()) % 2**32


def page_truth(inputs: AttributionInputs, report: FaithfulnessReport | None) -> dict[str, Any] | None:
    """A `PageTruth` of payloads.d.ts; None where it is not known."""
    if inputs.truth is None and inputs.name_pieces is None:
        return None
    grid, size = inputs.grid.grid, len(inputs.image) // inputs.grid.grid
    truth = np.zeros(inputs.image.shape[:2], bool) if inputs.truth is None else inputs.truth
    names = [] if inputs.name_pieces is None else inputs.name_pieces.nonzero().flatten().tolist()
    baselines = {name: of for name, of in report.baselines.items() if name != ALIKE} if report else {}
    return {"pixels": truth.reshape(grid, size, grid, size).sum((1, 3)).ravel().tolist(),
            "size": size * size, "names": names, "baselines": {
                name: {k: finite(v) for k, v in scores.items()} for name, scores in baselines.items()}}  # fmt: skip


def by_word(a: Attribution) -> np.ndarray:
    """(words,): the sum over each word's pieces."""
    return a.words.joined(a.text).numpy() if a.words.words else np.zeros(0)


def rows_of(a: Attribution, removed_words: Sequence[int], gone: np.ndarray) -> list[tuple[Any, ...]]:
    """A row a word and a patch: target, method, part, place, name, value, whether it is removed; `gone` (P,) bool."""
    words = zip(a.words.words, by_word(a).tolist(), strict=True)
    rows = [("word", i, name, value, i in removed_words) for i, (name, value) in enumerate(words)]
    rows += [("patch", i, "", value, bool(gone[i])) for i, value in enumerate(a.patches.tolist())]
    return [(a.target, a.method, *row) for row in rows]


def notes_of(report: FaithfulnessReport | None) -> str:
    """Of a figure: the scores against the ground truth, each next to the best baseline's."""
    lines = []
    baselines = report.baselines if report else {}
    for name, value in report.scores.items() if report else ():
        known = {baseline: scores[name] for baseline, scores in baselines.items() if name in scores}
        if known:
            best = max(known, key=lambda baseline: known[baseline])
            lines.append(f"{name} {value:.2f} ({best} {known[best]:.2f})")
    return "\n".join(lines)


def finite_ones(pairs: Pairs) -> tuple[Pairs, str]:
    """Those whose attribution is finite; and which are left out, in words."""
    good = [(a, report) for a, report in pairs if a.patches.isfinite().all() and a.text.isfinite().all()]
    names = [f"{a.method} for {a.target}" for a, _ in pairs if all(a is not other for other, _ in good)]
    return good, f"Left out, since NaN or infinite: {', '.join(names)}. " if names else ""


def object_parts(
    objects: Mapping[str, np.ndarray] | None, side: int, grid: int
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Objects as `LabObject`s, and by phrase the patches (P,) bool that show them, as `AttributionInputs` has them.
    ConfigError for a mask that is not of the picture's size, and for one without a phrase."""
    drawn, covers, size = [], {}, side // grid
    for name, given in (objects or {}).items():
        require(isinstance(name, str), "objects", name, "masks by phrase, of type str")
        mask = numbers(given, f"objects[{shown(name)}]", (side, side)) > 0
        covers[name] = mask.reshape(grid, size, grid, size).mean((1, 3)).ravel() >= SHOWS
        patches = np.flatnonzero(covers[name]).tolist()
        drawn.append({"name": name, "mask": np.packbits(mask).tobytes(), "patches": patches})
    return drawn, covers


def named(attributions: Sequence[Attribution]) -> list[Attribution]:
    """By their target, too, where there are several."""
    one_target = len({a.target for a in attributions}) == 1
    return [a if one_target else replace(a, method=f"{a.target}: {a.method}") for a in attributions]


def without(image: np.ndarray, gone: np.ndarray, grid: int) -> np.ndarray:
    """The picture (side, side, 3), grey where patches (P,) are removed."""
    size = len(image) // grid
    return np.where(np.kron(gone.reshape(grid, grid), np.ones((size, size)))[..., None] > 0, np.uint8(138), image)


def asked(model: Any, tokenizer: Any, picture: Any, text: str, targets: Sequence[str]) -> list[AttributionInputs]:
    """Those of the targets that the text has, else ITM. Errors as `make_inputs`."""
    from xfm.explain.prepare_inputs import make_inputs

    made = []
    for target in targets:
        with suppress(ConfigError):
            made.append(make_inputs(model, tokenizer, picture, text, target))
    return made or [make_inputs(model, tokenizer, picture, text)]


def explained(
    inputs: Sequence[AttributionInputs],
    methods: Sequence[str | Method],
    seed: int = 0,
    name: str = "",
) -> list[tuple[Attribution, FaithfulnessReport]]:
    """Each question by each method, a function under `name`. Errors as `attribute`."""
    from xfm.explain.faithfulness import faithfulness_report
    from xfm.explain.method_table import attribute
    from xfm.model.modes import eval_mode

    with eval_mode(inputs[0].model):
        found = [(i, attribute(i, method, seed, name=name)) for i in inputs for method in methods]
        return [(a, faithfulness_report(i, a, seed, sensitive=False)) for i, a in found]


def rescorer(inputs: Sequence[AttributionInputs]) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    """(removed patches (P,) bool, removed pieces (L,) bool) -> {target: score}, as `AttributionLab` asks it."""
    import torch

    from xfm.model.modes import eval_mode

    def rescore(gone: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
        patches, pieces = (torch.from_numpy(~mask)[None] for mask in (gone, hidden))
        with eval_mode(inputs[0].model):
            return {i.target.name: i.masked_scores(patches, pieces).item() for i in inputs}

    return rescore
