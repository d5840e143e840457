"""Methods x scores over many scenes: which explanations of a model can be trusted, and by how much.

board = leaderboard(model, tokenizer, scenes(world, 100))
print(board.markdown())
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import bootstrap
from torch.utils.data import DataLoader, Dataset

from .. import seeding
from ..config_utils import one_of, require
from ..data.synthetic.scenes import Scene, World
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .attribution import METHODS, attribute
from .faithfulness import BASELINES, faithfulness_report
from .inputs import scene_inputs
from .randomisation import attribution_correlation, randomised_copy
from .scores import SCORES
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 2000
CHECK = (
    "weights drawn anew, image",
    "weights drawn anew, text",
)  # rank correlations: near 0 for what tells of the model
QUICK = tuple(name for name, method in METHODS.items() if not method.slow)


@dataclass(frozen=True)
class Leaderboard:
    rows: pd.DataFrame  # a row a scene, method and score: scene, method, score, value

    def table(self) -> pd.DataFrame:
        """A row a method and score: mean, 95 % bootstrap interval over the scenes, n, and the mean paired lift over
        each baseline with its interval, where there is one."""
        import pandas as pd

        wide = self.rows.pivot(index="scene", columns=["method", "score"], values="value")
        found = []
        for method, score in wide.columns:
            own = wide[method, score].dropna()
            row = {"method": method, "score": score, **summary(own.to_numpy(), method, score), "n": len(own)}
            for base in BASELINES:
                if score in SCORES and (base, score) in wide.columns:
                    lift = (own - wide[base, score]).dropna().to_numpy()
                    row |= {f"over {base}, {k}": v for k, v in summary(lift, method, score, base).items()}
            found.append(row)
        return pd.DataFrame(found)

    def markdown(self) -> str:
        """Means, methods x scores; the best of each score, baselines too, in bold."""
        table = self.table()
        wide = table.pivot(index="method", columns="score", values="mean")
        wide = wide.loc[[m for m in METHODS if m in wide.index], [s for s in columns() if s in wide.columns]]
        lines = [["method", *wide.columns], ["---"] * (1 + len(wide.columns))]
        best = {s: wide[s].max() if higher(s) else wide[s].min() for s in wide.columns}
        for method, row in wide.iterrows():
            cells = [cell(v, s in SCORES and v == best[s]) for s, v in row.items()]
            lines.append([str(method), *cells])
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def leaderboard(
    model: XFM,
    tokenizer: Tokenizer,
    scenes: Sequence[Scene],
    methods: Iterable[str] = QUICK,
    target: str | Target = "itm",
    seed: int = 0,
    workers: int = 0,
    progress: bool = False,
) -> Leaderboard:
    """Every method on one object's phrase a scene, the objects in turn, so that each has a truth of its own.

    `workers`: processes beside each other, one thread each (0: in this one); the scores are the same. Of the methods
    that sample, sensitivity is left out. ConfigError for an unknown method, and for no scenes.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    methods = tuple(dict.fromkeys([*BASELINES, *methods]))
    for method in methods:
        one_of("method", method, METHODS)
    require(bool(scenes), "scenes", scenes, "at least one")
    scored = Scored(model, randomised_copy(model, seed), tokenizer, scenes, methods, target, seed)
    context = "spawn" if workers else None  # a forked process cannot differentiate where CUDA is in use
    spread = DataLoader(scored, batch_size=None, num_workers=workers, multiprocessing_context=context)
    rows = [row for some in tqdm(spread, "scenes", disable=not progress) for row in some]
    return Leaderboard(pd.DataFrame(rows))


@dataclass(frozen=True)
class Scored(Dataset[list[dict[str, Any]]]):
    """Scene by scene, the rows of a leaderboard."""

    model: XFM
    other: XFM  # the same, weights drawn anew
    tokenizer: Tokenizer
    scenes: Sequence[Scene]
    methods: Sequence[str]
    target: str | Target
    seed: int

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> list[dict[str, Any]]:
        scene, rows = self.scenes[i], []
        about = i % len(scene.objects)
        question, redone = (
            scene_inputs(m, self.tokenizer, scene, self.target, about) for m in (self.model, self.other)
        )
        for method in self.methods:
            found = attribute(question, method, self.seed)
            scores = faithfulness_report(question, found, self.seed, sensitive=not METHODS[method].slow).scores
            alike = attribution_correlation("all", found, attribute(redone, method, self.seed))
            scores |= dict(zip(CHECK, (alike.image, alike.text), strict=True)) | {"milliseconds": 1000 * found.seconds}
            if found.gap is not None:
                scores["completeness gap"] = abs(found.gap)
            rows += [{"scene": i, "method": method, "score": name, "value": v} for name, v in scores.items()]
        return rows


def leaderboard_scenes(world: World, count: int, seed: int = 0) -> list[Scene]:
    """Test scenes of two objects or more: where there is one, every explanation finds it."""
    return [world.scene("test", i, (2, 4), seeding.seed("leaderboard", seed)) for i in range(count)]


def cell(value: float, best: bool) -> str:
    said = "" if np.isnan(value) else f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return f"**{said}**" if best else said


def columns() -> list[str]:
    return [*SCORES, *CHECK, "completeness gap", "milliseconds"]


def higher(score: str) -> bool:
    """Whether more is better."""
    return score in SCORES and SCORES[score].higher_is_better


def summary(values: np.ndarray, *key: str) -> dict[str, float]:
    """The mean and the percentile bootstrap's 95 % interval; no interval of fewer than two values."""
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return {"mean": mean, "low": mean, "high": mean}
    found = bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=seeding.rng("board", *key))
    return {"mean": mean, "low": float(found.confidence_interval.low), "high": float(found.confidence_interval.high)}
