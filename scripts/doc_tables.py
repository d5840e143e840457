"""Fills the tables and the numbers of README.md, docs/ and studies/ from the committed results and the recipes.

    python scripts/doc_tables.py

A table stands between `<!-- table NAME -->` and `<!-- end -->`, a number as page_values.py says. A test keeps every
page as this script makes it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from page_values import benchmark, checkpoint_results, demo_results, effects, read, study, valued

import xfm
from xfm import recipes
from xfm.base.files import write_atomically
from xfm.base.numbers import p_value
from xfm.base.strings import baseline_label
from xfm.objectives import OBJECTIVES
from xfm.study.run_records import differences
from xfm.study.variance import Share
from xfm.tasks import Result, find_result, from_json

ROOT = Path(__file__).resolve().parents[1]
OF_DOCS = "findings results ablations reliability page-model downstream studies your-own-data"
PAGES = [
    ROOT / "README.md",
    *(ROOT / "studies" / name for name in ("README.md", "decision_rules.md", "relations/README.md")),
    *(ROOT / "docs" / f"{name}.md" for name in OF_DOCS.split()),
]
MARKED = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
Key = tuple[str, str, str]  # task, condition, metric

ROWS = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))  # which rows tables have
CHECKPOINT = [ROWS["demo"][i] for i in (*range(7), 9, 10, 14, 15, 16, 18, 22)]
SEEN = "concept, pooled, linear probe, accuracy"
ANSWERED = ("general", "insulation", "negatives", "guidance", "mends", "elsewhere")
BESIDE = "validation/pairs/imlm"
WINDOWS = (200, 400, 600, 800, 1000, 1200)
SHORT = [ROWS["demo"][i] for i in (0, 2, 4, 6, 9, 10, 14, 15, 22, 25)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(line)} |\n") for line in lines)


def title(key: Key) -> str:
    return ", ".join(filter(None, key))


def baseline(result: Result, beside: Sequence[Result] = ()) -> str:
    """And what an n-gram reaches, of masked tokens: of the same evaluation, or else of the studies' data."""
    own = "" if result.baseline is None else f"{100 * result.baseline:.1f} ({result.baseline_label})"
    levels = {f"{r.task}, {r.metric}": r.value for r in beside if r.condition == "n-gram"}
    level = (read("studies/ngram.json").get(result.split, {}) | levels).get(result.key)
    return own if level is None else f"{own}, {100 * level:.1f} (n-gram)"


def _percents(r: Result) -> str:
    """With its interval."""
    return f"{100 * r.value:.1f} ({100 * r.low:.1f} to {100 * r.high:.1f})"


def _share(row: Any) -> str:
    """With its interval, in per cent."""
    return "{:.0f} ({:.0f} to {:.0f})".format(*(100 * row[end] for end in ("share", "low", "high"))).replace("-", "−")


def admission_table() -> str:
    """A row a confirmatory study: which checks of the rule of admission it fails."""
    rows = []
    for name in ANSWERED:
        failed = study(name).admission().query("~admitted")
        cells = dict(iter(failed.groupby("part")))
        below = cells.get("baseline", failed[:0])
        level = "; ".join(map("{}: {}".format, below["metric"], below["baseline_name"]))
        arms = len(study(name).spec.variants)
        learnt = cells.get("learnt", failed[:0]).groupby("metric", sort=False)["variant"]
        learnt = "; ".join(f"{key} ({len(variants)} of {arms} arms)" for key, variants in learnt)
        learnt = learnt.replace("validation/images/mim", "MIM loss")
        learnt = learnt.replace("validation/regions/itm", "ITM loss on regions")
        rows.append([f"`{name}`", level or "none", learnt, f"{len(cells.get('horizons', []))} of {arms}"])
    return table(["study", "reference below", "arms not shown to beat a baseline on", "arms with one length"], rows)


def evaluation_table(results: Sequence[Result], keys: Sequence[Key]) -> str:
    rows = []
    for task, condition, metric in keys:
        r = find_result(results, task, metric, condition)
        interval = f"{100 * r.low:.1f} to {100 * r.high:.1f}"
        name = title((task, condition, metric))
        rows.append([name, f"{100 * r.value:.1f}", interval, baseline(r, results), str(r.n)])
    return table(["", "%", "95 % interval", "baseline", "n"], rows)


