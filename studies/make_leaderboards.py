"""Which explanations can be trusted? The leaderboards under studies/leaderboard/, a folder a model.

    python studies/make_leaderboards.py [--scenes 100] [--workers 2]

The checkpoint that comes with the package, and the same architecture with untrained weights (its recipe's seed), on
the same scenes; scores that lie there already are read again. A score that cannot tell the two apart says nothing of
what a model has learnt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import tyro
from scipy.stats import spearmanr

import xfm
from xfm import plots
from xfm.base import seeding
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.data.world.scenes import Scene
from xfm.explain.leaderboards import Leaderboard, asked_about, higher, leaderboard, leaderboard_scenes
from xfm.explain.prepare_inputs import scene_inputs
from xfm.model import XFM
from xfm.objectives import build

FOLDER = Path(__file__).parent / "leaderboard"
MODELS = {"pretrained": "the checkpoint `demo`", "untrained": "the same architecture, weights as they were drawn"}
RESAMPLES = 2000
KNOW_NOTHING = ("random", "centre", "edges")
SHOWN = ("pointing game", "mass in mask", "average precision", "insertion, image", "deletion, image",
         "insertion, text", "deletion, text", "infidelity")  # fmt: skip
README, OVERVIEW = Path(__file__).with_suffix(".md").read_text("utf-8").split("\n=====\n\n")


def measured(name: str, model: XFM, words: Tokenizer, asked_of: Sequence[Scene], workers: int) -> Leaderboard:
    """The scores of a model; where they were measured before, they are read again."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "scores.csv").exists():
        began = time.perf_counter()
        board = leaderboard(model, words, asked_of, target="name", workers=workers, progress=True)
        board.rows.to_csv(folder / "scores.csv", index=False, float_format="%.5g")
        cost = {"seconds": round(time.perf_counter() - began), "workers": workers, "scenes": len(asked_of)}
        cost["pixels"] = model.config.vision.image_size
        (folder / "cost.json").write_text(json.dumps(cost) + "\n", encoding="utf-8")
    return Leaderboard(pd.read_csv(folder / "scores.csv"))


def write(name: str, board: Leaderboard, yes: int) -> pd.DataFrame:
    folder, table = FOLDER / name, board.table()
    (folder / "figures").mkdir(exist_ok=True)
    cost = json.loads((folder / "cost.json").read_text("utf-8"))
    table.to_csv(folder / "table.csv", index=False, float_format="%.5g")
    figure = plots.leaderboard(table, SHOWN, f"{cost['scenes']} scenes, {MODELS[name]}".replace("`", ""))
    figure.savefig(folder / "figures" / "scores.png", dpi=110)
    said = README.format(
        title=f"Leaderboard: {name}",
        what=f"{MODELS[name].capitalize()}, at {cost['pixels']} px",
        n=cost["scenes"],
        yes=yes,
        seconds=cost["seconds"],
        workers=cost["workers"],
        busy=cost.get("busy", ""),
        table=board.markdown(),
    )
    (folder / "README.md").write_text(said, encoding="utf-8")
    return table


def beyond(table: pd.DataFrame, methods: Collection[str]) -> Any:
    """score -> how many of the methods are better than random attributions (95 % interval of the paired lift)."""
    own: Any = table[table["method"].isin([*methods])]
    lower = own["over random, high"] < 0
    better = lower.where(~own["score"].map(higher), own["over random, low"] > 0)
    return better.groupby(own["score"]).sum()


def distinct(boards: Sequence[Leaderboard], score: str) -> list[pd.DataFrame]:
    """Of each board the values of a score, (scenes, methods), without methods that know nothing of the model. Methods
    that are equal on it in every scene of every board (object ablation and ablation on words) are kept once.
    """
    rows = [board.rows[board.rows["score"] == score] for board in boards]
    wide = [r.pivot(index="scene", columns="method", values="value").drop(columns=[*KNOW_NOTHING]) for r in rows]
    repeated = pd.concat(wide).round(4).T.duplicated()
    return [values.loc[:, ~repeated.reindex(values.columns)] for values in wide]


def agreement(boards: Sequence[Leaderboard], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Does the ranking notice the training? A row a score: Spearman's correlation of the methods' means in the two
    models, with its 95 % percentile bootstrap interval over the scenes, the same scenes of both at a time."""
    rows = []
    for score in SHOWN:
        values = [own.to_numpy() for own in distinct(boards, score)]
        scenes = len(values[0])
        rng = seeding.rng("agreement", score)
        drawn = [rng.integers(scenes, size=scenes) for _ in range(RESAMPLES)]
        means_of = [[np.nanmean(v[scene], 0) for v in values] for scene in (np.arange(scenes), *drawn)]
        rank: Any = [spearmanr(*means)[0] for means in means_of]
        low, high = np.quantile(rank[1:], (0.025, 0.975))
        row = {"score": score, "methods": values[0].shape[1], "rank correlation": rank[0], "low": low, "high": high}
        for name, table, own in zip(MODELS, tables, distinct(boards, score), strict=True):
            means = table[table["score"] == score].set_index("method")["mean"]
            row |= {f"{name}: mean": means[own.columns].mean(), f"{name}: random": means["random"]}
            row |= {f"{name}: better than random": int(beyond(table, own.columns)[score])}
        rows.append(row)
    return pd.DataFrame(rows)


def main(scenes: int = 100, workers: int = 2) -> None:
    torch.set_num_threads(1)
    run = xfm.load("demo").run
    asked_of, words = leaderboard_scenes(dataset(run.config).world, scenes), run.tokenizer()
    boards, tables, yes = [], [], []
    for name, model in {"pretrained": run.model(), "untrained": build(run.config).eval()}.items():
        boards.append(measured(name, model, words, asked_of, workers))
        asks = (
            scene_inputs(model, words, scene, "name", asked_about(scene, i, "name")) for i, scene in enumerate(asked_of)
        )
        yes.append(sum(question.score() > log(0.5) for question in asks))
        tables.append(write(name, boards[-1], yes[-1]))
    found = agreement(boards, tables)
    found.to_csv(FOLDER / "agreement.csv", index=False, float_format="%.5g")
    correlation = [f"{r:+.2f} ({low:+.2f} to {high:+.2f})" for r, low, high in found.iloc[:, 2:5].to_numpy()]
    shown = found.drop(columns=["low", "high"]).assign(**{"rank correlation": correlation})
    text = shown.to_markdown(index=False, floatfmt=".2f")
    pixels = json.loads((FOLDER / "pretrained" / "cost.json").read_text("utf-8"))["pixels"]
    readme = OVERVIEW.format(n=scenes, pixels=pixels, yes=yes[0], yes_untrained=yes[1], table=text)
    (FOLDER / "README.md").write_text(readme, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
