"""What a study asked, showed and left open, in sentences that are computed from its spec and tables.

Finding first, one number with its interval, caveats after it. `run_sentences` has those of a run.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ..base.numbers import amount, count, difference_unit, interval, listed, number, p_value, percent
from ..config import ConfigError
from ..study import StudyError
from ..study.comparisons import pareto
from ..study.conclusions import Answers
from ..study.contrasts import combinations, contrast, recovered
from ..study.measurements import Measurements
from ..study.spec import Spec
from ..study.statistics import ALPHA, FEWEST
from ..study.study_metrics import FLOOR, SHUT

_MOST = 9  # effects of an abstract


def design(spec: Spec) -> list[str]:
    """What a study asked, and how."""
    seeds = sorted(spec.seeds)
    consecutive = len(seeds) > 2 and seeds == [*range(seeds[0], seeds[-1] + 1)]
    which = f"{seeds[0]} to {seeds[-1]}" if consecutive else listed([str(seed) for seed in seeds])
    arms = count(len(spec.variants), "variant")
    trained = f"{arms} of the recipe {spec.recipe}, {count(len(seeds), 'seed')} ({which})"
    after = "gatekeeping" if spec.gatekeeping else "Holm’s correction"
    sentences = [f"{trained}, compared seed by seed.", "Runs of one seed share data, masks, random draws, initial "
                 "weights and warm start, and differ only in what the variant changes."]  # fmt: skip
    if spec.of_spread:
        sentences = [f"{trained}: how much do runs vary?", f"In {spec.reference} every source of randomness follows "
                     "the seed; each other variant fixes some of them in all its runs."]  # fmt: skip
    if spec.primary:
        sentences.append(f"Primary metrics, named before the runs: {listed(spec.primary)}; all others are secondary.")
    if spec.primary and spec.gatekeeping:
        sentences.append("They are tested in this order: a variant’s next metric is tested only where it differs on "
                         "the one before (gatekeeping; Bretz et al., 2009).")  # fmt: skip
    if spec.split == "validation":
        sentences.append(
            "All metrics are measured on the validation split: only a confirmatory study reads the test split."
        )
    if spec.confirmatory and not spec.confirms:
        sentences.append(f"The spec says confirmatory, but {spec.tests} tests on {count(len(seeds), 'seed')} cannot "
                         f"reach p = {ALPHA} after {after}. All results are exploratory.")  # fmt: skip
    if spec.explored:
        fresh = ", with other seeds" if spec.confirmatory else ""
        sentences.append(f"The regime was chosen in {listed(spec.explored)}{fresh}.")
    return sentences


def study_abstract(table: Any, runs: int) -> list[str]:
    """How many effects stand out, of the primary metrics where there are any, and the few largest verdicts."""
    primary = table[table["role"] == "primary"]
    judged = primary if len(primary) else table[table["better"] != ""]
    shown = judged[_stands_out(judged)]
    by = {"Holm": "after Holm’s correction", "gatekeeping": "after gatekeeping"}
    corrected = next((by[name] for name in judged["judged_by"] if name in by), "")
    test = f"p ≤ {ALPHA} {corrected}" if corrected else "an uncorrected interval without zero"
    kind = "primary effects" if len(primary) else "effects, all exploratory,"
    sentences = [f"{count(runs, 'run')}. {len(shown)} of {len(judged)} {kind} have {test}."]
    if len(shown) <= _MOST:
        sentences += [f"{_verdict(row)} {_size(row)}." for row in shown.itertuples()]
    passed = judged["p_holm"] <= ALPHA if corrected else (judged["low"] > 0) | (judged["high"] < 0)
    if floor := int((passed & (judged["verdict"] == FLOOR)).sum()):
        sentences.append(f"{floor} more are on metrics whose baseline no variant beats: none of them is claimed.")
    return sentences


def provisional(spec: Spec, data: Measurements) -> list[str]:
    """For a confirmatory study with runs to do; none for others."""
    if not (spec.confirms and data.to_do):
        return []
    return [
        f"Incomplete: {len(data.finished)} of {count(len(data.runs), 'run')}.",
        "Its verdicts are provisional: looking after each run finds effects that do not exist more often than one time "
        "in twenty.",
    ]


def baselines(table: Any) -> list[str]:
    """Where the variants stand against the baseline, for each primary metric, or each metric where none is primary."""
    primary = table[table["role"] == "primary"]
    shown = (primary if len(primary) else table[table["better"] != ""]).dropna(subset=["baseline", "mean"])
    sentences = []
    for metric, rows in shown.groupby("metric", sort=False):
        row, means = rows.iloc[0], [*rows["mean"], *rows["mean_against"].dropna()]
        ends = dict.fromkeys(number(mean, row.unit) for mean in (min(means), max(means)))
        start = f"; before this training {amount(row.step_0, row.unit)}" if row.step_0 == row.step_0 else ""
        level = f"the baseline ({row.baseline_name}) is {amount(row.baseline, row.unit)}"
        counted = ""
        if row.ngram == row.ngram:
            beaten = min(means) < row.ngram if row.better == "lower" else max(means) > row.ngram
            counted = f" An n-gram of the two visible neighbours reaches {amount(row.ngram, row.unit)}: "
            counted += f"{'a' if beaten else 'no'} variant beats it."
        sentences.append(f"{metric}: the variants’ means are {' to '.join(ends)} {row.unit}; {level}{start}.{counted}")
    return sentences


def not_admitted(admission: Any) -> list[str]:
    """Which checks of the rule of admission fail, and for which variants."""
    arms, groups = (admission["part"] == "learnt").sum(), dict[str, list[str]]()
    for row in admission[~admission["admitted"].astype(bool)].itertuples():
        on = {"baseline": f"Not admitted as primary, {row.metric}", "horizons": "Trained to one number of steps"}
        what = on.get(row.part, f"Not shown above the baseline on {row.metric}")
        groups.setdefault(what, []).append(row.variant)
    return [f"{what}: {'every arm' if len(own) == arms else listed(own)}." for what, own in groups.items()]


def conclusions(table: Any) -> list[str]:
    """The baselines; a sentence for each primary effect, or, where no metric is primary, for each effect that stands
    out, in the table's order; and how many of the others do."""
    primary = table[table["role"] == "primary"]
    shown = primary if len(primary) else table[_stands_out(table) & (table["better"] != "")]
    effects = dict.fromkeys(map(effect, shown.itertuples()))  # a metric at the floor has one
    sentences = [*(baselines(table) if len(primary) else []), *effects]
    others = table[(table["role"] == "secondary") & table["low"].notna() & (table["better"] != "")]
    if len(others):
        beyond = int(((others["low"] > 0) | (others["high"] < 0)).sum())
        kind = "secondary " if len(primary) else ""
        sentences.append(f"{beyond} of {len(others)} {kind}effects have an uncorrected interval without zero; about "
                         f"{ALPHA * len(others):.0f} would by chance.")  # fmt: skip
    return sentences


