"""A study in sentences, all of them computed from its spec and its table of effects."""

from __future__ import annotations

import math
from typing import Any

from ..config import ConfigError
from ..report.run_sentences import listed
from .analyses import Analyses
from .conclusions import Answers
from .contrasts import combinations
from .formatting import interval, number, p_value
from .results_csv import StudyError
from .spec import Spec
from .statistics import ALPHA, FEWEST
from .study_metrics import FLOOR, SHUT

__all__ = ["abstract", "answered", "baselines", "conclusions", "design", "effect", "front", "interactions", "mended",
           "no_pairs", "provisional", "ranks"]  # fmt: skip

_MOST = 9  # effects of an abstract


def design(spec: Spec) -> list[str]:
    """What was asked, and how."""
    seeds = sorted(spec.seeds)
    consecutive = len(seeds) > 2 and seeds == [*range(seeds[0], seeds[-1] + 1)]
    which = f"{seeds[0]} to {seeds[-1]}" if consecutive else listed([str(seed) for seed in seeds])
    paired = (
        "compared seed by seed: runs of one seed share data, masks, random draws, initial weights and warm start, and "
        "differ only by what the variant changes."
    )
    apart = (
        f"asked how much they vary: in {spec.reference} every source of randomness follows the seed; in each other "
        "variant those alone that it does not fix, and the others are the same in all its runs."
    )
    sentences = [
        f"{len(spec.variants)} variants of the recipe {spec.recipe} are trained at {len(seeds)} seeds ({which}) and "
        f"{apart if spec.of_spread else paired}"
    ]
    if spec.primary:
        sentences.append(f"Primary metrics, named beforehand: {listed(spec.primary)}; all others are secondary.")
    if spec.primary and spec.gatekeeping:
        sentences.append(
            "They are tested in this order: a variant’s next metric is open where it was shown to differ on the one "
            "before (gatekeeping; Bretz et al., 2009)."
        )
    if spec.split == "validation":
        sentences.append("All is measured on the validation split: the test split is left to what confirms.")
    if spec.confirmatory and not spec.confirms:
        after = "gatekeeping" if spec.gatekeeping else "Holm’s correction"
        sentences.append(
            f"The spec says confirmatory, but {spec.tests} tests on {len(seeds)} seeds cannot reach p = {ALPHA} after "
            f"{after} whatever comes out, so all of it is exploratory: intervals are uncorrected."
        )
    if spec.explored:
        unused = ", whose seeds are not used here" if spec.confirmatory else ""  # nothing else looks
        sentences.append(f"The regime was chosen in {listed(spec.explored)}{unused}.")
    return sentences


def no_pairs(spec: Spec, runs: int) -> str:
    """Why there is no effect yet; `runs`: how many have results."""
    alone = "the study has one variant alone, and nothing to compare it with"
    why = alone if len(spec.variants) == 1 else "at no seed have a variant and what it is compared with both results"
    return f"No pairs yet: {why}; {runs} of {len(spec.variants) * len(spec.seeds)} runs have results."


def baselines(table: Any) -> list[str]:
    """Where the variants are relative to the baseline, of each primary metric, or of each metric where none is."""
    primary = table[table["role"] == "primary"]
    shown = (primary if len(primary) else table[table["better"] != ""]).dropna(subset=["baseline", "mean"])
    shown = shown.assign(mean_against=shown["mean_against"].fillna(shown["mean"]))  # where there are no pairs yet
    sentences = []
    for metric, rows in shown.groupby("metric", sort=False):
        row = rows.iloc[0]
        values = [*rows["mean"], *rows["mean_against"]]
        low, high, level = (number(v, row.unit) for v in (min(values), max(values), row.baseline))
        means = f"means are {low} to {high}" if low != high else f"mean is {low}"
        level = f"the baseline ({row.baseline_name}) is {level} {row.unit}"
        start = f"{number(row.step_0, row.unit)} {row.unit}"
        before = f"; before this training it is {start}" if row.step_0 == row.step_0 else ""
        sentences.append(f"{metric}: the variants’ {means} {row.unit}; {level}{before}.")
    return sentences


def conclusions(table: Any) -> list[str]:
    """The baselines; a sentence for each primary effect, or, where no metric is primary, for each effect that stands
    out, in the order of the table; and how many of the others do."""
    primary = table[table["role"] == "primary"]
    shown = primary if len(primary) else table[_stands_out(table) & (table["better"] != "")]
    effects = dict.fromkeys(map(effect, shown.itertuples()))  # of a metric at the floor there is one
    sentences = [*(baselines(table) if len(primary) else []), *effects]
    others = table[(table["role"] == "secondary") & table["low"].notna() & (table["better"] != "")]
    if len(others):
        beyond = int(((others["low"] > 0) | (others["high"] < 0)).sum())
        sentences.append(
            f"Of {len(others)} {'secondary ' if len(primary) else ''}effects with an interval, "
            f"{beyond} have one without zero, uncorrected; by chance alone about "
            f"{0.05 * len(others):.0f} would."
        )
    return sentences


