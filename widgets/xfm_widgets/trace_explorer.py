"""Attention between a picture's patches and a text's words: every layer and head, of one trace or of several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets
from torch import Tensor

from xfm.config_utils import ConfigError, require
from xfm.explain.tracing import Trace
from xfm.plots import Figure

from . import figures
from .base import View
from .figures import AttentionSide
from .traces import MAPS, finite, measured, packed, patch_names, rollouts, size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LIMIT", "TraceExplorer"]

LIMIT = 8_000_000  # bytes of a message: some hosts of notebooks refuse more


class TraceExplorer(View):
    """What looks at what. Choose a word or a patch on either side; the other answers.

    TraceExplorer(trace)
    TraceExplorer({"xfm": trace, "no-stop": other})     # A, B and A−B
    TraceExplorer({step: trace(...) for step in ...})   # of one probe: a slider through a run

    Weights are shown to a 510th of their row's largest: they are sent as uint8 with each row's scale. Traces beyond
    8 MB are sent when they are chosen.
    """

    map = traitlets.Enum(MAPS, "cross").tag(sync=True)
    layer = traitlets.Int(0, min=0).tag(sync=True)  # beyond a map's last layer: the last
    head = traitlets.Int(0, min=0).tag(sync=True)
    heads = traitlets.Enum(("head", "mean", "max", "rollout"), "head").tag(sync=True)
    token = traitlets.Int(-1).tag(sync=True)  # the word piece that is chosen; -1: none
    patch = traitlets.Int(-1).tag(sync=True)
    pooled = traitlets.Bool(False).tag(sync=True)  # the token of the whole picture is chosen, no patch
    a = traitlets.Unicode().tag(sync=True)  # a label
    b = traitlets.Unicode().tag(sync=True)
    shown = traitlets.Enum(("A", "B", "A−B"), "A").tag(sync=True)
    sort = traitlets.Enum(("layer", "entropy", "mass"), "layer").tag(sync=True)
    sent = traitlets.Dict().tag(sync=True)  # a trace that the browser asked for: label, trace

    def __init__(self, traces: Trace | Mapping[Any, Trace], **traits: Any):
        """TraitError for an `a` or `b` that is no label. Without traces, and where weights are not finite, the view
        says so."""
        given = {"trace": traces} if isinstance(traces, Trace) else traces
        self._traces = {str(label): one for label, one in given.items()}
        self._packed: dict[str, dict[str, Any]] = {}
        labels = list(self._traces)
        chosen = {"a": labels[0], "b": labels[-1]} | traits if labels else traits
        if labels and "cross" not in (maps := self._traces[labels[0]].maps):
            chosen = {"map": next(iter(maps), "cross")} | chosen
        bad = [label for label, one in self._traces.items() if not finite(one)]
        message = f"Weights that are not finite, shown as 0: {', '.join(bad)}" if bad else ""
        if not labels:
            message = "No trace: TraceExplorer(trace(model, tokenizer, image, text))"
        super().__init__(payload={"labels": labels, "traces": {}}, message=message, **chosen)
        self.payload = {"labels": labels, "traces": self._fitting([self.a])}
        self.on_msg(self._asked)

    def _fitting(self, always: list[str]) -> dict[str, Any]:
        """Packed, by label: these, and then, A and B first, as many as fit."""
        fitting: dict[str, Any] = {}
        for label in filter(None, dict.fromkeys([*always, self.a, self.b, *self._traces])):
            if label not in always and size(fitting | {label: self._pack(label)}) > LIMIT:
                break
            fitting[label] = self._pack(label)
        return fitting

    @traitlets.validate("a", "b")
    def _known(self, proposal: Any) -> str:
        if (label := proposal["value"]) not in self._traces:
            raise traitlets.TraitError(f"{label!r} is not among the traces: {', '.join(self._traces)}")
        return label

    def _pack(self, label: str) -> dict[str, Any]:
        if label not in self._packed:
            self._packed[label] = packed(self._traces[label])
        return self._packed[label]

    def _asked(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and content.get("need") in self._traces:
            self.sent = {"label": content["need"], "trace": self._pack(content["need"])}

    def weights(self) -> Tensor:
        """(queries, keys) of the layer and heads that are shown, or their difference. ConfigError where A and B differ
        in size, where the map is missing, and for a rollout that needs a missing map."""
        require(bool(self._traces), "traces", "none", "at least one")
        if self.shown != "A−B":
            return self._of(self.a if self.shown == "A" else self.b)
        a, b = self._of(self.a), self._of(self.b)
        if a.shape != b.shape:
            raise ConfigError(f"A has {tuple(a.shape)} weights and B {tuple(b.shape)}: no difference")
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
        """What is shown: first of the keys, then, if one is chosen, of the queries."""
        weights, axes = self.weights(), self._axes()
        queries, keys = axes.maps[self.map].queries, axes.maps[self.map].keys
        names = {"words": [f"“{piece}”" for piece in axes.words.pieces], "patches": patch_names(axes)}
        at = {"words": self.token, "patches": 0 if self.pooled else self.patch + 1 if self.patch >= 0 else -1}
        query, key = at[queries], at[keys]
        chosen = 0 <= query < len(weights)
        title = f"{names[queries][query]} looks at" if chosen else f"what {queries} look at, mean"
        sides = [AttentionSide(title, keys, weights[query] if chosen else weights.mean(0))]
        if 0 <= key < weights.shape[1]:
            sides.append(AttentionSide(f"looks at {names[keys][key]}", queries, weights[:, key]))
        return sides

    def data(self) -> pd.DataFrame:
        """A row a token of each side that is shown: which side, the token, its weight (A−B: the difference)."""
        import pandas as pd

        rows = []
        for side in self.sides() if self._traces else []:
            names = patch_names(self._axes()) if side.kind == "patches" else self._axes().words.pieces
            rows += [(side.title, name, value) for name, value in zip(names, side.weights.tolist(), strict=True)]
        return pd.DataFrame(rows, columns=["side", "token", "weight"])

    def measures(self) -> pd.DataFrame:
        """What the grid sorts by, a row a head of the map and a trace: entropy (nats, mean over queries) and mass."""
        import pandas as pd

        rows = []
        for label, one in self._traces.items():
            if self.map in one.maps:
                entropy, mass, _ = measured(one, self.map)
                rows += [(label, i, j, entropy[i, j].item(), mass[i, j].item()) for i, j in np.ndindex(*mass.shape)]
        return pd.DataFrame(rows, columns=["trace", "layer", "head", "entropy", "mass"])

    def figure(self) -> Figure:
        try:
            sides = self.sides()
        except ConfigError as error:
            figure = Figure(figsize=(8, 0.4))
            figure.text(0.01, 0.4, self.message or str(error))
            return figure
        which = {"head": f"head {self.head}", "rollout": "rollout"}.get(self.heads, f"{self.heads} of the heads")
        label = {"A": self.a, "B": self.b, "A−B": f"{self.a} − {self.b}"}[self.shown]
        title = f"{label if len(self._traces) > 1 else 'Attention'}, {self.map}, layer {self.layer}, {which}"
        return figures.plot_attention(sides, self._axes(), self.shown == "A−B", title, self.credit)

    def to_html(self, path: str | Path) -> Path:
        """See `View.to_html`. Of traces beyond 8 MB, A and B and what fits are in the file, which says so."""
        if not {self.a, self.b} - {""} <= set(cast(dict[str, Any], self.payload)["traces"]):
            self.payload = {"labels": list(self._traces), "traces": self._fitting([self.a, self.b])}
        self.sent = {}
        return super().to_html(path)