def short_table() -> str:
    rows = []
    both = demo_results(), checkpoint_results()
    for task, condition, metric in SHORT:
        demo, checkpoint = (find_result(results, task, metric, condition) for results in both)
        level, other = baseline(demo, both[0]), baseline(checkpoint, both[1])
        beside = level if level == other else f"{level.split()[0]} / {other}"
        values = [f"{100 * r.value:.1f}" for r in (demo, checkpoint)]
        rows.append([title((task, condition, metric)), *values, beside])
    return table(["", "demo", "checkpoint", "baseline"], rows)


def recipe_table() -> str:
    """What was tried for the demo, in the order of trying."""
    columns = ("image to text, R@1", "text to image, R@1", "grounding", "naming", "matching (name exchanged)")
    rows = []
    for run in read("studies/demo_recipe.json")["runs"]:
        changes, found = run["changes"], run["results"]
        optimizer = f"Muon, {changes['train.muon_lr']:g}" if changes["train.muon_lr"] else "AdamW alone"
        earlier = ", fused earlier" if "objectives.itm.start" in changes else ""
        config = recipes.demo().replace(changes).objectives["mim"]
        other_weight = config.weight != recipes.demo().objectives["mim"].weight
        mim = f"{config.start:g}" + f", weight {config.weight:g}" * other_weight
        values = [*(f"{100 * found[column]:.1f}" for column in columns), f"{found['language, loss (nats)']:.3f}"]
        told = [found.get(f"images, MIM, held out{level}") for level in ("", ", constant")]
        values.append("{:.2f} ({:.2f})".format(*told) if None not in told else "")
        sizes = [f"{changes['train.steps']:,}", f"{changes['data.texts']}"]
        rows.append([f"{optimizer}{earlier}", *sizes, mim, run["split"], *values])
    head = ["optimizer", "steps", "sentences a step", "MIM from", "split"]
    return table([*head, *columns, "MLM, nats", "MIM (a constant)"], rows)


def learnt_table() -> str:
    """Each loss of the demo on what is held out, beside what is reached without having learnt it; MLM's, of which the
    held-out batch has few words, from the evaluation."""
    mlm = find_result(demo_results(), "language", "loss (nats)")
    losses = [(r["loss"], r["value"], r["level"], r["level_name"]) for r in benchmark("demo")["held_out"]]
    losses = [loss for loss in losses if not loss[0].endswith("/mlm")]
    losses.append(("validation/texts/mlm", mlm.value, mlm.baseline, mlm.baseline_label))
    rows = []
    for key, value, level, name in losses:
        _, stream, loss = key.split("/")
        rows.append([OBJECTIVES[loss].title, stream, f"{value:.2f}", f"{level:.2f} ({name})", OBJECTIVES[loss].unit])
    return table(["loss", "of", "held out", "baseline", "unit"], rows)


def styles_table(results: Sequence[Result]) -> str:
    """The rows of trained and of held-out styles."""
    return evaluation_table(results, [(r.task, r.condition, r.metric) for r in results if "style: " in r.task])


def styles_study_table() -> str:
    """A row a question and family, a column an arm of studies/make_styles.py, seeds one after another; families that
    an arm was not trained on in bold."""
    arms = read("studies/styles.json")["arms"]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for key, arm in arms.items():
        name = key.rsplit(", ", 1)[0]
        for r in from_json(json.dumps(arm["evaluation"])):
            kind, question = r.task.split(": ")
            cell = f"**{_percents(r)}**" if kind == "held-out style" else _percents(r)
            cells = rows.setdefault((f"{question}, {r.metric}", r.condition), {"baseline": baseline(r)})
            cells[name] = f"{cells[name]}; {cell}" if name in cells else cell
    names = list(dict.fromkeys(key.rsplit(", ", 1)[0] for key in arms))
    body = [[*row, *(cells.get(name, "") for name in names), cells["baseline"]] for row, cells in rows.items()]
    return table(["", "condition", *names, "baseline"], body)


def language_table() -> str:
    """The probes of the language encoder, of the demo, the checkpoint, and a pretrained encoder in their place."""
    control = read("studies/language_control.json")["evaluation"]
    rows = []
    for r in from_json(json.dumps(control)):
        probe = r.condition.removesuffix(" of bert")
        ours = [find_result(results, r.task, r.metric, probe) for results in (demo_results(), checkpoint_results())]
        assert {baseline(own) for own in ours} == {baseline(r)}, r.task
        rows.append([f"{r.task}, {probe}", *map(_percents, (*ours, r)), baseline(r), str(r.n)])
    return table(["", "demo", "checkpoint", "MiniLM", "baseline", "n"], rows)


