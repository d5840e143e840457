"""Which explanations can be trusted? The leaderboards under studies/leaderboard/, a folder a model.

    python studies/make_leaderboards.py [--scenes 100] [--workers 2]

The checkpoint that comes with the package, and the same architecture with untrained weights (its recipe's seed), on
the same scenes; scores that lie there already are read again. A score that cannot tell the two apart says nothing of
what a model has learnt.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

import xfm
from xfm import plots
from xfm.data import dataset
from xfm.data.synthetic.scenes import Scene
from xfm.data.tokenizer import Tokenizer
from xfm.explain.inputs import scene_inputs
from xfm.explain.leaderboards import Leaderboard, higher, leaderboard, leaderboard_scenes
from xfm.model import XFM
from xfm.objectives import build

FOLDER = Path(__file__).parent / "leaderboard"
MODELS = {"pretrained": "the checkpoint `demo`", "untrained": "the same architecture, weights as they were drawn"}
KNOW_NOTHING = ("random", "centre", "edges")
SHOWN = ("pointing game", "mass in mask", "average precision", "mass on name", "insertion, image", "deletion, image",
         "insertion, text", "deletion, text", "infidelity")  # fmt: skip
README = """# {title}

{what}, asked for the ITM log-odds of one object's phrase in each of {n} test scenes of two to four objects. Made by

    python studies/make_leaderboards.py --scenes {n}

in {seconds:.0f} s with {workers} processes{busy}; `scores.csv` has every scene's scores, `table.csv` means, 95 %
bootstrap intervals over the scenes and paired lifts over each baseline. Means, the best of each score in bold (of
infidelity, sensitivity and deletion the lowest); rank correlations with the explanation of randomly drawn weights, 0:
it tells of the model; gaps and milliseconds (of one process beside another).

{table}
![scores](figures/scores.png)

ITM was trained on whole captions, and on phrases beside the region that they name; beside the whole picture the model
gives the phrase odds of belonging to it above one in {yes} of the {n} scenes. What is explained is that number, high or
low.

The baselines `random`, `centre` and `edges` know nothing of the model: what is not above them explains nothing here.
"""


def measured(name: str, model: XFM, words: Tokenizer, asked_of: Sequence[Scene], workers: int) -> Leaderboard:
    """The scores of a model; where they were measured before, they are read again."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "scores.csv").exists():
        began = time.perf_counter()
        board = leaderboard(model, words, asked_of, workers=workers, progress=True)
        board.rows.to_csv(folder / "scores.csv", index=False, float_format="%.5g")
        cost = {"seconds": round(time.perf_counter() - began), "workers": workers, "scenes": len(asked_of)}
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
        what=MODELS[name].capitalize(),
        n=cost["scenes"],
        yes=yes,
        seconds=cost["seconds"],
        workers=cost["workers"],
        busy=cost.get("busy", ""),
        table=board.markdown(),
    )
    (folder / "README.md").write_text(said, encoding="utf-8")
    return table


def beyond(table: pd.DataFrame) -> pd.Series:
    """score -> how many methods are better than random attributions by more than chance (95 % interval of the lift)."""
    own = table[~table["method"].isin(KNOW_NOTHING)]
    lower = own["over random, high"] < 0
    better = lower.where(~own["score"].map(higher), own["over random, low"] > 0)
    return better.groupby(own["score"]).sum()


def agreement(trained: pd.DataFrame, untrained: pd.DataFrame) -> pd.DataFrame:
    """Does the ranking notice? A row a score: Spearman's correlation of the methods' means in the two models."""
    rows = []
    for score in SHOWN:
        a, b = (
            t[(t["score"] == score) & ~t["method"].isin(KNOW_NOTHING)].set_index("method")["mean"]
            for t in (trained, untrained)
        )
        row = {"score": score, "methods": len(a), "rank correlation": a.corr(b, method="spearman")}
        for name, table in (("pretrained", trained), ("untrained", untrained)):
            own = table[table["score"] == score].set_index("method")["mean"]
            row |= {f"{name}: mean": own.drop([*KNOW_NOTHING], errors="ignore").mean()}
            row |= {f"{name}: random": own["random"], f"{name}: better than random": int(beyond(table)[score])}
        rows.append(row)
    return pd.DataFrame(rows)


OVERVIEW = """# Which explanations can be trusted?

`python studies/make_leaderboards.py` scores every quick method of `xfm.explain` on the same {n} test scenes for
[the pretrained checkpoint](pretrained/README.md) and for [the same architecture untrained](untrained/README.md).
An untrained model has looked at nothing, so whatever a score finds good about its explanations is not understanding.

Methods, random, centre and edges aside: how their means rank alike in the two models (Spearman), the mean over the
methods, that of random attributions, and how many methods are better than random by a 95 % interval of the paired lift.

{table}
"""


def rounded(table: pd.DataFrame) -> str:
    cells = [[*table.columns], ["---"] * len(table.columns)]
    cells += [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    run = xfm.load("demo").run
    asked_of, words = leaderboard_scenes(dataset(run.config).world, asked.scenes), run.tokenizer()
    tables = []
    for name, model in {"pretrained": run.model(), "untrained": build(run.config).eval()}.items():
        board = measured(name, model, words, asked_of, asked.workers)
        asks = (scene_inputs(model, words, scene, "itm", i % len(scene.objects)) for i, scene in enumerate(asked_of))
        tables.append(write(name, board, sum(question.score() > 0 for question in asks)))
    found = agreement(*tables)
    found.to_csv(FOLDER / "agreement.csv", index=False, float_format="%.5g")
    (FOLDER / "README.md").write_text(OVERVIEW.format(n=asked.scenes, table=rounded(found)), encoding="utf-8")
    print(rounded(found))