def abstract(table: Any, runs: int) -> list[str]:
    """What stands out, of the primary metrics where there are any."""
    primary = table[table["role"] == "primary"]
    judged = primary if len(primary) else table[table["better"] != ""]
    shown = judged[_stands_out(judged)]
    effects = f"effect{'s' * (len(judged) != 1)}"
    kind = f"primary {effects}" if len(primary) else f"{effects}, all exploratory,"
    by = {"Holm": "Holm’s correction", "gatekeeping": "gatekeeping"}
    corrected = next((by[name] for name in judged["judged_by"] if name in by), "")
    test = f"p ≤ {ALPHA} after {corrected}" if corrected else "an uncorrected interval without zero"
    few = len(shown) if len(shown) <= _MOST else 0
    end = " (with 95 % intervals):" if few else "."
    have = "has" if 1 in (len(shown), len(judged)) else "have"
    passed = judged["p_holm"] <= ALPHA if corrected else (judged["low"] > 0) | (judged["high"] < 0)
    floor = int((passed & (judged["verdict"] == FLOOR)).sum())
    more = f"{floor} more of metrics whose baseline no variant leaves behind: none is claimed of these."
    found = f"{runs} runs. {len(shown)} of {len(judged)} {kind} {have} {test}{end}"
    return [found, *_brief(shown[:few]), *([more] if floor else [])]


def provisional(spec: Spec, runs: int, to_do: int) -> list[str]:
    """Of a study that confirms and is not whole; none of others."""
    if not (spec.confirms and to_do):
        return []
    return [
        f"Incomplete: {runs} of {len(spec.variants) * len(spec.seeds)} runs. A study that confirms is read when it is "
        "whole. Until then its verdicts are provisional: whoever looks at each run that comes in finds, sooner or "
        "later, effects that are none more often than one time in twenty."
    ]


def _brief(effects: Any) -> list[str]:
    """A sentence a metric: "naming, accuracy: no_stop worse than xfm by 2.10 points (−3.00 to −1.20)." """
    said: dict[str, list[str]] = {}
    for row in effects.itertuples():
        unit = "points" if row.unit == "%" else row.unit
        beside = f"{row.variant} {row.verdict} {'from' if row.verdict == 'different' else 'than'} {row.against}"
        amount = f"{number(abs(row.effect), row.unit)} {unit} ({interval(row)})"
        said.setdefault(row.metric, []).append(f"{beside} by {amount}")
    return [f"{metric}: {listed(words)}." for metric, words in said.items()]


def answered(spec: Spec, answers: Answers | None, to_do: int, results: str) -> str:
    """What is to be said of the answers to the question and the hypotheses; `results`: the digest of today's."""
    if answers:
        changed = "The results have changed since this was written: read them, and write it anew (study.answer)."
        return changed if answers.results != results else ""
    if not (spec.confirms and spec.hypotheses):
        return ""
    if to_do:
        return f"Nothing yet: a study that confirms is read when it is whole (runs to do: {to_do})."
    return "Nobody has written it down yet: study.answer(...) takes an answer to each hypothesis."


def effect(row: Any) -> str:
    """ "no_stop_gradient against xfm, language, loss (nats): worse by 0.0210 nats (95 % interval ...)" """
    head = f"{row.variant} against {row.against}, {row.metric}: "
    if row.verdict == FLOOR:
        level = f"{number(row.baseline, row.unit)} {row.unit}"
        return (
            f"{row.metric}: {FLOOR}: no interval leaves the baseline ({row.baseline_name}, {level}) behind, and no "
            "effect is claimed."
        )
    if row.n < FEWEST:
        return head + f"{number(row.effect, row.unit, '+') or 'nothing'} from {row.n} pairs, too few for an interval."
    unit = "percentage points" if row.unit == "%" else row.unit
    if row.verdict == SHUT:
        found = f"{number(row.effect, row.unit, '+')} ({unit}, 95 % interval {interval(row)}; n = {row.n})"
        return f"{head}{SHUT}, for the metric before it was not shown to differ; {found}{_equivalence(row)}."
    p = f"p = {p_value(row.p)}".replace("= <", "<")
    name = "gates" if row.correction == "gatekeeping" else "Holm"
    correction = f", {name} {p_value(row.p_holm)}" if row.p_holm == row.p_holm else ""
    correction += ", verdict uncorrected" if row.judged_by == "interval" else ""
    details = f"({unit}, 95 % interval {interval(row)}; {p}{correction}; n = {row.n})"
    if row.verdict == "no difference shown":
        found = f"{row.verdict}, {number(row.effect, row.unit, '+')} {details}"
        least = number(row.detectable, row.unit) if math.isfinite(row.detectable) else "no effect, however large,"
        power = f"{least} would be found in 80 % of such studies"
        return f"{head}{found}; {power}{_equivalence(row)}."
    return f"{head}{row.verdict} by {number(abs(row.effect), row.unit)} {details}{_equivalence(row)}."