def profile_table() -> str:
    own = "the step's own"
    rows = []
    for name, size in benchmark("profile_step")["sizes"].items():
        seconds, rates = size["seconds"], size["gflop_per_second"]
        faster = [size["faster"].get(f"step, two {kind}") for kind in ("shards", "threads")]
        rows.append(
            [name, f"{seconds['step']:.3f}", f"{size['gflop']['all']:.1f}", f"{rates['products of 1,024']:.0f}",
             f"{rates[own]:.0f}", f"{100 * size['reached']:.0f} %",
             *("" if ratio is None else f"{ratio:.2f}" for ratio in faster)]
        )  # fmt: skip
    products = "of 1,024 × 1,024", "of the step's own shapes"
    heads = ["step", "seconds", "GFLOP", *(f"products {which}, GFLOP/s" for which in products)]
    return table([*heads, "reached", "two shards", "two threads"], rows)


def views_table() -> str:
    rows = []
    for tokens, views in benchmark("beside_bertviz")["tokens"].items():
        for name, m in views.items():
            times = ["failed"] * 3
            if "failed" not in m:
                hover, layer = (f"{m[k]:.0f}" if k in m else "" for k in ("milliseconds_hover", "milliseconds_layer"))
                times = [f"{m['seconds_first_paint']:.2f}", hover, layer]
            elements = f"{m['elements']:,}" if "elements" in m else ""
            rows.append([tokens, name, f"{m['bytes'] / 1e6:.1f}", *times, elements])
    return table(["tokens or model", "view", "file, MB", "first paint, s", "hover, ms", "layer, ms", "elements"], rows)


def presence_table() -> str:
    """A row a verdict and what it was given of, in ten cases or more: how often it was true. First those tested."""
    rows, every, tested = [], benchmark("presence")["verdicts"], ("likely there", "likely not there", "rejected by ITM")
    for row in sorted((row for row in every if row["n"] >= 10), key=lambda row: row["verdict"] not in tested):
        interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        rows.append([row["verdict"], row["where"], f"{100 * row['true']:.1f}", interval, str(row["n"])])
    return table(["verdict", "asked of", "true, %", "95 % interval", "n"], rows)


def attack_table() -> str:
    classes = benchmark("attack")["classes"].items()
    rows = [[name, f"{found['tried']:,}", f"{found['held']:,}"] for name, found in classes]
    return table(["class", "tried", "held"], rows)


def page_precision_table() -> str:
    measured = benchmark("page")
    rows = []
    for name, row in measured["precision"].items():
        size = f"{measured['parameters'] * row['bytes'] / 1e6:.1f}"
        rows.append([name, size, f"{row['largest']:.5f}", f"{row['median']:.5f}"])
    return table(["matrices", "MB", "largest change of ITM's log-odds", "median"], rows)


def page_speed_table() -> str:
    quiet, busy = (part["questions"] for part in page_loads())
    rows = []
    for question in quiet["Chromium"]:
        times = [quiet["Node"][question], quiet["Chromium"][question], busy["Chromium"][question]]
        rows.append([question, *(f"{time['median']:.0f}" for time in times)])
    return table(["milliseconds, median", "Node", "Chromium", "Chromium, beside 3 busy processes"], rows)


def page_opening_table() -> str:
    rows = []
    for name, size in benchmark("page")["milliseconds"]["bytes"].items():
        times = [part["opening"][name][what] for what in ("first paint", "model ready") for part in page_loads()]
        rows.append([name, f"{size / 1e6:.2f}", *(f"{time['median']:.0f}" for time in times)])
    names = ["first paint", "beside 3 busy processes", "model ready", "beside 3 busy processes"]
    return table(["file of", "MB", *names], rows)


def page_loads() -> list[Any]:
    """Measured quiet, and beside busy processes."""
    return [part for part in benchmark("page")["milliseconds"].values() if "questions" in part]


