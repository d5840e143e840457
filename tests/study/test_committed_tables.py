"""Every committed study gives the same tables as when they were first read: `committed_tables.json` has of each table
and column a hash of its texts, or a sum and a weighted sum of its numbers, which hold to 1e-9."""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xfm.study import Study

ROOT = Path(__file__).parents[2] / "studies"
GOLDEN = Path(__file__).with_name("committed_tables.json")
STUDIES = sorted(spec.parent.name for spec in ROOT.glob("*/spec.json") if (spec.parent / "results.csv").exists())
TABLES = {
    "effects": lambda study: study.effects(),
    "pairs": lambda study: study.pairs(),
    "learnt": lambda study: study.learnt(),
    "mean_ranks": lambda study: study.mean_ranks(),
    "spread": lambda study: study.spread(),
    "median_shares": lambda study: study.median_shares(),
    "admission": lambda study: study.admission(),
    "pareto": lambda study: study.pareto() if len(study.spec.primary) in (2, 3) else pd.DataFrame(),
    "by_field": lambda study: study.by_field(),
}


def fingerprint(values: pd.Series):
    """A hash of texts and flags; [number of NaN, sum, weighted sum] of numbers."""
    if values.dtype.kind not in "if":
        return hashlib.blake2b(repr([str(v) for v in values]).encode(), digest_size=8).hexdigest()
    x = values.to_numpy(float)
    known = np.where(np.isfinite(x), x, 0.0)
    return [int((~np.isfinite(x)).sum()), float(known.sum()), float(known @ np.cos(np.arange(len(x))))]


@functools.cache
def tables(name: str) -> dict[str, pd.DataFrame]:
    study = Study.load(ROOT / name)
    return {title: make(study) for title, make in TABLES.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_a_committed_study_gives_the_same_tables(name):
    golden = json.loads(GOLDEN.read_text("utf-8"))[name]
    made = {title: {c: fingerprint(table[c]) for c in table} for title, table in tables(name).items()}
    assert made.keys() == golden.keys()
    for title, columns in golden.items():
        assert [*made[title]] == [*columns], title
        for column, before in columns.items():
            now = made[title][column]
            same = now == before if isinstance(before, str) else np.allclose(now, before, rtol=1e-9, atol=1e-9)
            assert same, f"{title}, {column}: {now}, not {before}"
