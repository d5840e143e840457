"""Attention between a picture's patches and a text's words: every layer and head, of one trace or of several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets
from torch import Tensor

from xfm.base.fields import ConfigError, require
from xfm.base.images import ImageLike
from xfm.base.strings import shown
from xfm.explain.tracing import Trace, trace
from xfm.plots import Figure
from xfm.plots.palette import STRONGEST
from xfm.plots.style import message_figure

from . import figures
from .choices import Flag, Name, Option, Place, Share, Text, told
from .figures import AttentionSide
from .json_values import table
from .live_page import LivePage
from .traces import MAPS, finite, made_of, packed, patch_names, rollouts, size

if TYPE_CHECKING:
    import pandas as pd

    from xfm.data.tokenizer import Tokenizer
    from xfm.model import XFM

GIVEN, OWN = "given", "your own"  # labels of what `of` makes
LIMIT = 8_000_000  # bytes of a message: some hosts of notebooks refuse more


class TraceExplorer(LivePage):
    """Attention weights between words and patches: a choice on one side shows its weights on the other.

    TraceExplorer.of(model, tokenizer, image, text)     # also traces a user's sentences and pictures
    TraceExplorer(trace)
    TraceExplorer({"xfm": lab.trace(image, text), "no stop": other.trace(image, text)})  # A, B and A−B
    TraceExplorer({step: trace(...) for step in ...})   # of one probe: a slider through a run

    Weights are shown to a 510th of their row's largest: they are sent as uint8 with each row's scale. Traces beyond
    8 MB are sent when they are chosen.
    """

    _heads = ("itc", "itm", "bbp")
    map = Option(MAPS, "cross")
    layer = Place(0)  # beyond a map's last layer: the last
    head = Place(0)
    heads = Option(("head", "mean", "max", "rollout"), "head")
    token = Place(-1)  # the word piece that is chosen; -1: none
    patch = Place(-1)
    pooled = Flag(False)  # the token of the whole picture is chosen, no patch
    a = Name(of=lambda view: view._traces)  # a label
    b = Name(of=lambda view: view._traces)
    shown = Option(("A", "B", "A−B"), "A")
    sort = Option(("layer", "entropy", "mass"), "layer")
    detail = Option(("matrix", "lines"), "matrix")  # what is chosen, large; lines: between words
    opacity = Share(STRONGEST)  # of the largest weights over the picture; smaller ones let more of it through
    typed = Text()  # the user's sentence; "": the given one
    sent = told(traitlets.Dict())  # a trace that the browser asked for: label, trace

    def __init__(self, traces: Trace | Mapping[Any, Trace], **traits: Any):
        """Shows traces by their labels. No traces, and weights that are not finite, are reported in `message`.

        Raises:
            ConfigError: for what is no trace, labels that read the same, and an `a` or `b` that is no label.
        """
        given = {"trace": traces} if isinstance(traces, Trace) else traces
        require(isinstance(given, Mapping), "traces", given, "a trace, or traces by label")
        for label, one in given.items():
            require(isinstance(one, Trace), f"traces[{shown(label)}]", one, "a trace, of `xfm.explain.trace`")
        self._traces = {str(label): one for label, one in given.items()}
        require(len(self._traces) == len(given), "labels", list(given), "different when they are read")
        self._packed: dict[str, dict[str, Any]] = {}
        labels = list(self._traces)
        chosen = {"a": labels[0], "b": labels[-1]} | traits if labels else traits
        if labels and "cross" not in (maps := self._traces[labels[0]].maps):
            chosen = {"map": next(iter(maps), "cross")} | chosen
        bad = [label for label, one in self._traces.items() if not finite(one)]
        message = f"Weights that are not finite, shown as 0: {', '.join(bad)}" if bad else ""
        if not labels:
            message = "No trace: TraceExplorer(trace(model, tokenizer, image, text))"
        super().__init__({"labels": labels, "traces": {}, "takes": False}, message, **chosen)
        self.redraw(traces=self._fitting([self.a]))
        self.observe(lambda _: self._trace_own(self._own_image), "typed")

    @classmethod
    def of(
        cls,
        model: XFM,
        tokenizer: Tokenizer,
        image: ImageLike,
        text: str,
        boxes: Mapping[str, Sequence[float]] | None = None,
        **traits: Any,
    ) -> TraceExplorer:
        """Traces a picture and a text as "given", and beside it "your own": `typed`, or the picture of `show`.
        Parameters and errors as of `explain.trace`."""
        given = trace(model, tokenizer, image, text, boxes=boxes)
        view = cls({GIVEN: given, OWN: given}, **traits)
        view._model, view._own_image = (model, tokenizer, text), given.image
        view.redraw(takes=True)
        if view.typed:
            view._trace_own(given.image)
        return view

    _own_image: np.ndarray | None = None

    def _given(self) -> dict[str, str]:
        return {"text": cast(tuple, self._model)[2]}

    def show(self, picture: ImageLike) -> None:
        """Traces any image (see `images.prepare`) with the sentence that is typed, or the given one. ConfigError
        for what is no image, and in a view that `of` has not made."""
        self._trace(picture)
        with self.hold_trait_notifications():
            self.a, self.shown = OWN, "A"

    def _trace(self, picture: ImageLike | None) -> None:
        model, tokenizer, text = self._loaded()
        found = trace(model, tokenizer, cast(ImageLike, picture), self.typed if self.typed.strip() else text)
        self._traces[OWN], self._own_image = found, found.image
        self._packed[OWN] = packed(found, picture)
        self.drawn["traces"][OWN] = self._packed[OWN]  # for a page that begins
        self._tell_trace(OWN)

    def _trace_own(self, picture: ImageLike | None) -> None:
        with self.reporting():
            self._trace(picture)

    def _fitting(self, always: list[str]) -> dict[str, Any]:
        """Packed, by label: these, and then, A and B first, as many as fit."""
        fitting: dict[str, Any] = {}
        for label in filter(None, dict.fromkeys([*always, self.a, self.b, *self._traces])):
            if label not in always and size(fitting | {label: self._pack(label)}) > LIMIT:
                break
            fitting[label] = self._pack(label)
        return fitting

    def _pack(self, label: str) -> dict[str, Any]:
        if label not in self._packed:
            self._packed[label] = packed(self._traces[label])
        return self._packed[label]

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {**super().acts(), "trace": self._tell_trace}

    def _tell_trace(self, label: str) -> None:
        if label in self._traces:
            self.tell(sent={"label": label, "trace": self._pack(label)})

    def weights(self) -> Tensor:
        """(queries, keys) of the layer and heads that are shown, or their difference. ConfigError where A and B differ
        in size, where the map is missing, and for a rollout that needs a missing map."""
        require(bool(self._traces), "traces", "none", "at least one")
        if self.shown != "A−B":
            return self._of(self.a if self.shown == "A" else self.b)
        a, b = self._of(self.a), self._of(self.b)
        one, two = (self._traces[label].maps[self.map].weights.shape for label in (self.a, self.b))
        if one != two:
            form = "{} has {} layers of {} heads, {} × {} weights each"
            raise ConfigError(f"No difference: {form.format(self.a, *one)}; {form.format(self.b, *two)}. Show A or B.")
        return a - b

    def _of(self, label: str) -> Tensor:
        maps = self._traces[label].maps
        weights = rollouts(maps) if self.heads == "rollout" else {name: m.weights for name, m in maps.items()}
        if self.map not in weights:
            raise ConfigError(f"{self.heads} of {self.map}: the trace {label!r} has {', '.join(weights) or 'no map'}")
        layer = weights[self.map][min(self.layer, len(weights[self.map]) - 1)].nan_to_num()
        if self.heads == "head":
            return layer[min(self.head, len(layer) - 1)]
        return layer.mean(0) if self.heads == "mean" else layer.amax(0) if self.heads == "max" else layer

    def _axes(self) -> Trace:
        return self._traces[self.b if self.shown == "B" else self.a]

    def sides(self) -> list[AttentionSide]:
        """Sides on display: the keys, then the queries where one is chosen."""
        weights, axes = self.weights(), self._axes()
        queries, keys = axes.maps[self.map].queries, axes.maps[self.map].keys
        names = {"words": [f"“{piece}”" for piece in axes.words.pieces], "patches": patch_names(axes)}
        at = {"words": self.token, "patches": 0 if self.pooled else self.patch + 1 if self.patch >= 0 else -1}
        query, key = at[queries], at[keys]
        chosen = 0 <= query < len(weights)
        row = weights[query] if chosen else weights.mean(0)
        title = f"{names[queries][query]} looks at" if chosen else f"what {queries} look at, mean"
        if self.heads == "rollout" and self.shown != "A−B":
            title = f"{names[queries][query] if chosen else f'{queries}, mean,'} {made_of(row, keys)}"
        sides = [AttentionSide(title, keys, row)]
        if 0 <= key < weights.shape[1]:
            sides.append(AttentionSide(f"looks at {names[keys][key]}", queries, weights[:, key]))
        return sides

    def data(self) -> pd.DataFrame:
        """A row a token of each side that is shown: which side, the token, its weight (A−B: the difference). None where
        there are no such weights, as the figure says."""
        sides, rows = [], []
        with suppress(ConfigError):
            sides = self.sides()
        for side in sides:
            names = patch_names(self._axes()) if side.kind == "patches" else self._axes().words.pieces
            rows += [(side.title, name, value) for name, value in zip(names, side.weights.tolist(), strict=True)]
        return table(rows, ["side", "token", "weight"])

    def figure(self) -> Figure:
        try:
            sides = self.sides()
        except ConfigError as error:
            return message_figure(self.message or str(error))
        layers, heads = self._axes().maps[self.map].weights.shape[:2]
        layer, head = min(self.layer, layers - 1), min(self.head, heads - 1)  # as `_of` has them
        which = {"head": f"head {head}", "rollout": "rollout"}.get(self.heads, f"{self.heads} of the heads")
        label = {"A": self.a, "B": self.b, "A−B": f"{self.a} − {self.b}"}[self.shown]
        title = f"{label if len(self._traces) > 1 else 'Attention'}, {self.map}, layer {layer}, {which}"
        own = GIVEN in self._traces and not np.array_equal(self._axes().image, self._traces[GIVEN].image)
        return figures.plot_attention(sides, self._axes(), self.shown == "A−B", title, "" if own else self.credit)

    def _complete(self) -> None:
        """Of traces beyond 8 MB, A and B and what fits are in the file, which says so."""
        if not {self.a, self.b} - {""} <= set(self.drawn["traces"]):
            self.redraw(traces=self._fitting([self.a, self.b]))
        self.tell(sent={})