def finetune_table() -> str:
    """Each task with its controls side by side."""
    runs = {(row["task"], row["variant"]): row for row in benchmark("finetune")["runs"]}
    rows = []
    for task in dict.fromkeys(task for task, _ in runs):
        own, others = runs[task, ""], (runs.get((task, name)) for name in ("scratch", "no_pictures", "no_texts"))
        value = f"{100 * own['value']:.1f} ({100 * own['low']:.1f} to {100 * own['high']:.1f})"
        controls = ("" if other is None else f"{100 * other['value']:.1f}" for other in others)
        prior = f"{100 * own['baseline']:.1f} {baseline_label(own['baseline_name'])}"
        prior += f", {100 * own['simple']:.1f} {own['simple_name']}" if own.get("simple") else ""
        rows.append([f"`{task}`", own["metric"], value, *controls, prior, f"{own['n']:,}", f"{own['seconds']:.0f}"])
    head = ["task", "metric", "fine-tuned", "no pre-training", "no pictures", "no texts", "baseline", "n", "seconds"]
    return table(head, rows)


def heads_table() -> str:
    """The checkpoint's heads, each with its controls side by side."""
    controls = read("studies/heads.json")
    lab, rows = xfm.load("demo"), []
    for task in dict.fromkeys(row["task"] for row in controls):
        run = lab.task(task)
        own, steps = run.results()[0], f"{run.config.train.steps:,}"
        kept = {row["variant"]: f"{100 * row['value']:.1f}" for row in controls if row["task"] == task}
        beside = [kept.get(f"{name}+{run.config.variant}", "") for name in ("scratch", "no_pictures", "no_texts")]
        prior = f"{100 * (own.baseline or 0):.1f} {own.baseline_label}"
        size = f"{(run.folder / 'model.safetensors').stat().st_size / 1e6:.1f}"
        rows.append([f"`{task}`", run.config.frozen, steps, own.metric, _percents(own), *beside, prior, size])
    return table(["task", "frozen", "steps", "metric", "test split, %", "no pre-training", "no pictures", "no texts",
                  "baseline", "MB"], rows)  # fmt: skip


def by_field_table(name: str, metrics: Sequence[str]) -> str:
    """A study as the paper's main table."""
    found = study(name).by_field(metrics)
    rows = found.to_numpy().tolist()
    first = [row[0] if i == 0 or row[0] != rows[i - 1][0] else "" for i, row in enumerate(rows)]
    return table([*found.columns], [[field, *row[1:]] for field, row in zip(first, rows, strict=True)])


def differences_table(name: str, metrics: dict[str, str]) -> str:
    """A row a metric, by its label: the reference's mean, and each other arm's difference to it."""
    rows = []
    for label, metric in metrics.items():
        of_metric: Any = effects(name)[effects(name)["metric"] == metric]
        level = f"{100 * of_metric['mean_against'].iloc[0]:.1f}"
        base = f"{100 * of_metric['baseline'].iloc[0]:.1f} ({of_metric['baseline_name'].iloc[0]})"
        rows.append([label, base, level, *(_difference(row) for _, row in of_metric.iterrows())])
    return table(["", "baseline", of_metric["against"].iloc[0], *of_metric["variant"]], rows)


def warm_table(runs: dict[str, int], columns: dict[str, Sequence[Key]]) -> str:
    """A row a run of warm_start.json, by its place there, below the baselines."""
    rows, found = [], read("studies/warm_start.json")["runs"]
    for label, place in {"baseline": -1, **runs}.items():
        results: dict[Any, Any] = {(r["task"], r["condition"], r["metric"]): r for r in found[place]["results"]}
        what = "baseline" if place < 0 else "value"
        cells = [[results[tuple(key)][what] for key in keys] for keys in columns.values()]
        scaled = [[f"{x:.2f}" if x > 1 else f"{100 * x:.1f}" for x in cell] for cell in cells]
        rows.append([label, *map(", ".join, scaled)])
    return table(["", *columns], rows)


