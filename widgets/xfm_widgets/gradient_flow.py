"""The paper's Figure 1, alive: where each loss's measured gradient goes, and what the stop-gradient keeps back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import traitlets

from xfm.config import ConfigError, FlowConfig, MimTarget
from xfm.plots import Figure

from . import figures
from .base import View

if TYPE_CHECKING:
    import pandas as pd

Records = Sequence[Mapping[str, Any]]
ENCODERS = ("language", "vision", "fusion")
CROSSING = ("itm", "imlm", "bbp")
OBJECTIVES = ("mlm", "mim", "itc", *CROSSING)
TARGETS = ("self", "frozen", "pixels", "teacher")


class GradientFlow(View):
    """Encoders, losses, and arrows as thick as the gradient that was measured along them.

    GradientFlow(run.probes())                                  # a run with train.probe_every
    GradientFlow({"self": run.probes(), "pixels": other.probes()})   # measured with several MIM targets

    A crossing out of the language encoder is linear in its share, so the switch shows exactly what another share would
    let through at these weights; a whole run under it would have come to other weights.
    """

    objectives = traitlets.List(traitlets.Unicode()).tag(sync=True)  # the losses that are shown
    share = traitlets.Float(0.0, min=0, max=1).tag(sync=True)  # of ITM's, IMLM's and BBP's gradient into the language
    itc_share = traitlets.Float(1.0, min=0, max=1).tag(sync=True)
    mim_target = traitlets.Enum(TARGETS, "self").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)  # which record

    def __init__(self, probes: Records | Mapping[str, Records], flow: FlowConfig | None = None, **traits: Any):
        """ConfigError for targets that do not exist. `flow`: what the records were measured under (default: the paper).
        Without records the view says so."""
        flow = flow or FlowConfig()
        by_target = probes if isinstance(probes, Mapping) else {flow.mim_target: probes}
        if unknown := set(by_target) - set(TARGETS):
            raise ConfigError(f"probes of mim_target {sorted(unknown)}: there are {', '.join(TARGETS)}")
        self._records = {
            name: [whole(record, flow.text_gradient) for record in some] for name, some in by_target.items() if some
        }
        first = next(iter(self._records), flow.mim_target)
        measured = [o for o in OBJECTIVES if any(o in r["norm"] for some in self._records.values() for r in some)]
        empty = "" if measured else "No record: train with train.probe_every, as --train.probe_every 50 does."
        shares = {"share": flow.text_gradient[CROSSING[0]], "itc_share": flow.text_gradient["itc"]}
        payload = {"records": self._records, "objectives": measured}
        super().__init__(
            payload=payload, message=empty, **{"objectives": measured, "mim_target": first} | shares | traits
        )

    def flowing(self) -> dict[str, dict[str, float | None]]:
        """Of the step that is shown, [objective][encoder], with the shares as set. None: no path, or not measured."""
        some = self._records.get(self.mim_target) or next(iter(self._records.values()), [])
        if not some:
            return {}
        norms = some[min(self.step, len(some) - 1)]["norm"]
        found = {}
        for objective in (o for o in self.objectives if o in norms):
            own = dict(norms[objective])
            share = self.share if objective in CROSSING else self.itc_share if objective == "itc" else 1.0
            own["language"] = None if share == 0 or own["language"] is None else share * own["language"]
            if objective == "mim" and self.mim_target not in self._records:
                own["vision"] = None
            found[objective] = own
        return found

    def data(self) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for target, records in self._records.items():
            for record in records:
                for objective, own in record["norm"].items():
                    rows += [
                        {
                            "mim_target": target,
                            "step": record["step"],
                            "objective": objective,
                            "encoder": e,
                            "gradient norm, whole": own[e],
                        }
                        for e in ENCODERS
                    ]
        return pd.DataFrame(rows, columns=["mim_target", "step", "objective", "encoder", "gradient norm, whole"])

    def figure(self) -> Figure:
        shares = {"itc": self.itc_share, **dict.fromkeys(CROSSING, self.share)}
        names = {"teacher": "-", "teacher_weights": "-"} if self.mim_target == "teacher" else {}
        flow = FlowConfig(shares, cast(MimTarget, self.mim_target), **names)
        return figures.flow_diagram(flow, "Measured gradient norms" if self._records else "", self.flowing())


def whole(record: Mapping[str, Any], shares: Mapping[str, float]) -> dict[str, Any]:
    """A probe's record by encoder, as if nothing were stopped: what flows, and what was held back."""
    found = {}
    for objective, norms in record["norm"].items():
        own = {e: together([n for module, n in norms.items() if module.startswith(e)]) for e in ENCODERS}
        share = shares.get(objective, 1.0)
        if share < 1 and (held := (record.get("held_back") or {}).get(objective)) is not None:
            own["language"] = held / (1 - share)
        found[objective] = own
    return {"step": record["step"], "norm": found}


def together(norms: Sequence[float | None]) -> float | None:
    """The norm over several modules; None where none has a path, or where it is not finite."""
    own = [n for n in norms if n is not None]
    total = math.hypot(*own) if own else None
    return total if total is None or math.isfinite(total) else None
