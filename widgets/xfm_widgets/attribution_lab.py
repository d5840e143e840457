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

from .attributions import by_word, covered, drawn, finite, known, number, sound
from .base import View

if TYPE_CHECKING:
    import pandas as pd

    from xfm.explain.attribution import Attribution
    from xfm.explain.faithfulness import FaithfulnessReport
    from xfm.explain.inputs import AttributionInputs
    from xfm.explain.token_axes import TokenAxis

Rescore = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
SHOWN = 6  # methods at once
SINGLES = 60  # scores that an export has computed before, at most
UNITS = {"itm": "log-odds", "itc": "cosine", "word": "log-probability", "box": "share of the picture's side"}


class AttributionLab(View):
    """Attributions of one picture and one text, for one or several targets, and removals.

    AttributionLab.of([scene_inputs(model, tokenizer, scene, target) for target in ("itm", "itc")])
    AttributionLab(image, words, attributions, trust, {"a red car": mask}, rescore)

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
        """`image` (side, side, 3) uint8; `trust`: one for each attribution, or none; `objects`: phrase -> (side, side)
        bool; `rescore`: (patches that are removed (P,) bool, word pieces (L,) bool) -> {target: score}.

        ConfigError where their sizes differ. Attributions that are not finite are left out, and the view says so.
        """
        own = [*faithfulness_report] if faithfulness_report else [None] * len(attributions)
        require(len(own) == len(attributions), "trust", len(own), f"none, or {len(attributions)}: one an attribution")
        side, sizes = len(image), {(len(a.patches), len(a.text)) for a in attributions}
        require(len(sizes) < 2, "attributions", sizes, "of one picture and one text: as many patches and pieces each")
        masks = known(objects, side)
        pairs = [(a, t) for a, t in zip(attributions, own, strict=True) if sound(a)]
        lost = [f"{a.method} for {a.target}" for a in attributions if not sound(a)]
        self._image, self._words, self._ask = np.ascontiguousarray(image), words, rescore
        self._found = [a for a, _ in pairs]
        self._grid = attributions[0].grid.grid if attributions else 1
        require(side % self._grid == 0, "image.shape", image.shape, f"of {self._grid} patches a side")
        self._covers = {name: covered(mask, self._grid) for name, mask in masks.items()}
        methods, targets = (list(dict.fromkeys(getattr(a, n) for a in self._found)) for n in ("method", "target"))
        payload = {
            "image": self._image.tobytes(), "side": side, "grid": self._grid, "words": list(words.words),
            "owner": list(words.owner), "methods": methods, "targets": targets, "most": SHOWN,
            "units": {t: UNITS.get(t.split()[0], "") for t in targets}, "can": rescore is not None,
            "found": [drawn(a, t) for a, t in pairs],
            "objects": [{"name": name, "mask": np.packbits(mask).tobytes(),
                         "patches": np.flatnonzero(self._covers[name]).tolist()} for name, mask in masks.items()],
        }  # fmt: skip
        bad = f"Left out, since NaN or infinite: {', '.join(lost)}. " if lost else ""
        missing = "" if self._found else "No attribution to show: AttributionLab.of(questions, methods) makes them."
        super().__init__(payload=payload, **{"methods": methods[:SHOWN], "targets": targets} | traits)
        self._standing = (bad + missing).strip()
        self._before = {a.target: finite(a.score) for a in self._found}
        if rescore is not None:
            with self.reporting():
                self._before |= self.scored()
        self.message = self.message or self._standing
        self._rescore()

    @classmethod
    def of(
        cls,
        questions: AttributionInputs | Sequence[AttributionInputs],
        methods: Sequence[str] = ("generic attention", "integrated gradients", "occlusion"),
        seed: int = 0,
        sensitive: bool = False,
        **traits: Any,
    ) -> AttributionLab:
        """Attributes each question by each method, and scores them as `faithfulness_report` does. ConfigError where the
        questions differ in picture or text, and as `attribute` raises it."""
        import torch

        from xfm.explain.attribution import attribute
        from xfm.explain.faithfulness import faithfulness_report
        from xfm.explain.inputs import AttributionInputs
        from xfm.model.modes import eval_mode

        asked = [questions] if isinstance(questions, AttributionInputs) else list(questions)
        require(bool(asked), "questions", asked, "one or more")
        first = asked[0]
        same = all(q.text == first.text and np.array_equal(q.image, first.image) for q in asked)
        require(same, "questions", [q.text for q in asked], "of one picture and one text")

        def rescore(gone: np.ndarray, hidden: np.ndarray) -> dict[str, float]:
            seen, read = (torch.from_numpy(~mask)[None] for mask in (gone, hidden))
            with eval_mode(first.model):
                return {q.target.name: q.masked_scores(seen, read).item() for q in asked}

        with eval_mode(first.model):
            pairs = [(q, attribute(q, method, seed)) for q in asked for method in methods]
            trusted = [faithfulness_report(q, found, seed, sensitive) for q, found in pairs]
        return cls(first.image, first.words, [found for _, found in pairs], trusted, first.objects, rescore, **traits)

    def scored(
        self, words: Iterable[int] = (), objects: Iterable[str] = (), patches: Iterable[int] = ()
    ) -> dict[str, float | None]:
        """The targets' scores without these; None where one is not finite."""
        assert self._ask is not None
        pieces = np.isin(np.array(self._words.owner), list(words))
        return {target: finite(score) for target, score in self._ask(self.gone(objects, patches), pieces).items()}

    def gone(self, objects: Iterable[str], patches: Iterable[int]) -> np.ndarray:
        """(P,) bool"""
        gone = np.isin(np.arange(self._grid**2), list(patches))
        return np.logical_or.reduce([gone, *(self._covers[name] for name in objects)])

    @traitlets.observe("removed_words", "removed_objects", "removed_patches")
    def _rescore(self, _: Any = None) -> None:
        asked = {"words": self.removed_words, "objects": self.removed_objects, "patches": self.removed_patches}
        if not hasattr(self, "_before") or asked == self.scores.get("of"):
            return
        after = {} if any(asked.values()) else self._before
        if self._ask is not None and any(asked.values()):
            with self.reporting():
                after = self.scored(*asked.values())
            self.message = self.message or self._standing
        self.scores = {"of": asked, "before": self._before, "after": after}

    @traitlets.validate("removed_objects")
    def _exist(self, proposal: Any) -> list[str]:
        for name in proposal.value:
            one_of("removed_objects", name, self._covers)
        return proposal.value

    def shown(self) -> list[Attribution]:
        return [a for t in self.targets for m in self.methods for a in self._found if (a.target, a.method) == (t, m)]

    def data(self) -> pd.DataFrame:
        """A row a word and a patch of each attribution that is shown."""
        import pandas as pd

        gone, rows = self.gone(self.removed_objects, self.removed_patches), []
        for a in self.shown():
            own = {"target": a.target, "method": a.method}
            rows += [
                own
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
                own | {"part": "patch", "place": i, "name": "", "value": v, "removed": bool(gone[i])}
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
        return plots.attributions(image, named, title=self.said())

    def said(self) -> str:
        away = [*self.removed_objects, *(self._words.words[i] for i in self.removed_words)]
        away += [f"{len(self.removed_patches)} patches"] if self.removed_patches else []
        told = [
            f"{t} {number(self._before[t])}" + (f" → {number(self.scores['after'].get(t))}" if away else "")
            for t in self.targets
            if t in self._before
        ]
        return ", ".join(told) + (f" without {', '.join(away)}" if away else "")

    def to_html(self, path: str | Path) -> Path:
        """Each single object and word can be removed there, where they are few; more at once needs a model."""
        words, objects = range(len(self._words.words)), list(self._covers)
        if self._ask is not None and not self.singles and len(words) + len(objects) <= SINGLES:
            with self.reporting():
                self.singles = {"words": [self.scored([i]) for i in words],
                                "objects": {name: self.scored(objects=[name]) for name in objects}}  # fmt: skip
        return super().to_html(path)