def stop_table(name: str, further: dict[str, str]) -> str:
    """A row an arm of a study of the stop: its differences to X-FM, bold where the gates let a verdict through, and the
    fraction of the gap between no stop and X-FM that it closes; `further`: secondary metrics and their heads."""
    primary = study(name).spec.primary
    found = effects(name).set_index(["variant", "metric"])
    shares = study(name).recovered("no stop", "xfm", primary[0]).set_index("variant")
    rows = []
    for variant in study(name).spec.references("xfm"):
        closed = _share(shares.loc[variant]) if variant in shares.index else ""
        keys = [(variant, metric) for metric in (*primary, *further)]
        first, *others = (_difference(found.loc[key]) if key in found.index else "" for key in keys)
        rows.append([variant, first, _equivalence(found.loc[keys[0]]), closed, *others])
    head = ["", "language loss, nats", "within the margin", "gap closed, %", "grounding", "concepts"]
    return table([*head, *further.values()], rows)


def steps_table() -> str:
    """A row an arm: the fraction of the gap in MLM's training loss, from no stop to X-FM, that it closes in windows of
    steps; means over the seeds."""
    rows = {}
    for name in ("insulation", "mends", "elsewhere"):
        records = [r for seed in differences(ROOT / "studies" / name, study(name).spec, "texts/mlm") for r in seed]
        frame = pd.DataFrame(records)
        means: Any = frame.groupby(pd.cut(frame["step"], WINDOWS), observed=True).mean()
        means = means.drop(columns="step")
        for arm in means.drop(columns="no stop"):
            rows[arm] = [f"{100 * share:.0f}".replace("-", "−") for share in 1 - means[arm] / means["no stop"]]
    head = ["", *(f"steps {low + 1:,}–{high:,}" for low, high in itertools.pairwise(WINDOWS))]
    return table(head, [[arm, *cells] for arm, cells in rows.items()])


def still_does_table() -> str:
    """A row a pair of arms of `mends`: what lifting the stop does, as a share of what it does in X-FM (Fieller's)."""
    mends = study("mends")
    loss, boxes, concepts = mends.spec.primary
    rows = []
    for label, (free, held) in ROWS["still-does"].items():
        cells, lifted = [label], {free: 1, held: -1}
        for metric in (loss, boxes, concepts, BESIDE, "naming, accuracy", "image to text, ITC, R@1"):
            cells.append(_difference(mends.contrast(lifted, metric).iloc[0]))
            if metric == loss:
                row = mends.share(lifted, {"no stop": 1, "xfm": -1}, loss).iloc[0]
                cells.append("100" if held == "xfm" else _share(row))
        rows.append(cells)
    head = ["the language encoder learns by", "language loss, nats", "of X-FM's, %", "grounding", "concepts"]
    return table([*head, "IMLM loss, nats", "naming", "R@1, image to text"], rows)


def answers_list(name: str) -> str:
    """What became of a study's hypotheses, as its report has it."""
    answers = study(name).answers()
    lines = []
    for asked, held, why in answers.itertuples(index=False):
        label, hypothesis = asked.split(": ", 1)
        lines.append(f"* **{label} {held}: {hypothesis}** {why}\n")
    return re.sub(r"<\w+>|\b\w+_\w+\b", r"`\g<0>`", "".join(lines))  # tokens and variants


def targets_table() -> str:
    """A row a target of MIM, its differences to no MIM in points, mean over the seeds that all arms have: neighbours
    and linear probe by the loss's weight, then both tasks of the plan where it joins from the first step on."""
    explored, weights = study("guidance-exploration"), ("0.3", "1", "3")
    means: Any = explored.results().query("seed in (0, 1)").groupby(["metric", "variant"])["value"].mean()
    neighbours = explored.spec.primary[0]
    rows = []
    for target in dict.fromkeys(v.split(" x ")[0] for v in explored.spec.variants if " x " in v):
        asked = [(m, f"{target} x {w}") for m in (neighbours, SEEN) for w in weights]
        asked += [(m, f"{target} x 1, early") for m in explored.spec.primary]
        gains = [100 * (means[key] - means[key[0], "none"]) if key in means.index else None for key in asked]
        rows.append([f"`{target}`", *("" if g is None else f"{g:+.1f}".replace("-", "−") for g in gains)])
    head = ["", *(f"{what} x {w}" for what in ("k-NN", "linear") for w in weights)]
    return table([*head, "k-NN, from the first step on", "boxes, from the first step on"], rows)


