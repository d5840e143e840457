"""What a score is due to, by several methods side by side, and what taking an object or a word away does to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from xfm import plots
from xfm.config_utils import one_of, require

from .attributions import by_word, checked_masks, covered, finite, is_finite, number, packed
from .base import View

if TYPE_CHECKING:
    import pandas as pd

    from xfm.explain.attribution import Attribution
    from xfm.explain.faithfulness import FaithfulnessReport
    from xfm.explain.inputs import AttributionInputs
    from xfm.explain.token_axes import TokenAxis

__all__ = ["AttributionLab"]

Rescore = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
SHOWN = 6  # methods at once
SINGLES = 60  # scores that an export has computed before, at most
UNITS = {"itm": "log-odds", "itc": "cosine", "word": "log-probability", "box": "share of the picture's side"}


class AttributionLab(View):
    """Attributions of one picture and one text, for one or several targets, and removals.

    AttributionLab.of([scene_inputs(model, tokenizer, scene, target) for target in ("itm", "itc")])
    AttributionLab(image, words, attributions, reports, {"a red car": mask}, rescore)

    `scores` is {"of": what is removed, "before": {target: score}, "after": {target: score}}.
    """

    methods = traitlets.List(traitlets.Unicode(), maxlen=SHOWN).tag(sync=True)  # those that are shown
    targets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    opacity = traitlets.Float(0.75, min=0, max=1).tag(sync=True)  # of the numbers over the picture
    shared_scale = traitlets.Bool(False).tag(sync=True)  # one colour scale a target, not one a method
    removed_words = traitlets.List(traitlets.Int()).tag(sync=True)
    removed_objects = traitlets.List(traitlets.Unicode()).tag(sync=True)
    removed_patches = traitlets.List(traitlets.Int()).tag(sync=True)  # besides those of objects
    patch = traitlets.Int(-1).tag(sync=True)
    token = traitlets.Int(-1).tag(sync=True)
    scores = traitlets.Dict().tag(sync=True)
    singles = traitlets.Dict().tag(sync=True)  # scores with one word or one object less, of an export

    def __init__(
        self,
        image: np.ndarray,
        words: TokenAxis,
        attributions: Sequence[Attribution],
        faithfulness_report: Sequence[FaithfulnessReport | None] = (),
        objects: Mapping[str, np.ndarray] | None = None,
        rescore: Rescore | None = None,
        **traits: Any,
    ):
        """`image` (side, side, 3) uint8; `faithfulness_report`: one for each attribution, or none; `objects`: phrase ->
        mask (side, side) bool; `rescore`: (removed patches (P,) bool, removed pieces (L,) bool) -> {target: score}.

        ConfigError where their sizes differ. Attributions that are not finite are left out, and the view says so.
        """
        reports = [*faithfulness_report] if faithfulness_report else [None] * len(attributions)
        allowed = f"none, or {len(attributions)}: one an attribution"
        require(len(reports) == len(attributions), "faithfulness_report", len(reports), allowed)
        side, sizes = len(image), {(len(a.patches), len(a.text)) for a in attributions}
        require(len(sizes) < 2, "attributions", sizes, "of one picture and one text: as many patches and pieces each")
        masks = checked_masks(objects, side)
        pairs = [(a, report) for a, report in zip(attributions, reports, strict=True) if is_finite(a)]
        dropped = [f"{a.method} for {a.target}" for a in attributions if not is_finite(a)]
        self._image, self._words, self._score = np.ascontiguousarray(image), words, rescore
        self._attributions = [a for a, _ in pairs]
        self._grid = attributions[0].grid.grid if attributions else 1
        require(side % self._grid == 0, "image.shape", image.shape, f"of {self._grid} patches a side")
        self._covers = {name: covered(mask, self._grid) for name, mask in masks.items()}
        methods, targets = (
            list(dict.fromkeys(getattr(a, n) for a in self._attributions)) for n in ("method", "target")
        )
        payload = {
            "image": self._image.tobytes(), "side": side, "grid": self._grid, "words": list(words.words),
            "owner": list(words.owner), "methods": methods, "targets": targets, "most": SHOWN,
            "units": {t: UNITS.get(t.split()[0], "") for t in targets}, "can": rescore is not None,
            "found": [packed(a, report) for a, report in pairs],
            "objects": [{"name": name, "mask": np.packbits(mask).tobytes(),
                         "patches": np.flatnonzero(self._covers[name]).tolist()} for name, mask in masks.items()],
        }  # fmt: skip
        bad = f"Left out, since NaN or infinite: {', '.join(dropped)}. " if dropped else ""
        none = "" if self._attributions else "No attribution to show: AttributionLab.of(questions, methods) makes them."
        super().__init__(payload=payload, **{"methods": methods[:SHOWN], "targets": targets} | traits)
        self._standing = (bad + none).strip()
        self._before = {a.target: finite(a.score) for a in self._attributions}
        if rescore is not None:
            with self.reporting():
                self._before |= self.scores_without()
        self.message = self.message or self._standing
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
        import torch

        from xfm.explain.attribution import attribute
        from xfm.explain.faithfulness import faithfulness_report
        from xfm.explain.inputs import AttributionInputs
        from xfm.model.modes import eval_mode

        all_inputs = [inputs] if isinstance(inputs, AttributionInputs) else list(inputs)
        require(bool(all_inputs), "inputs", all_inputs, "one or more")
        first = all_inputs[0]
        same = all(i.text == first.text and np.array_equal(i.image, first.image) for i in all_inputs)
        require(same, "inputs", [i.text for i in all_inputs], "of one picture and one text")

        def rescore(gone: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
            patches, pieces = (torch.from_numpy(~mask)[None] for mask in (gone, hidden))
            with eval_mode(first.model):
                return {i.target.name: i.masked_scores(patches, pieces).item() for i in all_inputs}

        with eval_mode(first.model):
            pairs = [(i, attribute(i, method, seed)) for i in all_inputs for method in methods]
            reports = [faithfulness_report(i, attribution, seed, sensitive) for i, attribution in pairs]
        attributions = [attribution for _, attribution in pairs]
        return cls(first.image, first.words, attributions, reports, first.objects, rescore, **traits)

    def scores_without(
        self, words: Iterable[int] = (), objects: Iterable[str] = (), patches: Iterable[int] = ()
    ) -> dict[str, float | None]:
        """The targets' scores without these; None where one is not finite."""
        assert self._score is not None
        pieces = np.isin(np.array(self._words.owner), list(words))
        return {target: finite(score) for target, score in self._score(self.gone(objects, patches), pieces).items()}

    def gone(self, objects: Iterable[str], patches: Iterable[int]) -> np.ndarray:
        """(P,) bool"""
        gone = np.isin(np.arange(self._grid**2), list(patches))
        return np.logical_or.reduce([gone, *(self._covers[name] for name in objects)])

    @traitlets.observe("removed_words", "removed_objects", "removed_patches")
    def _rescore(self, _: Any = None) -> None:
        removed = {"words": self.removed_words, "objects": self.removed_objects, "patches": self.removed_patches}
        if not hasattr(self, "_before") or removed == self.scores.get("of"):
            return
        after = {} if any(removed.values()) else self._before
        if self._score is not None and any(removed.values()):
            with self.reporting():
                after = self.scores_without(*removed.values())
            self.message = self.message or self._standing
        self.scores = {"of": removed, "before": self._before, "after": after}

    @traitlets.validate("removed_objects")
    def _exist(self, proposal: Any) -> list[str]:
        for name in proposal.value:
            one_of("removed_objects", name, self._covers)
        return proposal.value

    def shown(self) -> list[Attribution]:
        return [
            a for t in self.targets for m in self.methods for a in self._attributions if (a.target, a.method) == (t, m)
        ]

    def data(self) -> pd.DataFrame:
        """A row a word and a patch of each attribution that is shown."""
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
        return pd.DataFrame(rows, columns=["target", "method", "part", "place", "name", "value", "removed"])

    def figure(self) -> plots.Figure:
        """What is shown, in `plots.attributions`; what is removed is grey, and stands in the title with the scores."""
        if not (shown := self.shown()):
            figure = plots.Figure(figsize=(7, 0.5))
            figure.text(0.01, 0.4, str(self.message or "No method or no target is chosen."))
            return figure
        several = len({a.target for a in shown}) > 1
        named = [replace(a, method=f"{a.target}: {a.method}") if several else a for a in shown]
        gone = self.gone(self.removed_objects, self.removed_patches).reshape(self._grid, self._grid)
        image = np.where(np.kron(gone, np.ones((len(self._image) // self._grid,) * 2))[..., None] > 0, 138, self._image)
        return plots.attributions(image, named, title=self._title(), credit=self.credit)

    def _title(self) -> str:
        """The targets' scores, and without what."""
        removed = [*self.removed_objects, *(self._words.words[i] for i in self.removed_words)]
        removed += [f"{len(self.removed_patches)} patches"] if self.removed_patches else []
        scores = [
            f"{t} {number(self._before[t])}" + (f" → {number(self.scores['after'].get(t))}" if removed else "")
            for t in self.targets
            if t in self._before
        ]
        return ", ".join(scores) + (f" without {', '.join(removed)}" if removed else "")

    def to_html(self, path: str | Path) -> Path:
        """Each single object and word can be removed there, where they are few; more at once needs a model."""
        words, objects = range(len(self._words.words)), list(self._covers)
        if self._score is not None and not self.singles and len(words) + len(objects) <= SINGLES:
            with self.reporting():
                self.singles = {"words": [self.scores_without([i]) for i in words],
                                "objects": {name: self.scores_without(objects=[name]) for name in objects}}  # fmt: skip
        return super().to_html(path)