def effect(row: Any) -> str:
    """One row of effects: "no_stop_gradient is worse than xfm on language, loss (nats): +0.0210 nats (...)." """
    if row.verdict == FLOOR:
        level = f"{row.baseline_name}, {amount(row.baseline, row.unit)}"
        return f"{row.metric}: {FLOOR} ({level}), so no effect is claimed."
    pair = f"{row.variant} − {row.against} on {row.metric}: "
    if row.n < FEWEST:
        difference = number(row.effect, row.unit, sign=True) or "nothing"
        return f"{pair}{difference} from {count(row.n, 'pair')}, too few for an interval."
    if row.verdict == SHUT:
        return f"{pair}{SHUT}, as the metric before it was not shown to differ; {_size(row)}.{_equivalence(row)}"
    p = f"p {'' if row.p < 0.0001 else '= '}{p_value(row.p)}"
    name = "gates" if row.correction == "gatekeeping" else "Holm"
    tests = p + (f", {name} {p_value(row.p_holm)}" if row.p_holm == row.p_holm else "")
    tests += "; verdict uncorrected" if row.judged_by == "interval" else ""
    if row.verdict == "no difference shown":
        least = f"{number(row.detectable, row.unit)} {difference_unit(row.unit)}"
        least = least if math.isfinite(row.detectable) else "No effect, however large,"
        power = f"{least} would be detected in 80 % of such studies."
        return f"{pair}{row.verdict}, {_size(row)}; {tests}. {power}{_equivalence(row)}"
    return f"{_verdict(row)} {_size(row)}; {tests}.{_equivalence(row)}"


def _verdict(row: Any) -> str:
    verb = "differs from" if row.verdict == "different" else f"is {row.verdict} than"
    return f"{row.variant} {verb} {row.against} on {row.metric}:"


def _size(row: Any) -> str:
    """ "+0.0210 nats (95 % CI +0.0100 to +0.0320, 12 seeds)" """
    size = f"{number(row.effect, row.unit, sign=True)} {difference_unit(row.unit)}"
    return f"{size} (95 % CI {interval(row.low, row.high, row.unit, sign=True)}, {count(int(row.n), 'seed')})"


