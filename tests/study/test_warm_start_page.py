"""The paragraph on warm starts says what its table has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xfm
from xfm import recipes
from xfm.study import Study
from xfm.study.power import Pilot, detectable_effects
from xfm.tasks import find_result

from .conftest import page

STUDIES = Path(__file__).resolve().parents[2] / "studies"
COLUMNS = [("language", "", "loss"), ("lexicographer files", "fine-tuned", "accuracy"),
           ("same synset", "linear probe", "accuracy"), ("hypernym", "linear probe", "accuracy")]  # fmt: skip


def test_the_table_of_warm_starts_is_that_of_its_file() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    for steps, rate in ((10_000, 0.3), (30_000, 0.3), (30_000, 0.1)):
        for alone in (True, False) if rate == 0.3 else (False,):
            (run,) = (r for r in rows if r["recipe"] == "pretrained" and r["changes"]["stage1_steps"] == steps
                      and ("trained" in r) == alone
                      and (alone or r["changes"]["train.text_lr_scale"] == rate))  # fmt: skip
            of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
            numbers = [f"{of[c]:.2f}" if c[2] == "loss" else f"{100 * of[c]:.1f}" for c in COLUMNS]
            name = f"{steps:,} steps alone" if alone else f"and 5,000 joint steps{' at .1' * (rate == 0.1)}"
            assert f"| {name} | {' | '.join(numbers)} |" in text, name


def test_the_table_of_optimizers_is_that_of_its_file_and_the_checkpoint_its_last_run() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    seen = [("image to text", "ITC", "R@1"), ("text to image", "ITC", "R@1"), ("grounding", "", "acc@0.5"),
            ("naming", "", "accuracy"), ("masked names", "right picture", "accuracy")]  # fmt: skip
    runs = [r for r in rows if "train.muon_lr" in r["changes"]]
    for run, name in zip(runs, ("AdamW", "Muon", "40,000 steps, and 5,000 joint steps at .1 by Muon"), strict=True):
        of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
        numbers = [f"{of[c]:.2f}" if c[2] == "loss" else f"{100 * of[c]:.1f}" for c in COLUMNS]
        i2t, t2i, *boxes = (f"{100 * of[c]:.1f}" for c in seen)
        short = run["changes"]["train.steps"] == 1000
        assert f"| {' | '.join([name, *numbers, *([f'{i2t}, {t2i}', *boxes] if short else [])])} |" in text
    percent = "R@1 {:.0f}, grounding {:.0f}, naming {:.0f}, masked names {:.0f} %".format(
        *(100 * of[c] for c in seen[1:])
    )
    assert percent in " ".join(text.split())
    assert recipes.pretrained() == recipes.get("pretrained").replace(runs[-1]["changes"])


REGIMES = {  # row of the table -> changes to the demo
    "1,200 steps, language encoder at .3 of the rate": {"train.text_lr_scale": 0.3},
    "1,200 steps": {},
    "1,500 steps, fused from .06 on, MIM from .5, pictures of several objects earlier": {
        "train.steps": 1500,
        "objectives.itm.start": 0.06,
        "objectives.imlm.start": 0.06,
        "objectives.bbp.start": 0.06,
        "objectives.mim.start": 0.5,
        "data.single_until": 0.25,
        "data.full_from": 0.4,
    },
}
START = {"init_from": "stage1:text", "stage1_steps": 10_000, "data.texts": 32, "train.shards": 1}


def test_the_table_of_regimes_is_that_of_its_file_and_the_recipe_is_its_last_in_1200_steps() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    for name, changes in REGIMES.items():
        (run,) = (r for r in rows if r["recipe"] == "demo" and r["changes"] == START | changes)
        of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
        percent = {key[0]: f"{100 * of[key]:.1f}" for key in of if key[0] != "language"}
        told = [f"{of['language', '', 'loss']:.2f}", f"{100 * of['same synset', 'linear probe', 'accuracy']:.1f}",
                f"{percent['image to text']}, {percent['text to image']}", percent["grounding"],
                percent["matching (name exchanged)"], percent["masked names"]]  # fmt: skip
        assert f"| {name} | {' | '.join(told)} |" in text, name
    regime = recipes.get("demo+adamw").replace(START | changes | {"train.steps": 1200})
    assert recipes.study().fingerprint == regime.fingerprint


LOSS = "language, loss (nats)"


MEASURED = (LOSS, "same synset, linear probe, accuracy", "minimal pairs, MLM, accuracy",
            "concept, pooled, linear probe, accuracy", "naming, accuracy", "image to text, ITC, R@1",
            "text to image, ITC, R@1", "grounding, acc@0.5", "matching (name exchanged), ITM, accuracy",
            "validation/pairs/imlm")  # fmt: skip


def test_the_pairs_of_runs_are_those_of_their_results() -> None:
    text = " ".join((STUDIES / "README.md").read_text("utf-8").split())
    study = Study.load(STUDIES / "insulation-exploration")
    effects = study.effects().set_index("metric")
    assert effects.loc[LOSS, "n"] == 3 and {*study.pairs()["seed"]} == {0, 1, 2}
    for name, column in {"with the stop": "mean_against", "without": "mean"}.items():
        means = [effects.loc[m, column] for m in MEASURED]
        of = [
            f"{x:.2f}" if m in (LOSS, MEASURED[-1]) else f"{100 * x:.1f}" for m, x in zip(MEASURED, means, strict=True)
        ]
        assert f"| {name} | {' | '.join([*of[:5], f'{of[5]}, {of[6]}', *of[7:]])} |" in text

    def found(metric: str, scale: float) -> list[float]:
        return [scale * x for x in effects.loc[metric, ["effect", "low", "high"]]]

    loss = effects.loc[LOSS]
    assert f"| after the warm start | {loss['step_0']:.2f} |" in text
    assert f"raises MLM by {loss['mean_against'] - loss['step_0']:.3f} nats even with the stop" in text
    assert "higher by {:.4f} nats more ({:.4f} to {:.4f},".format(*found(LOSS, 1)) in text
    effect, low, high = found(MEASURED[-1], -1)
    assert f"by {effect:.4f} nats ({high:.4f} to {low:.4f})" in text
    learnt = f"{effects.loc[LOSS, 'baseline'] - effects.loc[LOSS, 'mean_against']:.2f}"
    assert f"where {learnt} lie between the stop and the baseline" in text
    for name, metric in (("naming", MEASURED[4]), ("of several objects", "grounding (several objects), acc@0.5")):
        effect, low, high = (f"{x:+.2f}".replace("-", "−") for x in found(metric, 100))
        assert f"{name} {effect}{' points' * (name == 'naming')}, {low} to {high}" in text


def test_what_insulation_would_find_is_what_the_pairs_say() -> None:
    text = " ".join((STUDIES / "README.md").read_text("utf-8").split())
    explored, plan = Study.load(STUDIES / "insulation-exploration"), Study.load(STUDIES / "insulation").spec
    pilot = Pilot(explored.pairs(), explored.metrics(), explored.spec.configs)
    found = detectable_effects(plan, {explored.spec.name: pilot})
    loss, grounding, concept = (row for _, row in found.drop_duplicates("metric").iterrows())
    assert f"{loss['detectable']:.4f} nats of the loss (at most {loss['at_most']:.4f}," in text
    said = [f"{100 * row['detectable']:.1f}" + sep + f"({100 * row['at_most']:.1f})"
            for row, sep in ((grounding, " points of grounding "), (concept, " of the linear probe "))]  # fmt: skip
    assert " and ".join(said) in text
    gap = explored.effects().set_index("metric").loc[LOSS, "effect"]
    assert plan.margins[LOSS] == pytest.approx(gap / 5, abs=5e-4), "a fifth of the gap"
    admitted = Study.load(STUDIES / "insulation").admission()
    assert admitted["admitted"].all()


ALIGNED = {  # line of the table: metric
    "pointing game, words (equal attention": "alignment (several objects), words, pointing game",
    "mass on the box, words (": "alignment (several objects), words, mass on the box",
    "grounding (best constant box": "grounding (several objects), acc@0.5",
    "ITM, names exchanged (": "matching (name exchanged), ITM, accuracy",
    "R@1, ITC + ITM, image to text (": "image to text, ITC + ITM, R@1",
}


def test_the_functions_of_attention_are_compared_as_their_study_has_it() -> None:
    text, study = page("studies/README.md"), Study.load(STUDIES / "attention")
    effects = study.effects().set_index(["metric", "variant"])
    assert (effects["n"] == 3).all() and effects["p_min"].min() == 0.25 and not len(study.missing())
    for line, metric in ALIGNED.items():
        rows = effects.loc[metric]
        cells = [f"{100 * rows['mean_against'].iloc[0]:.1f}"]
        for row in rows.loc[["dot", "general", "additive", "cosine"]].itertuples():
            effect, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in (row.effect, row.low, row.high))
            cells.append(f"{effect} ({low} to {high})")
        assert (
            f"| {line}{' ' * (not line.endswith('('))}{100 * rows['baseline'].iloc[0]:.1f}) | {' | '.join(cells)} |"
            in text
        )
    pointing, mass = (effects.loc[metric] for metric in [*ALIGNED.values()][:2])
    points, even = [*pointing["mean"], pointing["mean_against"].iloc[0]], pointing["baseline"].iloc[0]
    levels = study.levels()
    started = (levels["level"] == "step 0") & (levels["metric"] == next(iter(ALIGNED.values())))
    began = 100 * levels.loc[started, "value"]
    said = f"in {100 * min(points):.1f} to {100 * max(points):.1f} %, where even attention has {100 * even:.1f}"
    start = f"training {began.mean():.1f} ({began.min():.0f} to {began.max():.0f} over the three seeds)"
    assert f"{said} and the start before joint {start}" in text and len(began) == 3
    times = [x / mass["baseline"].iloc[0] for x in (*mass["mean"], mass["mean_against"].iloc[0])]
    assert f"the mass there is {min(times):.1f} to {max(times):.1f} times even" in text
    shipped = find_result(xfm.load("demo").evaluate(), "alignment (several objects)", "pointing game", "words")
    assert f"the checkpoint's words point there in {100 * shipped.value:.1f} %" in text
