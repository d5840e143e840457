"""What a score is due to, by several methods side by side, and what taking an object or a word away does to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from xfm import plots
from xfm.base.fields import require
from xfm.base.images import ImageLike
from xfm.plots.palette import STRONGEST
from xfm.plots.style import message_figure

from . import attributions as parts
from .attributions import IN_PAGE
from .choices import Flag, Names, Place, Places, Share, told
from .json_values import finite, sharp, square_pixels, table
from .live_page import OneQuestion
from .removals import Removals, Rescore

if TYPE_CHECKING:
    import pandas as pd

    from xfm.explain.attribution import Attribution, Method
    from xfm.explain.inputs import AttributionInputs
    from xfm.explain.token_axes import TokenAxis

    from .attributions import Pairs

SHOWN = 6  # methods at once
NONE = "No attribution to show: AttributionLab.of(questions, methods) makes them."


class AttributionLab(OneQuestion):
    """Attributions of one picture and one text, for one or several targets, and removals.

    AttributionLab.of([scene_inputs(model, tokenizer, scene, target) for target in ("itm", "itc")])

    `scores` is {"of": what is removed, "before": {target: score}, "after": {target: score}}.
    """

    methods = Names(of=lambda view: view._all("method"), most=SHOWN)  # those that are shown
    targets = Names(of=lambda view: view._all("target"))
    opacity = Share(STRONGEST)  # of the largest numbers over the picture; smaller ones let more of it through
    shared_scale = Flag(False)  # one colour scale for a target's methods of one unit, not one a method
    removed_words = Places(of=lambda view: len(view._words.words))
    removed_objects = Names(of=lambda view: view._removals.covers)
    removed_patches = Places(of=lambda view: view._grid**2)  # besides those of objects
    patch = Place(-1, of=lambda view: view._grid**2)
    token = Place(-1, of=lambda view: len(view._words.pieces))
    scores = told(traitlets.Dict())
    singles = told(traitlets.Dict())  # scores with one word or one object less, of an export

    def __init__(
        self,
        image: ImageLike,
        words: TokenAxis,
        pairs: Pairs,
        objects: Mapping[str, np.ndarray] | None = None,
        rescore: Rescore | None = None,
        grid: int = 1,
        **traits: Any,
    ):
        """Shows attributions of one picture and one text; `message` reports those that are left out as not finite.
        ConfigError for what is no image, and where it does not fall into that many patches.

        Args:
            image: any image that `xfm.base.images.prepare` accepts, of (side, side) pixels.
            pairs: attributions, each with its faithfulness report, if it has one.
            objects: masks (side, side) bool by phrase.
            rescore: (removed patches (P,) bool, removed pieces (L,) bool) -> {target: score}.
            grid: patches a side, where there is no attribution that has it.
        """
        self._grid = pairs[0][0].grid.grid if pairs else grid
        self._image, self._words = square_pixels(image, self._grid), words
        side = len(self._image)
        drawn, covers = parts.object_parts(objects, side, self._grid)
        self._pairs, bad = parts.finite_ones(pairs)
        self._inputs: list[AttributionInputs] = []  # that `add` asks
        self._removals = Removals(covers, words.owner, self._grid**2, rescore)
        payload = {"side": side, "grid": self._grid, "most": SHOWN, "can": rescore is not None, "takes": False}
        payload |= self._seen(drawn) | self._found()
        traits = {"methods": self._all("method")[:SHOWN], "targets": self._all("target")} | traits
        super().__init__(payload, (bad + ("" if self._pairs else NONE)).strip(), **traits)
        self._begin()

    _scored_for: dict[str, Any] | None = None  # what was removed when the scores were told; None: nothing was told
    _first: Sequence[AttributionInputs] = ()  # the given questions

    def _begin(self) -> None:
        self._removals.before = {a.target: finite(a.score) for a, _ in self._pairs}
        if self._removals.rescore is not None:
            with self.reporting():
                self._removals.before |= self._removals.scores()
        self._scored_for = {}
        self._rescore()

    @classmethod
    def of(
        cls,
        inputs: AttributionInputs | Sequence[AttributionInputs],
        methods: Sequence[str] = ("generic attention", "integrated gradients", "occlusion"),
        seed: int = 0,
        **traits: Any,
    ) -> AttributionLab:
        """Attributes each question by each method, with a faithfulness report each. ConfigError where the questions
        differ in picture or text, and as `explain.attribute`."""
        from xfm.explain.inputs import AttributionInputs
        from xfm.model import XFM

        all_inputs = [inputs] if isinstance(inputs, AttributionInputs) else list(inputs)
        require(bool(all_inputs), "inputs", all_inputs, "one or more")
        first = all_inputs[0]
        same = all(i.text == first.text and np.array_equal(i.image, first.image) for i in all_inputs)
        require(same, "inputs", [i.text for i in all_inputs], "of one picture and one text")
        pairs = parts.explained(all_inputs, methods, seed)
        traits = {"credit": first.credit, "grid": first.grid.grid} | traits
        rescore, n = parts.rescorer(all_inputs), len(methods)
        view = cls(first.image, first.words, pairs, first.objects, rescore, **traits)
        view._inputs = view._first = all_inputs
        targets = [parts.page_target(i, pairs[k * n][1] if n else None) for k, i in enumerate(all_inputs)]
        if isinstance(first.model, XFM) and first.tokenizer is not None and None not in targets:
            view._model = first.model, first.tokenizer, targets
        view.redraw(**view._found(), takes=view._model is not None)
        if view.typed:
            view._retext()
        return view

    def add(self, name: str, method: Method | None = None, seed: int = 0) -> AttributionLab:
        """Attributes all questions by one more method, and shows it: one of METHODS, or a function f(inputs) ->
        Attribution under a name of its own, which may be used again: the newer one stays. ConfigError in a view that
        `of` has not made, for a name that METHODS has, and as `attribute` raises it."""
        from xfm.explain.method_table import METHODS

        require(bool(self._inputs), "add", name, "called on what AttributionLab.of has made: it has the questions")
        require(isinstance(name, str) and bool(name), "name", name, "the method's name")
        require(method is None or name not in METHODS, "name", name, "another one: explain.METHODS has a method of it")
        found = parts.explained(self._inputs, [method or name], seed, name=name)
        self._pairs = [*(pair for pair in self._pairs if pair[0].method != name), *found]
        self.redraw(**self._found())
        if NONE in self._standing:  # it was begun without any that could be shown
            self._standing = self.message = self._standing.replace(NONE, "").strip()
            self.targets = self._all("target")
        self.methods = [*[m for m in self.methods if m != name][: SHOWN - 1], name]
        return self

    def _without_model(self) -> str:
        return f"{super()._without_model()} Its targets need names."

    def _given(self) -> dict[str, Any]:
        first, targets = self._first[0], cast(tuple, self._model)[2]
        return {"text": first.text, "targets": targets, "methods": IN_PAGE, "random": parts.random_seed(first)}

    def _turn(self, picture: ImageLike | None) -> None:
        """By those of METHODS that are shown. Of another picture's objects no masks are known; targets that ask for
        words that another sentence has not are left out."""
        from xfm.explain.method_table import METHODS

        (model, tokenizer, targets), first = self._loaded(), self._first[0]
        text, objects = self.typed.strip() or first.text, self._inputs[0].objects if picture is None else {}
        if picture is not None:
            self._model = model, tokenizer, [target | {"truth": None} for target in targets]
        seen, names = self._image if picture is None else picture, [target["name"] for target in targets]
        inputs = [replace(one, objects=objects) for one in parts.asked(model, tokenizer, seen, text, names)]
        if picture is None and text == first.text and np.array_equal(first.image, self._image):
            inputs = list(self._first)  # with what is known to be true of it
        methods = [m for m in self.methods if m in METHODS and (objects or m != "object ablation")] or ["occlusion"]
        self._pairs = parts.explained(inputs, methods)
        self._inputs, self._image, self._words = inputs, inputs[0].image, inputs[0].words
        drawn, covers = parts.object_parts(objects, len(self._image), self._grid)
        self._removals = Removals(covers, self._words.owner, self._grid**2, parts.rescorer(inputs))
        self._scored_for = None
        with self.hold_trait_notifications():
            self.removed_words, self.removed_objects, self.removed_patches = [], [], []
        self._begin()
        self.redraw(**self._seen(drawn, picture), **self._found())
        self.tell(singles={})
        self.methods, self.targets = methods, self._all("target")

    def _seen(self, objects: list[dict[str, Any]], picture: ImageLike | None = None) -> dict[str, Any]:
        """The part of the payload that is the picture's and the sentence's."""
        return {"image": self._image.tobytes(), "crisp": sharp(self._image, picture), "objects": objects,
                "words": list(self._words.words), "owner": list(self._words.owner)}  # fmt: skip

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {**super().acts(), "add": self._add_asked}

    def _add_asked(self, name: str) -> None:
        if name in self.drawn["more"]:
            with self.reporting():
                self.add(name)

    def _prepare(self, choices: Mapping[str, Any]) -> None:
        if isinstance(methods := choices.get("methods"), list):
            for name in [name for name in self.drawn["more"] if name in methods]:
                self._add_asked(name)

    def _found(self) -> dict[str, Any]:
        """The part of the payload that grows with `add`."""
        return parts.fields_of(self._pairs, self._inputs, masks=bool(self._removals.covers))

    @traitlets.observe("removed_words", "removed_objects", "removed_patches")
    def _rescore(self, _: Any = None) -> None:
        removed = {"words": self.removed_words, "objects": self.removed_objects, "patches": self.removed_patches}
        if self._scored_for in (None, removed):
            return
        after = {} if any(removed.values()) else self._removals.before
        if self._removals.rescore is not None and any(removed.values()):
            with self.reporting():
                after = self._removals.scores(**removed)
        self._scored_for = removed
        self.tell(scores={"of": removed, "before": self._removals.before, "after": after})

    def _all(self, name: str) -> list[str]:
        """The methods, or the targets, of all attributions."""
        return list(dict.fromkeys(getattr(a, name) for a, _ in self._pairs))

    def shown(self) -> list[Attribution]:
        return [a for t in self.targets for m in self.methods for a, _ in self._pairs if (a.target, a.method) == (t, m)]

    def data(self) -> pd.DataFrame:
        """A row a word and a patch of each attribution that is shown."""
        gone = self._removals.gone(self.removed_objects, self.removed_patches)
        rows = [row for a in self.shown() for row in parts.rows_of(a, self.removed_words, gone)]
        return table(rows, ["target", "method", "part", "place", "name", "value", "removed"])

    def figure(self) -> plots.Figure:
        """`plots.attributions`; what is removed is grey, and stands in the title with the scores."""
        if not (shown := self.shown()):
            return message_figure(str(self.message or "No method or no target is chosen."))
        gone = self._removals.gone(self.removed_objects, self.removed_patches)
        truth_of = {} if gone.any() else {i.target.name: i.truth for i in self._inputs}
        truths = [truth_of.get(a.target) for a in shown]
        notes = [parts.notes_of(report) for each in shown for a, report in self._pairs if a is each]
        title = self._removals.title(self.targets, self._words.words, self.scores)
        image = parts.without(self._image, gone, self._grid)
        return plots.attributions(image, parts.named(shown), truths, title, credit=self.credit, notes=notes)

    def _complete(self) -> None:
        """Each single object and word can be removed there, where they are few; more at once needs a model."""
        if not self.singles:
            with self.reporting(clear=False):
                self.tell(singles=self._removals.singles(len(self._words.words)))
