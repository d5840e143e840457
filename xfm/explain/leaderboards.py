"""Methods x scores over many scenes: which attributions of a model can be trusted, and how far.

board = explain.leaderboard(model, tokenizer, explain.leaderboard_scenes(world, 100))
print(board.markdown())
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import bootstrap

from ..base import seeding
from ..base.fields import one_of, require
from ..base.workers import side_by_side
from ..data.tokenizer import Tokenizer
from ..data.world.scenes import Scene, World
from ..model import XFM
from .attribution import Method
from .faithfulness import BASELINES, faithfulness_report
from .ground_truth_inputs import said_once, scene_inputs
from .method_table import METHODS, SLOW, attribute
from .randomisation import attribution_correlation, randomised_copy
from .scores import SCORES
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 2000
CHECK = ("weights drawn anew, image", "weights drawn anew, text")  # rank correlations, near 0 for what tells the model
COLUMNS = (*SCORES, *CHECK, "completeness gap", "milliseconds")
QUICK = tuple(name for name in METHODS if name not in SLOW)


@dataclass(frozen=True)
class Leaderboard:
    """Scores of several methods over several scenes."""

    rows: pd.DataFrame  # a row a scene, method and score: scene, method, score, value

    def table(self) -> pd.DataFrame:
        """A row a method and score: mean, 95 % bootstrap interval over the scenes, n, and the mean paired lift over
        each baseline with its interval, where there is one."""
        import pandas as pd

        wide, rows = self.rows.pivot(index="scene", columns=["method", "score"], values="value"), []
        for method, score in wide.columns:
            values = wide[method, score].dropna()
            row = {"method": method, "score": score, **_summary(values.to_numpy(), method, score), "n": len(values)}
            for base in BASELINES:
                if score in SCORES and (base, score) in wide.columns:
                    lift = (values - wide[base, score]).dropna().to_numpy()
                    row |= {f"over {base}, {name}": v for name, v in _summary(lift, method, score, base).items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def markdown(self) -> str:
        """Means, methods x scores; the best of each score, baselines too, in bold."""
        wide: Any = self.table().pivot(index="method", columns="score", values="mean")
        wide = wide.reindex(index=self.rows["method"].unique(), columns=[s for s in COLUMNS if s in wide.columns])
        best = {s: wide[s].max() if higher(s) else wide[s].min() for s in wide.columns if s in SCORES}
        lines = [["method", *wide.columns], ["---"] * (1 + len(wide.columns))]
        for method, row in wide.iterrows():
            texts = {s: "" if np.isnan(v) else f"{v:.0f}" if abs(v) >= 100 else f"{v:.2f}" for s, v in row.items()}
            lines.append([str(method), *(f"**{t}**" if row[s] == best.get(s) else t for s, t in texts.items())])
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def leaderboard(
    model: XFM,
    tokenizer: Tokenizer,
    scenes: Sequence[Scene],
    methods: Iterable[str | Method] = QUICK,
    target: str | Target = "itm",
    workers: int = 0,
    progress: bool = False,
) -> Leaderboard:
    """Score every method on one object a scene, the objects in turn, so that each has ground truth.

    Args:
        methods: names of METHODS, or functions f(inputs) -> Attribution; those of SLOW are not scored by sensitivity.
        target: asked of the object's phrase, or "name": the object's name, masked in the caption.
        workers: scenes at a time, a process of one thread each, where this one can be forked.

    Raises:
        ConfigError: for an unknown method, and for no scenes.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    methods = tuple(dict.fromkeys([*BASELINES, *methods]))
    for method in methods:
        if isinstance(method, str):
            one_of("method", method, METHODS)
    require(bool(scenes), "scenes", scenes, "at least one")
    score, by_scene = partial(_scored, model, randomised_copy(model), tokenizer, methods, target), {}
    calls = [partial(score, scene, i) for i, scene in enumerate(scenes)]
    with closing(side_by_side(calls, workers or 1)) as ended:
        for i, rows in tqdm(ended, "scenes", len(calls), disable=not progress):
            if isinstance(rows, Exception):
                raise rows
            by_scene[i] = rows
    return Leaderboard(pd.DataFrame([row for i in range(len(calls)) for row in by_scene[i]]))


def leaderboard_scenes(world: World, count: int, seed: int = 0) -> list[Scene]:
    """Draws test scenes of at least two objects, as every method finds a single one; each caption names an object
    exactly once."""
    every = (world.scene("test", i, (2, 4), seeding.seed("leaderboard", seed)) for i in itertools.count())
    return list(itertools.islice(filter(said_once, every), count))


def asked_about(scene: Scene, i: int, target: str | Target = "itm") -> int:
    """Index of the object that the i-th scene of a leaderboard asks about."""
    askable = [*said_once(scene)] if target == "name" else range(len(scene.objects))
    return askable[i % len(askable)]


def higher(score: str) -> bool:
    """Whether a higher value is better."""
    return score in SCORES and SCORES[score].higher_is_better


def _scored(
    model: XFM,
    randomised: XFM,
    tokenizer: Tokenizer,
    methods: Sequence[str | Method],
    target: str | Target,
    scene: Scene,
    i: int,
) -> list[dict[str, Any]]:
    """The rows of one scene."""
    rows, about = [], asked_about(scene, i, target)
    inputs, of_randomised = (scene_inputs(one, tokenizer, scene, target, about) for one in (model, randomised))
    for method in methods:
        attribution = attribute(inputs, method)
        name, sensitive = attribution.method, attribution.method not in SLOW
        scores = faithfulness_report(inputs, attribution, sensitive=sensitive).scores
        check = attribution_correlation("all", attribution, attribute(of_randomised, method))
        scores |= dict(zip(CHECK, (check.image, check.text), strict=True))
        scores["milliseconds"] = 1000 * attribution.seconds
        if attribution.gap is not None:
            scores["completeness gap"] = abs(attribution.gap)
        rows += [{"scene": i, "method": name, "score": score, "value": v} for score, v in scores.items()]
    return rows


def _summary(values: np.ndarray, *key: str) -> dict[str, float]:
    """The mean and the percentile bootstrap's 95 % interval; of fewer than two different values no interval."""
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return {"mean": mean, "low": mean, "high": mean}
    rng = seeding.rng("board", *key)
    interval = bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=rng).confidence_interval
    return {"mean": mean, "low": float(interval.low), "high": float(interval.high)}
