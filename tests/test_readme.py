"""What the README claims and shows, done."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xfm
import xfm_widgets
from xfm.evaluation import Result, evaluate_run, find_result, from_json
from xfm.recipes import LEVELS, ablations
from xfm.study import Study

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(after: str) -> str:
    """The first Python block behind a heading."""
    found = re.search(r"```python\n(.*?)```", README[README.index(after) :], re.S)
    assert found
    return found[1]


@pytest.mark.parametrize("table", [ablations(), LEVELS])
def test_the_table_of_changes_is_that_of_the_recipes(table: dict) -> None:
    rows = [
        f"| `{name}` | " + ", ".join(f"`{field}` = {value!r}" for field, value in changes.items()) + " |"
        for name, changes in table.items()
    ]
    assert [line for line in README.splitlines() if line in rows] == rows


SHOWN = [  # task, condition, metric of the README's table
    ("image to text", "ITC", "R@1"),
    ("text to image", "ITC", "R@1"),
    ("image to text", "ITM re-ranked", "R@1"),
    ("text to image", "ITM re-ranked", "R@1"),
    ("matching (name exchanged)", "ITM", "accuracy"),
    ("matching (size exchanged)", "ITM", "accuracy"),
    ("matching (count exchanged)", "ITM", "accuracy"),
    ("matching (relation exchanged)", "ITM", "accuracy"),
    ("grounding", "", "acc@0.5"),
    ("grounding", "any object's box", "acc@0.5"),
    ("grounding (several objects)", "swapped phrase", "acc@0.5"),
    ("grounding (harder pictures)", "hard", "acc@0.5"),
    ("naming", "", "accuracy"),
    ("naming (unseen concepts)", "", "accuracy"),
    ("masked names", "right picture", "accuracy"),
    ("masked names", "right - wrong", "accuracy"),
    ("masked relations", "right - wrong", "accuracy"),
    ("concept", "pooled, linear probe", "accuracy"),
    ("concept (unseen concepts)", "pooled, linear probe", "accuracy"),
    ("category (unseen concepts)", "pooled, linear probe", "accuracy"),
    ("language", "", "accuracy"),
    ("lexicographer files", "linear probe", "accuracy"),
    ("lexicographer files", "bag of words", "accuracy"),
    ("hypernym", "fine-tuned", "accuracy"),
]


CHECKPOINT = [SHOWN[i] for i in (0, 1, 2, 3, 4, 7, 8, 12, 13, 14)]


def demo_rows() -> list[str]:
    """The README's rows, from the benchmark's file."""
    demo = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text())
    return rows_of(from_json(json.dumps(demo["evaluation"])), SHOWN)


def rows_of(results: list[Result], shown: list[tuple[str, str, str]]) -> list[str]:
    rows = []
    for task, condition, metric in shown:
        r = find_result(results, task, metric, condition)
        name = ", ".join(filter(None, (r.task, r.condition, r.metric)))
        baseline = "" if r.baseline is None else f"{100 * r.baseline:.1f} ({r.baseline_name})"
        rows.append(f"| {name} | {100 * r.value:.1f} | {100 * r.low:.1f} to {100 * r.high:.1f} | {baseline} | {r.n} |")
    return rows


def test_the_numbers_are_those_of_the_benchmark() -> None:
    rows = demo_rows()
    assert [line for line in README.splitlines() if line in rows] == rows


def test_the_numbers_of_the_checkpoint_are_those_of_its_evaluation() -> None:
    rows = rows_of(evaluate_run(xfm.load("demo").run.folder), CHECKPOINT)
    section = README[README.index("### The checkpoint") : README.index("## Look inside")]
    assert [line for line in section.splitlines() if line in rows] == rows


def view_rows() -> list[str]:
    """The README's rows of the attention views, from the benchmark's file."""
    measured = json.loads((ROOT / "benchmarks/results/widgets.json").read_text("utf-8"))["tokens"]
    rows = []
    for tokens in ("32", "64", "197"):
        for name, m in measured[tokens].items():
            times = ["failed"] * 3
            if "failed" not in m:
                hover, layer = (f"{m[k]:.0f}" if k in m else "" for k in ("milliseconds_hover", "milliseconds_layer"))
                times = [f"{m['seconds_first_paint']:.2f}", hover, layer]
            cells = [tokens, name, f"{m['bytes'] / 1e6:.1f}", *times, f"{m['elements']:,}" if "elements" in m else ""]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def test_the_speed_of_the_attention_view_is_that_of_the_benchmark() -> None:
    rows = view_rows()
    assert [line for line in README.splitlines() if line in rows] == rows


def test_the_effects_are_those_of_the_study() -> None:
    """Every number of the paragraph beside the figure is in the study's table, which is made of its runs."""
    paragraph = README[README.index("](studies/two-by-two) takes") : README.index("## Add a loss")].replace("\n", " ")
    effects = Study.load(ROOT / "studies/two-by-two").effects()
    primary = effects[(effects["role"] == "primary") & (effects["variant"] != "neither")]
    told = []
    for row in primary.itertuples():
        scale, digits = (1, 4) if row.unit == "nats" else (100, 2)
        size, low, high = (f"{scale * v:+.{digits}f}".replace("-", "−") for v in (row.effect, row.low, row.high))
        told.append(f"{low} to {high}")
        assert f"{low} to {high}" in paragraph, row.metric
        assert size.lstrip("+−") in paragraph
        if row.p_holm < 0.05:
            assert f"p = {row.p:.4f}, Holm {row.p_holm:.4f}" in paragraph
    assert len(told) == 6
    secondary = effects.set_index(["variant", "metric"])
    assert secondary.loc[("no_stop_gradient", "validation/pairs/imlm"), "high"] < 0
    retrieval = [m for m in effects["metric"].unique() if "R@" in m and "shuffled" not in m]
    rows = secondary.loc[[("no_guidance", m) for m in retrieval]]
    assert (
        f"of {len(rows)} secondary metrics of retrieval {(rows['low'] > 0).sum()} are better, none worse" in paragraph
    )
    assert not (rows["high"] < 0).any()
    assert (
        f"naming reaches {100 * secondary.loc[('no_guidance', 'naming, accuracy'), 'mean_against']:.2f} %" in paragraph
    )


