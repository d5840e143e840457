"""What a score is due to, by several methods side by side, and what taking an object or a word away does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from xfm import plots
from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels
from xfm.plots.arrays import numbers
from xfm.plots.palette import STRONGEST
from xfm.plots.style import message_figure

from .attributions import (
    by_word,
    checked_masks,
    covered,
    explained,
    finite,
    is_finite,
    number,
    packed,
    page_target,
    rescorer,
)  # fmt: skip
from .choices import Flag, Names, Place, Places, Share, told
from .live_page import LivePage
from .uploaded_picture import decoded_picture
from .view import encodable

if TYPE_CHECKING:
    import pandas as pd

    from xfm.explain.attribution import Attribution, Method
    from xfm.explain.faithfulness import FaithfulnessReport
    from xfm.explain.inputs import AttributionInputs
    from xfm.explain.token_axes import TokenAxis

__all__ = ["AttributionLab"]

Rescore = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
SHOWN = 6  # methods at once
_SHARE = {"signed": False, "unit": "share of attention", "complete": False}
_CHANGE = {"signed": True, "unit": "the target's unit", "complete": False}
IN_PAGE = {  # methods that need no gradients, with what the attributions say of their numbers
    "raw attention": _SHARE, "rollout": _SHARE, "occlusion": _CHANGE, "ablation": _CHANGE, "object ablation": _CHANGE,
    "shapley": _CHANGE | {"complete": True},
}  # fmt: skip
OBJECTS = "object ablation"  # needs masks of them
NONE = "No attribution to show: AttributionLab.of(questions, methods) makes them."
SINGLES = 60  # scores that an export has computed before, at most
UNITS = {
    "itm": "log-odds",
    "itc": "cosine",
    "word": "log-probability",
    "class": "log-probability",
    "answer": "log-probability",
    "similarity": "points, 0 to 5",
    "box": "share of the picture's side",
}


class AttributionLab(LivePage):
    """Attributions of one picture and one text, for one or several targets, and removals.

    AttributionLab.of([scene_inputs(model, tokenizer, scene, target) for target in ("itm", "itc")])
    AttributionLab(image, words, attributions, reports, {"a red car": mask}, rescore)

    `scores` is {"of": what is removed, "before": {target: score}, "after": {target: score}}.
    """

    methods = Names(of=lambda view: view._all("method"), most=SHOWN)  # those that are shown
    targets = Names(of=lambda view: view._all("target"))
    opacity = Share(STRONGEST)  # of the largest numbers over the picture; smaller ones let more of it through
    shared_scale = Flag(False)  # one colour scale for a target's methods of one unit, not one a method
    removed_words = Places(of=lambda view: len(view._words.words))
    removed_objects = Names(of=lambda view: view._covers)
    removed_patches = Places(of=lambda view: view._grid**2)  # besides those of objects
    patch = Place(-1, of=lambda view: view._grid**2)
    token = Place(-1, of=lambda view: len(view._words.pieces))
    scores = told(traitlets.Dict())
    singles = told(traitlets.Dict())  # scores with one word or one object less, of an export

    def __init__(
        self,
        image: ImageLike,
        words: TokenAxis,
        attributions: Sequence[Attribution],
        faithfulness_report: Sequence[FaithfulnessReport | None] = (),
        objects: Mapping[str, np.ndarray] | None = None,
        rescore: Rescore | None = None,
        grid: int = 1,
        **traits: Any,
    ):
        """Any image (see `images.prepare`) of (side, side) pixels; `faithfulness_report`: one for each attribution,
        or none; `objects`: phrase -> mask (side, side) bool; `rescore`: (removed patches (P,) bool, removed pieces (L,)
        bool) -> {target: score}; `grid`: patches a side, where there is no attribution that says it.

        ConfigError for what is no image, and where sizes differ. Attributions that are not finite are left out, and the
        view says so.
        """
        reports = [*faithfulness_report] if faithfulness_report else [None] * len(attributions)
        allowed = f"none, or {len(attributions)}: one an attribution"
        require(len(reports) == len(attributions), "faithfulness_report", len(reports), allowed)
        self._image, self._words, self._score = pixels(image), words, rescore
        self._inputs: list[AttributionInputs] = []  # that `add` asks
        self._grid = attributions[0].grid.grid if attributions else grid
        side, sizes = len(self._image), (self._grid**2, len(words.pieces))
        fits = self._image.shape == (side, side, 3) and side % self._grid == 0
        require(fits, "image.shape", self._image.shape, f"(side, side, 3), {self._grid} patches a side")
        for i, a in enumerate(attributions):
            numbers(a.patches, f"attributions[{i}].patches", sizes[:1])
            numbers(a.text, f"attributions[{i}].text", sizes[1:])
        masks = checked_masks(objects, side)
        pairs = [(a, report) for a, report in zip(attributions, reports, strict=True) if is_finite(a)]
        dropped = [f"{a.method} for {a.target}" for a in attributions if not is_finite(a)]
        self._pairs = pairs
        self._covers = {name: covered(mask, self._grid) for name, mask in masks.items()}
        methods, targets = self._all("method"), self._all("target")
        payload = {
            "image": self._image.tobytes(), "side": side, "grid": self._grid, "words": list(words.words),
            "owner": list(words.owner), "most": SHOWN, "can": rescore is not None, "takes": False,
            "objects": [{"name": name, "mask": np.packbits(mask).tobytes(),
                         "patches": np.flatnonzero(self._covers[name]).tolist()} for name, mask in masks.items()],
            **self._found(),
        }  # fmt: skip
        bad = f"Left out, since NaN or infinite: {', '.join(dropped)}. " if dropped else ""
        none = "" if pairs else NONE
        traits = {"methods": methods[:SHOWN], "targets": targets} | traits
        super().__init__(payload, (bad + none).strip(), **traits)
        self._before = {a.target: finite(a.score) for a, _ in pairs}
        self._removed: dict[str, Any] | None = None
        self._after: dict[str, float | None] = {}
        if rescore is not None:
            with self.reporting():
                self._before |= self.scores_without()
        self._rescore()

    @classmethod
    def of(
        cls,
        inputs: AttributionInputs | Sequence[AttributionInputs],
        methods: Sequence[str] = ("generic attention", "integrated gradients", "occlusion"),
        seed: int = 0,
        sensitive: bool = False,
        **traits: Any,
    ) -> AttributionLab:
        """Attributes each question by each method, with a faithfulness report each. ConfigError where the
        questions differ in picture or text, and as `attribute` raises it."""
        from xfm.explain.inputs import AttributionInputs
        from xfm.model import XFM

        all_inputs = [inputs] if isinstance(inputs, AttributionInputs) else list(inputs)
        require(bool(all_inputs), "inputs", all_inputs, "one or more")
        first = all_inputs[0]
        same = all(i.text == first.text and np.array_equal(i.image, first.image) for i in all_inputs)
        require(same, "inputs", [i.text for i in all_inputs], "of one picture and one text")
        pairs = explained(all_inputs, methods, seed, sensitive)
        attributions, reports = [a for a, _ in pairs], [report for _, report in pairs]
        traits = {"credit": first.credit, "grid": first.grid.grid} | traits
        view = cls(first.image, first.words, attributions, reports, first.objects, rescorer(all_inputs), **traits)
        view._inputs = all_inputs
        known = [page_target(i, reports[k * len(methods)] if methods else None) for k, i in enumerate(all_inputs)]
        if isinstance(first.model, XFM) and first.tokenizer is not None and None not in known:
            view._model = first.model, first.tokenizer, known
        view.tell(payload=cast(dict[str, Any], view.payload) | view._found() | {"takes": view._model is not None})
        return view

    def add(self, name: str, method: Method | None = None, seed: int = 0) -> AttributionLab:
        """Attributes all questions by one more method, and shows it: one of METHODS, or a function f(inputs) ->
        Attribution under a name of its own, which may be used again: the newer one stays.

        ConfigError in a view that `of` has not made, for a name that METHODS has, and as `attribute` raises it.
        """
        from xfm.explain.method_table import METHODS

        require(bool(self._inputs), "add", name, "called on what AttributionLab.of has made: it has the questions")
        require(isinstance(name, str) and bool(name), "name", name, "the method's name")
        require(method is None or name not in METHODS, "name", name, "another one: explain.METHODS has a method of it")
        found = explained(self._inputs, [method or name], seed, name=name)
        self._pairs = [*(pair for pair in self._pairs if pair[0].method != name), *found]
        self.tell(payload=cast(dict[str, Any], self.payload) | self._found())
        if NONE in self._standing:  # it was begun without any that could be shown
            self._standing = self.message = self._standing.replace(NONE, "").strip()
            self.targets = self._all("target")
        self.methods = [*[m for m in self.methods if m != name][: SHOWN - 1], name]
        return self

    _WITHOUT_MODEL = "only what AttributionLab.of(inputs) makes of an X-FM, with targets by name, knows its model"

    def _given(self) -> dict[str, Any]:
        return {"text": self._inputs[0].text, "targets": cast(tuple, self._model)[2], "methods": IN_PAGE}

    def show(self, picture: ImageLike) -> None:
        """Replaces the picture by any image that `images.prepare` accepts; text, targets and the shown METHODS stay,
        object masks are dropped. ConfigError for anything else, and in a view that `of` has not made of an X-FM."""
        from xfm.explain.method_table import METHODS
        from xfm.explain.prepare_inputs import make_inputs

        require(self._model is not None, "picture", "new", "left out: only views of AttributionLab.of(...) replace it")
        model, tokenizer, targets = cast(tuple, self._model)
        asked = [make_inputs(model, tokenizer, picture, i.text, i.target.name) for i in self._inputs]
        methods = [name for name in self.methods if name in METHODS and name != OBJECTS] or ["occlusion"]
        self._pairs = explained(asked, methods)
        self._model = model, tokenizer, [target | {"truth": None} for target in targets]
        self._inputs, self._image, self._covers, self._score = asked, asked[0].image, {}, rescorer(asked)
        self._before, self._removed = self.scores_without(), None
        with self.hold_trait_notifications():
            self.removed_words, self.removed_objects, self.removed_patches = [], [], []
        self._rescore()
        new = {"image": self._image.tobytes(), "objects": []} | self._found()
        self.tell(payload=cast(dict[str, Any], self.payload) | new, credit="", singles={})
        self.methods = methods

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"add": self._add_asked, "picture": self._hear_picture}

    def _hear_picture(self, sent: str) -> None:
        with self.reporting():
            self.show(decoded_picture(sent))

    def _add_asked(self, name: str) -> None:
        if name in cast(dict[str, Any], self.payload)["more"]:
            with self.reporting():
                self.add(name)

    def _prepare(self, choices: Mapping[str, Any]) -> None:
        more, methods = cast(dict[str, Any], self.payload)["more"], choices.get("methods")
        for name in [name for name in more if isinstance(methods, list) and name in methods]:
            self._add_asked(name)

    def _found(self) -> dict[str, Any]:
        """The part of the payload that grows with `add`."""
        from xfm.explain.method_table import METHODS, SLOW

        methods = self._all("method")
        known = {*methods} if self._covers else {*methods, OBJECTS}
        quick = [name for name in METHODS if name not in SLOW and name not in known]
        found = [packed(a, report) for a, report in self._pairs]
        more, targets = quick if self._inputs else [], self._all("target")
        units = {target: UNITS.get(target.partition(" ")[0], "") for target in targets}
        return {"methods": methods, "found": found, "more": more, "targets": targets, "units": units}

    def scores_without(
        self, words: Iterable[int] = (), objects: Iterable[str] = (), patches: Iterable[int] = ()
    ) -> dict[str, float | None]:
        """The targets' scores without these; None where one is not finite."""
        assert self._score is not None
        pieces = np.isin(np.array(self._words.owner), list(words))
        scores = self._score(self.gone(objects, patches), pieces)
        return {str(target): finite(score) for target, score in scores.items()}

    def gone(self, objects: Iterable[str], patches: Iterable[int]) -> np.ndarray:
        """(P,) bool"""
        gone = np.isin(np.arange(self._grid**2), list(patches))
        return np.logical_or.reduce([gone, *(cover for name, cover in self._covers.items() if name in objects)])

    @traitlets.observe("removed_words", "removed_objects", "removed_patches")
    def _rescore(self, _: Any = None) -> None:
        removed = {"words": self.removed_words, "objects": self.removed_objects, "patches": self.removed_patches}
        if not hasattr(self, "_before") or removed == self._removed:
            return
        after = {} if any(removed.values()) else self._before
        if self._score is not None and any(removed.values()):
            with self.reporting():
                after = self.scores_without(*removed.values())
        self._removed, self._after = removed, after
        self.tell(scores={"of": removed, "before": self._before, "after": after})

    def _all(self, name: str) -> list[str]:
        """The methods, or the targets, of all attributions."""
        return list(dict.fromkeys(getattr(a, name) for a, _ in self._pairs))

    def shown(self) -> list[Attribution]:
        return [a for t in self.targets for m in self.methods for a, _ in self._pairs if (a.target, a.method) == (t, m)]

    def data(self) -> pd.DataFrame:
        """Table of the shown attributions: one row per word and per patch."""
        import pandas as pd

        gone, rows = self.gone(self.removed_objects, self.removed_patches), []
        for a in self.shown():
            common = {"target": a.target, "method": a.method}
            rows += [
                common
                | {
                    "part": "word",
                    "place": i,
                    "name": self._words.words[i],
                    "value": v,
                    "removed": i in self.removed_words,
                }
                for i, v in enumerate(by_word(a).tolist())
            ]
            rows += [
                common | {"part": "patch", "place": i, "name": "", "value": v, "removed": bool(gone[i])}
                for i, v in enumerate(a.patches.tolist())
            ]
        return pd.DataFrame(encodable(rows), columns=["target", "method", "part", "place", "name", "value", "removed"])

    def figure(self) -> plots.Figure:
        """What is shown, in `plots.attributions`; what is removed is grey, and stands in the title with the scores."""
        if not (shown := self.shown()):
            return message_figure(str(self.message or "No method or no target is chosen."))
        several = len({a.target for a in shown}) > 1
        named = [replace(a, method=f"{a.target}: {a.method}") if several else a for a in shown]
        gone = self.gone(self.removed_objects, self.removed_patches).reshape(self._grid, self._grid)
        covered = np.kron(gone, np.ones((len(self._image) // self._grid,) * 2))[..., None] > 0
        image = np.where(covered, np.uint8(138), self._image)
        truth_of = {} if gone.any() else {i.target.name: i.truth for i in self._inputs}
        truths = [truth_of.get(a.target) for a in shown]
        notes = [_said(report) for each in shown for a, report in self._pairs if a is each]
        return plots.attributions(image, named, truths, self._title(), credit=self.credit, notes=notes)

    def _title(self) -> str:
        """The targets' scores, and without what."""
        removed = [*self.removed_objects, *(w for i, w in enumerate(self._words.words) if i in self.removed_words)]
        removed += [f"{len(self.removed_patches)} patches"] if self.removed_patches else []
        scores = [
            f"{t} {number(self._before[t])}" + (f" → {number(self._after.get(t))}" if removed else "")
            for t in self.targets
            if t in self._before
        ]
        return "Score: " + ", ".join(scores) + (f" without {', '.join(removed)}" if removed else "")

    def _complete(self) -> None:
        """Each single object and word can be removed there, where they are few; more at once needs a model."""
        words, objects = range(len(self._words.words)), list(self._covers)
        if self._score is not None and not self.singles and len(words) + len(objects) <= SINGLES:
            with self._reporting_errors():
                alone = {name: self.scores_without(objects=[name]) for name in objects}
                self.tell(singles={"words": [self.scores_without([i]) for i in words], "objects": alone})


def _said(report: FaithfulnessReport | None) -> str:
    """Of a figure: the scores against the ground truth, each next to the best baseline's."""
    if report is None:
        return ""
    lines = []
    for name, value in report.scores.items():
        known = {baseline: scores[name] for baseline, scores in report.baselines.items() if name in scores}
        if known:
            best = max(known, key=lambda baseline: known[baseline])
            lines.append(f"{name} {value:.2f} ({best} {known[best]:.2f})")
    return "\n".join(lines)