def guidance_table() -> str:
    """A row a target of MIM: its differences to X-FM in points, bold where Holm's test shows one."""
    spec, found = study("guidance").spec, effects("guidance").set_index(["variant", "metric"])
    further = {SEEN: "linear probe", "naming, accuracy": "naming", "image to text, ITC, R@1": "R@1, image to text"}
    rows = []
    for variant in spec.references("xfm"):
        primary = [found.loc[(variant, metric)] for metric in spec.primary]
        asked = [cell for row in primary for cell in (_difference(row), _equivalence(row))]
        rows.append([f"`{variant}`", *asked, *(_difference(found.loc[(variant, metric)]) for metric in further)])
    head = ["", "neighbours (k-NN)", "within the margin", "grounding", "within the margin"]
    return table([*head, *further.values()], rows)


def varies_table() -> str:
    """A row a source of randomness: its share of the runs' variance in the median metric of each field, in per cent."""
    medians = study("varies").median_shares()
    fields = medians.groupby("family", sort=False)["metrics"].first()
    rows = [
        [
            f"`{variant}`",
            *("{:.0f} ({:.0f} to {:.0f})".format(*100 * ends) for ends in own[[*Share._fields]].to_numpy()),
        ]
        for variant, own in medians.groupby("variant", sort=False)
    ]
    return table(["", *(f"{family}, {n} metrics" for family, n in fields.items())], rows)


def _difference(row: Any) -> str:
    """With its interval: points, or nats; bold where it is primary and shown."""
    scale, digits = (100, 1) if row["unit"] == "%" else (1, 3)
    values = (f"{scale * row[end]:+.{digits}f}" for end in ("effect", "low", "high"))
    cell = "{} ({} to {})".format(*values).replace("-", "−")
    return f"**{cell}**" if row.get("role") == "primary" and row["verdict"] in ("better", "worse") else cell


def _equivalence(row: Any) -> str:
    return f"{row['equivalent']}, p {p_value(row['p_equivalent'])}"


def changes_table(changes: dict[str, dict[str, Any]]) -> str:
    rows = [[f"`{name}`", ", ".join(f"`{f}` = {v!r}" for f, v in fields.items())] for name, fields in changes.items()]
    return table(["name", "fields"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "short": short_table,
    "demo": lambda: evaluation_table(demo_results(), ROWS["demo"]),
    "recipe": recipe_table,
    "learnt": learnt_table,
    "checkpoint": lambda: evaluation_table(checkpoint_results(), CHECKPOINT),
    "checkpoint-styles": lambda: styles_table(checkpoint_results()),
    "styles-study": styles_study_table,
    "language": language_table,
    "profile": profile_table,
    "views": views_table,
    "presence": presence_table,
    "attack": attack_table,
    "page-precision": page_precision_table,
    "page-opening": page_opening_table,
    "page-speed": page_speed_table,
    "finetune": finetune_table,
    "heads": heads_table,
    "general": partial(by_field_table, "general", ROWS["general"]),
    "insulation-exploration": partial(by_field_table, "insulation-exploration", ROWS["insulation-exploration"]),
    "attention": partial(differences_table, "attention", ROWS["attention"]),
    "colours": partial(differences_table, "colours", ROWS["colours"]),
    "warm-starts": partial(warm_table, ROWS["warm-starts"], ROWS["words"]),
    "joint-optimizers": partial(warm_table, {"AdamW": 8, "Muon": 9}, ROWS["words"] | ROWS["sees"]),
    "regimes": partial(warm_table, ROWS["regimes"], dict([*ROWS["words"].items()][:1]) | ROWS["sees"]),
    "insulation": partial(stop_table, "insulation", {BESIDE: "IMLM loss, nats", "naming, accuracy": "naming"}),
    **{
        name: partial(stop_table, name, {BESIDE: "IMLM loss, nats", "image to text, ITC, R@1": "R@1"})
        for name in ("mends", "elsewhere")
    },
    "still-does": still_does_table,
    "steps": steps_table,
    "admission": admission_table,
    **{f"{name}-answers": partial(answers_list, name) for name in ANSWERED},
    "guidance": guidance_table,
    "targets": targets_table,
    "varies": varies_table,
    "ablations": lambda: changes_table(recipes.ablations()),
    "levels": lambda: changes_table(recipes.LEVELS),
}


def filled(text: str) -> str:
    """A page with its tables and numbers made anew. KeyError for a table of an unknown name."""
    return valued(MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text))


if __name__ == "__main__":
    for path in PAGES:
        write_atomically(path, filled(path.read_text("utf-8")))
        print(path.relative_to(ROOT))