def _equivalence(row: Any) -> str:
    if not row.equivalent:
        return ""
    margin = f"±{number(row.margin, row.unit)} {difference_unit(row.unit)}"
    p = f"p {'' if row.p_equivalent < 0.0001 else '= '}{p_value(row.p_equivalent)}"
    return f" {'Equivalent' if row.equivalent == 'yes' else 'Not shown to be equivalent'} within {margin} (TOST, {p})."


def gaps_closed(data: Measurements) -> list[str]:
    """For each variant that changes more than another one, as a mend of what that one breaks: the fraction of the gap
    to the reference that it closes, on the primary metrics."""
    changes = {variant: {*map(repr, fields.items())} for variant, fields in data.spec.variants.items()}
    reference, sentences = data.spec.compared_with[0], []
    sums = {both for *_, both in combinations(data.spec)}
    for base, fields in changes.items():
        mends = [v for v, more in changes.items() if fields < more and v not in sums]
        for metric in data.spec.primary if mends and fields and not changes[reference] else ():
            table = recovered(data, base, reference, metric).set_index("variant")
            rows = [(v, table.loc[v]) for v in mends if v in table.index and table.loc[v, "n"] >= FEWEST]
            gap = contrast(data, {base: 1, reference: -1}, metric).loc[metric] if rows else None
            if gap is not None and not (gap.low > 0 or gap.high < 0):
                sentences.append(
                    f"{base} is not shown to differ from {reference} on {metric}: there is no gap to close."
                )
                continue
            for variant, row in rows:
                ends = f"95 % CI {percent(row.low, 0)} to {percent(row.high, 0)}, Fieller; {count(int(row.n), 'seed')}"
                closes = f"closes {percent(row.share, 0)} of the gap from {base} to {reference} ({ends}; uncorrected)"
                unknown = f"{base} is not shown to differ from {reference} at its {count(int(row.n), 'seed')}"
                sentences.append(f"{variant} on {metric}: {closes if math.isfinite(row.low) else unknown}.")
    return sentences


def front(data: Measurements) -> list[str]:
    """Whether the reference is on the Pareto front of two or three primary metrics, and what is better on all."""
    reference = data.spec.compared_with[0]
    if len(data.spec.primary) not in (2, 3):
        return []
    try:
        row = pareto(data).set_index("variant").loc[[reference]].iloc[0]
    except (StudyError, ConfigError):  # at no seed are all there yet; or for one of them no direction is better
        return []
    if row.n < FEWEST:
        return []
    better = f"Better on all of them, by intervals: {row.dominated_by}" if row.dominated_by else ""
    better = better or "No variant is better on all of them by its intervals"
    return [
        f"{reference} is {'on' if row.front else 'not on'} the Pareto front of the primary metrics, in "
        f"{percent(row.probability, 0)} of studies with resampled seeds ({count(int(row.n), 'seed')}).",
        f"{better} (uncorrected).",
    ]


def spread(rows: pd.DataFrame, medians: pd.DataFrame, reference: str) -> list[str]:
    """How much runs vary. `rows`: of Study.spread; `medians`: of Study.median_shares."""
    counts: Any = rows.groupby("variant", sort=False)["n"].max()
    metrics: Any = medians.groupby("family", sort=False)["metrics"].max()
    runs, kinds = (listed([f"{n} of {name}" for name, n in of.items()]) for of in (counts, metrics))
    which = f"the metrics on which a variant beats the baseline: {kinds}"
    which = which if kinds else "all metrics, as no variant beats a baseline"
    sentences = [f"Standard deviations of {which}; runs: {runs}."]
    shares: list[Any] = [*medians.dropna(subset="share").itertuples()]
    for row in shares:
        ends = f" (95 % CI {percent(row.share_low, 0)} to {percent(row.share_high, 0)})"
        share = f"{percent(row.share, 0)} of {reference}’s variance{ends if row.share_low == row.share_low else ''}"
        sentences.append(f"{row.variant} has {share} in the median metric of {row.family}.")
    return sentences


def answered(spec: Spec, answers: Answers | None, data: Measurements, digest: str) -> str:
    """What is to be said of the answers to the question and the hypotheses; `digest`: of today's results."""
    if answers:
        changed = "The results have changed since this was written. Read them, and call study.answer(...) again."
        return changed if answers.results != digest else ""
    if not (spec.confirms and spec.hypotheses):
        return ""
    if data.to_do:
        return f"No answers yet: a confirmatory study is read when it is whole ({count(data.to_do, 'run')} to do)."
    return "No answers yet: study.answer(...) takes one to each hypothesis."


def _stands_out(table: Any) -> Any:
    return table["verdict"].isin(["better", "worse", "different"])