def test_the_encoder_moves_further_without_the_stop() -> None:
    """What the paragraph says of the warm start: CKA of the last layer at the end, every seed's."""
    probes = Study.load(ROOT / "studies/two-by-two").probes()
    kept = {v: [seed[-1]["cka"]["language"][-1] for seed in probes[v]] for v in ("xfm", "no_stop_gradient")}
    assert all(a > b for a, b in zip(kept["xfm"], kept["no_stop_gradient"], strict=True))


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_five_lines(tmp_path: Path) -> None:
    source = block("## Five lines").replace('"demo+', '"smoke+').replace("500", "2")
    source = source.replace('"seed": 3', '"seed": 3, "train.warmup": 1')
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["0", "1"]


def test_looking_inside(tmp_path: Path) -> None:
    code = block("## Look inside")
    lines = code.rstrip().splitlines()
    code = "\n".join([*lines[:-1], f"figure = {lines[-1]}", "print(len(METHODS), len(figure.axes))"])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    line, counts = done.stdout.splitlines()
    assert line.startswith("generic attention: pointing game ") and counts == "18 2"


def test_seeing_and_touching(tmp_path: Path) -> None:
    code = block("## See it, touch it") + "\nprint(view.figure(), len(view.data()), view.payload.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "attention.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "CC BY-SA 4.0" in page


def test_every_view_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ", README[README.index("## See it, touch it") :], re.M)
    assert sorted(rows) == sorted(set(xfm_widgets.__all__) - {"View"})


def test_a_loss_is_a_file_and_two_lines(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "xfm", tmp_path / "xfm")
    objectives, config = tmp_path / "xfm" / "objectives", tmp_path / "xfm" / "config.py"
    (objectives / "uniformity.py").write_text(block("## Add a loss"))
    add(objectives / "__init__.py", '"bbp": BBP', ', "uniformity": Uniformity')
    add(objectives / "__init__.py", "from .mlm import MLM\n", "from .uniformity import Uniformity\n")
    add(config, "    bbp: Objective = Objective()\n", "    uniformity: Objective = Objective(weight=0.0)\n")
    script = """
from xfm import pretrain, recipes
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import table
from xfm.objectives import Pretraining
from xfm.train import Run
config = recipes.smoke().replace({"objectives.uniformity.weight": 0.1, "train.steps": 2, "train.warmup": 1})
print([record["pairs/uniformity"] for record in pretrain(config)])
run = Run.of(config, "runs")
row = table(Pretraining(run.model(), config), Streams(config, run.tokenizer())[0]).norms["uniformity"]
assert row["vision"] > 0 and row["language embeddings"] is None and row["fusion"] is None, row
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("-") >= 2  # a log of something below 1


def add(path: Path, after: str, more: str) -> None:
    source = path.read_text()
    assert source.count(after) == 1, f"{path.name} has changed: adapt the README's example"
    path.write_text(source.replace(after, after + more))


@pytest.mark.parametrize("target", ["demo", "test", "lab"])
def test_make_has_what_the_readme_calls(target: str) -> None:
    assert f"make {target}" in README
    ran = subprocess.run(["make", "-n", target], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