def _equivalence(row: Any) -> str:
    if not row.equivalent:
        return ""
    margin, p = f"±{number(row.margin, row.unit)}", f"p = {p_value(row.p_equivalent)}".replace("= <", "<")
    return f"; {'equivalent' if row.equivalent == 'yes' else 'not shown to be equivalent'} within {margin} (TOST, {p})"


def interactions(study: Analyses) -> list[str]:
    """Of two variants and the one that changes what both change, on the primary metrics."""
    sentences = []
    for first, second, both in combinations(study.spec) if study.spec.primary else []:
        for metric, row in study.interaction(first, second, both, study.spec.primary).iterrows():
            if row.n >= FEWEST and row.verdict != FLOOR:
                ends = f"{number(row.effect, row.unit, '+')}, 95 % interval {interval(row)}, n = {row.n}, uncorrected"
                sentences.append(f"{both}, {metric}: beyond the sum of {first} and {second} by {ends}.")
    return sentences


def mended(study: Analyses) -> list[str]:
    """Of each variant that changes more than another one does, as a mend of what that one breaks: how much of the way
    back to the reference it goes, on the primary metrics, and its difference to that one."""
    changes = {variant: {*map(repr, of.items())} for variant, of in study.spec.variants.items()}
    reference, sentences = study.spec.compared_with[0], []
    sums = {both for *_, both in combinations(study.spec)}
    for base, own in changes.items():
        mends = [v for v, more in changes.items() if own < more and v not in sums]
        for metric in study.spec.primary if mends and own and not changes[reference] else ():
            table = study.recovered(base, reference, metric).set_index("variant")
            measured = [v for v in mends if v in table.index and table.loc[v, "n"] >= FEWEST]
            way = study.contrast({base: 1, reference: -1}, metric).loc[metric] if measured else None
            if way is not None and not (way.low > 0 or way.high < 0):
                sentences.append(f"{metric}: {base} is not shown to differ from {reference}: there is no way to mend.")
                continue
            for variant in measured:
                row, to_base = table.loc[variant], study.contrast({variant: 1, base: -1}, metric).loc[metric]
                if not math.isfinite(row.low):  # of fewer seeds than the way itself
                    over = f"over its {int(row.n)} seeds {base} is not shown to differ from {reference}"
                    sentences.append(f"{variant}, {metric}: {over}, nor which share of the way it goes.")
                    continue
                share, low, high = (f"{100 * x:.0f}".replace("-", "−") for x in (row.share, row.low, row.high))
                away = number(to_base.effect, to_base.unit, "+")
                sentences.append(
                    f"{variant}, {metric}: {share} % of the way from {base} to {reference} (95 % interval, Fieller’s: "
                    f"{low} to {high} %); {away} from {base} ({interval(to_base)}); n = {int(row.n)}, uncorrected."
                )
    return sentences


def front(study: Analyses) -> list[str]:
    """Whether the reference is on the Pareto front of two or three primary metrics, and what is better on all."""
    reference, metrics = study.spec.compared_with[0], study.spec.primary
    if len(metrics) not in (2, 3):
        return []
    try:
        row = study.pareto().set_index("variant").loc[[reference]].iloc[0]
    except (StudyError, ConfigError):  # at no seed are all there yet; or of one of them no direction is better
        return []
    if row.n < FEWEST:
        return []
    all_of_them = "better on all of them"
    better = f"{all_of_them}: {row.dominated_by}" if row.dominated_by else f"no variant is {all_of_them}"
    where = "on" if row.front else "not on"
    return [
        f"{reference} is {where} the Pareto front of the primary metrics by the means over {row.n} seeds, and on it in "
        f"{100 * row.probability:.0f} % of studies with resampled seeds; by its intervals, which alone show that "
        f"something does it better, {better} (uncorrected)."
    ]


def ranks(table: Any) -> list[str]:
    """Of each family with three variants or more, and two metrics: the mean rank of each variant."""
    sentences = []
    for family, rows in table.groupby("family", sort=False):
        if len(rows) >= 3 and rows["metrics"].iloc[0] > 1 and rows["n"].iloc[0] >= FEWEST:
            named = [f"{r.variant} {r.rank:.2f} ({r.low:.2f} to {r.high:.2f})" for r in rows.itertuples()]
            of = f"over {rows['metrics'].iloc[0]} metrics of {family} and {rows['n'].iloc[0]} seeds"
            sentences.append(f"Mean ranks {of}, 1 is the best, 95 % intervals: {listed(named)}.")
    return sentences


def _stands_out(table: Any) -> Any:
    return table["verdict"].isin(["better", "worse", "different"])
