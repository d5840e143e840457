"""A study in sentences, all of them computed from its spec and its table of effects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..report.describe import listed
from .formatting import between, number, p_value
from .spec import Spec
from .statistics import FEWEST

MOST = 9  # sentences of an abstract


def design(spec: Spec) -> list[str]:
    """What was asked, and how."""
    said = [
        f"{len(spec.variants)} variants of {spec.recipe} are trained at {len(spec.seeds)} seeds ({seeds(spec)}) and "
        "compared seed by seed: runs of one seed share data, masks, random draws, initial weights and warm start, so "
        "that they differ by what the variant changes alone."
    ]
    if spec.primary:
        said.append(f"Primary metrics, named beforehand: {listed(spec.primary)}; all others are secondary.")
    if spec.explored:
        said.append(f"The regime was found by {listed(spec.explored)}, whose seeds are not used here.")
    return said


def seeds(spec: Spec) -> str:
    some = sorted(spec.seeds)
    row = len(some) > 2 and some == [*range(some[0], some[-1] + 1)]
    return f"{some[0]} to {some[-1]}" if row else listed([str(seed) for seed in some])


def conclusions(table: Any) -> list[str]:
    """A sentence for each primary effect, or, where no metric is primary, for each effect that stands out, in the order
    of the table; and how many of the others do."""
    primary = table[table["role"] == "primary"]
    found = primary if len(primary) else table[beyond(table) & (table["better"] != "")]
    said = [effect(row) for row in rows(found)]
    others = table[(table["role"] == "secondary") & table["low"].notna() & (table["better"] != "")]
    if len(others):
        out = int(beyond(others).sum())
        said.append(
            f"Of {len(others)} {'secondary ' if len(primary) else ''}effects with an interval, {out} have one "
            f"without zero; by chance alone about {0.05 * len(others):.0f} would."
        )
    return said


def abstract(table: Any, runs: int) -> list[str]:
    """What stands out, of the primary metrics where there are any."""
    primary = table[table["role"] == "primary"]
    asked = primary if len(primary) else table[table["better"] != ""]
    found = asked[beyond(asked)]
    kind = "primary effects" if len(primary) else "effects, all exploratory,"
    head = f"{runs} trainings of X-FM. Of {len(asked)} {kind} {len(found)} have an interval without zero"
    return [f"{head}{':' if 0 < len(found) <= MOST else '.'}", *map(effect, rows(found) if len(found) <= MOST else [])]


def effect(row: Any) -> str:
    """ "no_stop_gradient against xfm, language, loss (nats): worse by 0.0210 nats (95 % interval ...)" """
    head = f"{row.variant} against {row.against}, {row.metric}: "
    if row.n < FEWEST:
        return head + f"{number(row.effect, row.unit, '+') or 'nothing'} from {row.n} pairs, too few for an interval."
    unit = "percentage points" if row.unit == "%" else row.unit
    size = number(abs(row.effect), row.unit)
    p = f"p = {p_value(row.p)}".replace("= <", "<")
    holm = "" if row.p_holm != row.p_holm else f", Holm {p_value(row.p_holm)}"
    inside = f"({unit}, 95 % interval {between(row)}; {p}{holm}; n = {row.n})"
    if row.low <= 0 <= row.high:
        return head + f"no difference shown, {number(row.effect, row.unit, '+')} {inside}."
    way = {"more": row.effect > 0, "less": row.effect < 0}.get(row.better)
    return head + ("different" if way is None else "better" if way else "worse") + f" by {size} {inside}."


def beyond(table: Any) -> Any:
    """(rows,) whose interval leaves zero out."""
    return (table["low"] > 0) | (table["high"] < 0)


def rows(table: Any) -> list[SimpleNamespace]:
    return [SimpleNamespace(**row) for row in table.to_dict("records")]
