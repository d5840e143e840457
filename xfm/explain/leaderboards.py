"""Methods x scores over many scenes: which attributions of a model can be trusted, and how far.

board = explain.leaderboard(model, tokenizer, explain.leaderboard_scenes(world, 100))
print(board.markdown())
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import bootstrap, spearmanr
from torch import Tensor

from ..base import seeding
from ..base.fields import one_of, require
from ..base.workers import side_by_side
from ..data.tokenizer import Tokenizer
from ..data.world.scenes import Scene, World
from ..model import XFM, initialise
from .attribution import SCORES, Attribution, Method
from .faithfulness import BASELINES, faithfulness_report
from .inputs import AttributionInputs
from .method_table import METHODS, SLOW, attribute
from .prepare_inputs import said_once, scene_inputs
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd


_SEED = 1  # of new weights, added to what `initialise` is given


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two attributions' absolute values: 1 for the same order, 0 for no relation."""

    part: str  # of the model, randomised
    text: float
    image: float


def randomise_weights(
    make: Callable[[Any], AttributionInputs], model: Any, method: str | Method, seed: int = 0
) -> list[RankCorrelation]:
    """Compares the model's attribution with those after cascading randomisation of its parts, from the target down.

    Sanity check of Adebayo et al. (2018): an attribution should change when the model's weights do.

    Args:
        make: the inputs of a model.
        model: an XFM, or a `guests.guest.Guest`.
    """
    weights, fresh = model.state_dict(), randomised_copy(model, seed)
    random = {name: value.clone() for name, value in fresh.state_dict().items()}
    before, correlations = attribute(make(model), method, seed), []
    for part, names in model_parts(model).items():
        weights = weights | {name: random[name] for name in names}
        fresh.load_state_dict(weights)
        correlations.append(attribution_correlation(part, before, attribute(make(fresh), method, seed)))
    return correlations


def randomised_copy(model: Any, seed: int = 0) -> Any:
    """A copy with all weights initialised anew; a guest's are drawn with the mean and the deviation of each tensor."""
    fresh = copy.deepcopy(model)
    if isinstance(fresh, XFM):
        initialise(fresh, _SEED + seed)
    else:
        fresh.redraw(_SEED + seed)
    return fresh


def model_parts(model: Any) -> dict[str, set[str]]:
    """From the target downwards: part -> the names of its weights."""
    names, parts = list(model.state_dict()), {}
    if not isinstance(model, XFM):
        for depth, prefixes in model.layers():
            parts[f"layer {depth}"] = {name for name in names if name.startswith(prefixes)}
        return parts | {"the rest": set(names) - set().union(*parts.values())}
    parts["heads"] = {name for name in names if name.startswith("objectives.")}
    encoders = [stack for name, stack in model.stacks.items() if name != "fusion"]
    for label, stacks in (("fusion layer", [model.stacks["fusion"]]), ("encoders' layer", encoders)):
        lists = [prefix for stack in stacks for prefix in (stack.layers, *stack.per_layer)]
        for layer in reversed(range(max(len(model.get_submodule(stack.layers)) for stack in stacks))):  # type: ignore[arg-type]
            prefixes = tuple(f"{prefix}.{layer}." for prefix in lists)
            parts[f"{label} {layer}"] = {name for name in names if f"{name}.".startswith(prefixes)}
    parts["embeddings"] = set(names) - set().union(*parts.values())
    return parts


def attribution_correlation(part: str, one: Attribution, other: Attribution) -> RankCorrelation:
    """Rank correlation of two attributions of the same inputs, without `<s>` and `</s>`."""
    of_words = torch.tensor(one.words.owner) >= 0
    text = _rank_correlation(one.text[of_words], other.text[of_words])
    return RankCorrelation(part, text, _rank_correlation(one.patches, other.patches))


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of absolute values; 0 where one of the two is constant."""
    values = one.abs().numpy(), other.abs().numpy()
    result: Any = spearmanr(*values) if all(np.ptp(v) > 0 for v in values) else None
    return float(result.statistic) if result else 0.0


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
    """Draws test scenes of at least two objects, as every method finds a single one; captions name an object once."""
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
