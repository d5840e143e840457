"""The paper's Figure 1, alive: where each loss's measured gradient goes, and what the stop-gradient keeps back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, get_args

from xfm.config import ConfigError, FlowConfig, MimTarget
from xfm.objectives import OBJECTIVES
from xfm.plots import Figure

from . import figures
from .choices import Flag, Names, Option, Place, Share
from .json_values import finite, table
from .view import View

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[Mapping[str, Any]]
ENCODERS: tuple[str, ...] = ("language", "vision", "fusion")
TARGETS = get_args(MimTarget)
REACHED: dict[str, list[str]] = {  # by a loss of a kind, where nothing is stopped
    "text": ["language"], "image": ["vision"], "contrast": ["language", "vision"], "fusion": [*ENCODERS]}  # fmt: skip


def described(name: str, title: str, kind: str) -> dict[str, Any]:
    """A loss for the picture, in which its kind says where it stands."""
    return {"name": name, "title": title, "kind": kind, "encoders": REACHED[kind]}


class GradientFlow(View):
    """Encoders, losses, and arrows as thick as the gradient that was measured along them.

    GradientFlow(run.probes())                                  # a run with train.probe_every
    GradientFlow({"self": run.probes(), "pixels": other.probes()})   # measured with several MIM targets

    A crossing out of the language encoder is linear in its share, so the switch shows exactly what another share would
    let through at these weights; a whole run under it would have come to other weights.
    """

    objectives = Names(of=lambda view: view._losses)  # the losses that are shown
    share = Share(0.0)  # of fusion losses' gradient into the language encoder
    itc_share = Share(1.0)  # of contrasts'
    mim_target = Option(TARGETS, "self")
    step = Place(0)  # which record
    cosines = Flag(False)  # shows those between the losses' gradients

    def __init__(self, probes: Records | Mapping[str, Records], **traits: Any) -> None:
        """Shows the training probe's records; without records `message` says how to have them.

        Args:
            probes: records of one run, or by the target of MIM.

        Raises:
            ConfigError: for targets that do not exist.
        """
        by_target = probes if isinstance(probes, Mapping) else {"self": probes}
        if unknown := set(by_target) - set(TARGETS):
            raise ConfigError(f"probes of mim_target {sorted(unknown)}: there are {', '.join(TARGETS)}")
        self._records = {name: [whole(record) for record in some] for name, some in by_target.items() if some}
        first = next(iter(self._records), "self")
        self._losses = measured([record for some in self._records.values() for record in some])
        empty = "" if self._losses else "No record: train with train.probe_every, as --train.probe_every 50 does."
        if not self._losses:  # the paths are known, what flows along them is not
            self._losses = {n: described(n, loss.title, loss.kind()) for n, loss in OBJECTIVES.items()}
        payload = {"records": self._records, "objectives": list(self._losses.values())}
        super().__init__(payload, empty, **{"objectives": list(self._losses), "mim_target": first} | traits)

    def _share(self, objective: str) -> float:
        """Of its gradient into the language encoder, what flows."""
        kind = self._losses[objective]["kind"]
        return self.share if kind == "fusion" else self.itc_share if kind == "contrast" else 1.0

    def _record(self) -> dict[str, Any]:
        """Of the step that is shown; without norms where there is none."""
        records = self._records.get(self.mim_target) or next(iter(self._records.values()), [{"norm": {}}])
        return records[min(self.step, len(records) - 1)]

    def flowing(self) -> dict[str, dict[str, float | None]]:
        """Of the step that is shown, [objective][encoder], with the shares as set. None: no path, or not measured."""
        norms = self._record()["norm"]
        found = {}
        for objective in (o for o in self.objectives if o in norms):
            own: dict[str, float | None] = {encoder: norms[objective][encoder] for encoder in ENCODERS}
            share, whole_norm = self._share(objective), norms[objective]["language"]
            own["language"] = None if share == 0 or whole_norm is None else share * whole_norm
            if objective == "mim" and self.mim_target not in self._records:
                own["vision"] = None
            found[objective] = own
        return found

    def data(self) -> pd.DataFrame:
        rows = [(target, record["step"], objective, encoder, norms[encoder])
                for target, records in self._records.items() for record in records
                for objective, norms in record["norm"].items() for encoder in ENCODERS]  # fmt: skip
        return table(rows, ["mim_target", "step", "objective", "encoder", "gradient norm, whole"])

    def figure(self) -> Figure:
        scales = {n: self._share(n) for n, loss in self._losses.items() if loss["kind"] in ("fusion", "contrast")}
        teacher = "-" if self.mim_target == "teacher" else ""
        flow = FlowConfig({**FlowConfig().text_gradient, **scales}, cast(MimTarget, self.mim_target), teacher, teacher)
        record = self._record()
        if not record["norm"]:
            return figures.flow_diagram(flow)
        held = {n: (1 - self._share(n)) * (record["norm"][n]["language"] or 0.0) for n in scales if n in record["norm"]}
        return figures.flow_diagram(flow, f"Measured gradient norms, step {record['step']}", self.flowing(), held)


def measured(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The losses in the records: the declared ones in their order, then those that only the records know, of the kind
    that their gradients show."""
    reached: dict[str, set[str]] = {}
    for record in records:
        for name, norms in record["norm"].items():
            reached.setdefault(name, set()).update(e for e in ENCODERS if norms[e] is not None)
    known = {n: described(n, loss.title, loss.kind()) for n, loss in OBJECTIVES.items() if n in reached}
    return known | {n: described(n, n, kind(encoders)) for n, encoders in reached.items() if n not in known}


def kind(reached: set[str]) -> str:
    """Of a loss that is not declared: by the encoders that its gradient reaches."""
    if "fusion" in reached:
        return "fusion"
    return "contrast" if len(reached) > 1 else "image" if "vision" in reached else "text"


def whole(record: Mapping[str, Any]) -> dict[str, Any]:
    """A probe's record by encoder, as if nothing were stopped: what flows, and what was held back of it."""
    norm: dict[str, dict[str, float | None]] = {}
    for objective, norms in record["norm"].items():
        own = {encoder: encoder_norm(norms, encoder) for encoder in ENCODERS}
        if held := (record.get("held_back") or {}).get(objective):
            own["language"] = finite((own["language"] or 0.0) + held)
        norm[objective] = own
    cosine = {e: {p: finite(c) for p, c in pairs.items()} for e, pairs in (record.get("cosine") or {}).items() if pairs}
    return {"step": record["step"], "norm": norm, "cosine": cosine}


def encoder_norm(norms: Mapping[str, float | None], encoder: str) -> float | None:
    """The norm over an encoder's modules; None where none has a path, or where it is not finite."""
    own = [norm for module, norm in norms.items() if module.startswith(encoder) and norm is not None]
    return finite(math.hypot(*own)) if own else None
