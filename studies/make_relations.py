"""Where are relations lost? The tables and the figure under studies/relations/, a line a run.

    python studies/make_relations.py [RUN ...] [--split test]

RUN: a run's folder, or a bundled checkpoint ("demo", the default). Runs of an exploration are measured on the
validation split. A run that stands in results.jsonl with the same weights and split is not measured again,
so a killed command goes on where it was. results.csv has the same numbers, a row each, and figures/ what they show,
the checkpoint's and those of runs apart.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
import tyro
from relations import Row, Sizes, measure_relations

import xfm
from xfm import plots
from xfm.base.files import append_json_lines, read_json_lines, write_atomically
from xfm.data.source import Split
from xfm.tasks import EvalContext

FOLDER = Path(__file__).parent / "relations"
SIZES = Sizes(train=800, test=600, patched=24)
Asked = Literal["test", "validation"]
OF_RUN = ("run", "seed", "relation_negatives", "split")


def measured(name: str, lab: Any, split: Split) -> dict[str, Any]:
    """One line: what was measured, of which weights, how long it took (CPU seconds of one thread), and all rows."""
    began = time.process_time()
    rows = measure_relations(EvalContext(lab.model, lab.config, lab.tokenizer, split), SIZES)
    seconds = round(time.process_time() - began)
    return identity(name, lab, split) | {"cpu_seconds": seconds, "columns": Row._fields, "rows": rows}


def identity(name: str, lab: Any, split: Split) -> dict[str, Any]:
    run = Path(name).parent.name + "/" + Path(name).name if Path(name).parent.name else name
    of_run = {"run": run, "seed": lab.config.seed, "relation_negatives": lab.config.data.relation_negatives}
    return of_run | {"fingerprint": lab.config.fingerprint, "split": split, "sizes": vars(SIZES)}


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """All rows of all runs."""
    parts = []
    for line in lines:
        part = pd.DataFrame(line["rows"], columns=line["columns"])
        for place, name in enumerate(OF_RUN):
            part.insert(place, name, line[name])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def figures(table: pd.DataFrame, split: str) -> dict[str, plots.Figure]:
    """What probes read off each layer, and what ITM, its head trained anew and IMLM choose."""
    runs = table["run"].nunique()
    of = f"{runs} run{'s' * (runs > 1)}, {split} split"
    groups = table["relation_negatives"].map("data.relation_negatives {:g}".format)
    by_model = (table["part"] == "masked") & ~table["condition"].str.contains("no model")
    said = table["condition"].mask(by_model, "IMLM, " + table["condition"])
    drawn = {
        "choices": plots.forced_choices(
            table.assign(group=groups, condition=said).query("metric == 'forced choice' or part == 'head'"),
            f"Left or right, above or below? {of}",
        )
    }
    by_share: Any = table.query("part == 'probe'").groupby("relation_negatives")
    for share, own in by_share:
        title = f"Linear probes by layer; relation negatives {share:g}, {own['run'].nunique()} of {of}"
        drawn["probes" + f"-negatives-{share:g}" * (share > 0)] = plots.probe_layers(own, title)
    return drawn


def main(runs: tyro.conf.Positional[tuple[str, ...]] = ("demo",), split: Asked = "test") -> None:
    (FOLDER / "figures").mkdir(parents=True, exist_ok=True)
    file = FOLDER / "results.jsonl"
    torch.set_num_threads(1)
    for name in runs:
        lab = xfm.load(name)
        wanted = identity(name, lab, split)
        if not any(wanted.items() <= line.items() for line in read_json_lines(file, "run")):
            append_json_lines(file, [measured(name, lab, split)])
            print(f"{name}: {file}", flush=True)
    lines = read_json_lines(file, "run")
    everything = table(lines)
    write_atomically(FOLDER / "results.csv", everything.to_csv(index=False, float_format="%.5g"))
    trained_here = everything["run"].str.contains("/")
    groups: Any = everything.groupby(["split", trained_here])
    for (of_split, here), own in groups:
        for name, figure in figures(own, str(of_split)).items():
            for kind in ("png", "pdf"):
                path = FOLDER / "figures" / f"{name}{'-runs' * bool(here)}-{of_split}.{kind}"
                write_atomically(path, figure.bytes(kind))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
