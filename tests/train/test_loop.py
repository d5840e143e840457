"""One step: its rate, its record, what is due after it, what it costs (--dry-run); precision, compiling and quiet."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xfm import cli, recipes
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build, weights_at
from xfm.runs import run
from xfm.train import Run, accelerator, pretrain
from xfm.train import step as module
from xfm.train.estimate import _count, _full_batch
from xfm.train.optimizer import make_optimizer, rate

FUSED = {"pairs/itm", "pairs/imlm", "regions/itm", "regions/imlm", "regions/bbp"}


def test_a_step_is_the_weighted_sum_clipped_and_the_optimizers(config, trained, tmp_path):
    changes = {"objectives.itm.start": 0.0, "objectives.itm.weight": 0.5, "train.clip": 0.3, "train.shards": 1}
    config = config.replace(changes)
    model, streams = build(config), Streams(config, trained.tokenizer())
    adamw = make_optimizer(model, config.train)
    for step, record in zip(range(2), pretrain(config, tmp_path), strict=False):
        weights = weights_at(config, step)
        losses, _ = Pretraining(model, config)(streams[step], weights, (config.seed, step))
        total = torch.stack([weights[name.split("/")[1]] * loss for name, loss in losses.items()]).sum()
        adamw.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        for group in adamw.param_groups:
            group["lr"] = rate(config.train, step) * group["scale"]
        adamw.step()
        assert record["loss"] == pytest.approx(total.item(), rel=1e-6)
        assert record["grad_norm"] == norm.item() > 0.3
        assert {name: record[name] for name in losses} == {name: loss.item() for name, loss in losses.items()}
        assert record["pairs/itm"] > 0
    state = torch.load(Run.of(config, tmp_path).folder / "state.pt", weights_only=True)
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in state["model"].items())


def test_records_and_validation_at_the_due_steps_on_the_same_batches_in_eval_mode(trained, config):
    records = trained.metrics()
    for step, record in enumerate(records):
        assert (record["run"], record["step"], record["of"]) == ("smoke", step, 12)
        assert 0 <= record["waited"] < record["seconds"]
        losses = {name for name in record if name.count("/") == 1}
        joined = {name for name in FUSED if step >= 3} | {name for name in ("pairs/mim", "images/mim") if step >= 6}
        assert losses == {"pairs/itc", "regions/itc", "texts/mlm"} | joined, "objectives join at their start"
        weights = weights_at(config, step)
        assert record["loss"] == pytest.approx(sum(weights[n.split("/")[1]] * record[n] for n in losses), rel=1e-5)
        assert all(math.isfinite(v) for v in record.values() if isinstance(v, float))
    assert 0 <= records[-1]["regions/bbp/iou"] <= 1
    held_out = [r["step"] for r in trained.metrics() if any(name.startswith("validation/") for name in r)]
    assert held_out == [5, 11], "after every 6 steps"
    model, streams = trained.model(), Streams(config, trained.tokenizer(), "validation")
    weights, total = weights_at(config, 12), {}
    with torch.no_grad():
        for i in range(module.HELD_OUT_BATCHES):
            losses, report = Pretraining(model, config).eval()(streams[12 + i], weights, (config.seed, "validation", i))
            for name, value in (losses | report).items():
                name = f"validation/{name}"
                total[name] = total.get(name, 0.0) + value.item() / module.HELD_OUT_BATCHES
    last = {name: v for name, v in trained.metrics()[-1].items() if name.startswith("validation/")}
    assert total == pytest.approx(last) and len(total) > 15, "every objective, also those that have not joined yet"


def test_saves_are_due_at_their_steps_and_at_the_end(config, tmp_path, monkeypatch):
    saved, real = [], run.Run.save
    monkeypatch.setattr(run.Run, "save", lambda self, *args: saved.append(args[2]) or real(self, *args))
    with pytest.raises(ConfigError, match=r"smoke\+text_only\+no_mlm: nothing to train"):
        next(pretrain(recipes.get("smoke+text_only+no_mlm"), tmp_path))
    changes = {"train.steps": 7, "train.save_every": 3, "train.validate_every": 0}
    for step, record in enumerate(pretrain(config.replace(changes), tmp_path)):
        metrics = Run.open(tmp_path / "smoke" / "seed0").metrics()
        assert [r["step"] for r in metrics] == [*range((step + 1) // 3 * 3 + (step == 6))]
        assert not any(name.startswith("validation") for name in record)
        record.clear()
        record["loss"] = torch.tensor(1)
    assert saved == [3, 6, 7]


def test_bf16_and_fp32_in_one_process(tmp_path):
    def train(name: str, precision: str) -> list[dict]:
        changes = {"name": name, "train.precision": precision, "train.steps": 4, "objectives.mim.start": 0.25}
        return [*pretrain(recipes.get("smoke+image_only").replace(changes), tmp_path)]

    fp32, bf16, again = train("first", "fp32"), train("second", "bf16"), train("third", "fp32")
    assert [r["loss"] for r in fp32] == [r["loss"] for r in again]
    for a, b in zip(fp32[1:], bf16[1:], strict=True):
        assert a["loss"] != b["loss"] == pytest.approx(a["loss"], rel=0.02)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=0.1)
    model = Run.open(tmp_path / "second" / "seed0").model()
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_threads_are_set_where_the_config_says_and_auto_is_bf16_only_where_the_gpu_has_it(config, monkeypatch):
    """And `accelerate launch`'s accumulation divides no gradient: how a batch is split is the config's."""
    counts, seen = [], []
    monkeypatch.setattr(torch, "set_num_threads", counts.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: counts[-1] if counts else 7)
    monkeypatch.setattr(accelerator, "_BEFORE", [])
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    for threads in (0, 2, 3, 0, 0):
        made = accelerator.make_accelerator(config.replace({"train.threads": threads}).train)
    assert counts == [2, 3, 7], "0: as before any run asked"
    assert made.gradient_accumulation_steps == 1
    monkeypatch.setattr(accelerator, "Accelerator", lambda **given: seen.append(given["mixed_precision"]))
    for cuda, native in [(False, False), (True, False), (True, True)]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native)
        accelerator.make_accelerator(config.train)
    assert seen == ["no", "no", "bf16"]


@pytest.mark.full
def test_the_end_of_the_process_saves_and_nothing_is_printed(tmp_path):
    """A script that stops in the middle of the loop, as one does with `next`."""
    script = f"""
from xfm import pretrain, recipes
records = pretrain(recipes.get("smoke").replace({{"data.workers": 1}}), {str(tmp_path)!r})
next(records), next(records)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert len(Run.open(tmp_path / "smoke" / "seed0").metrics()) == 2


@pytest.mark.full
def test_compiled_equals_eager(tmp_path, monkeypatch):
    """Traced as torch.compile does and run as traced; generating kernels takes minutes."""
    monkeypatch.setattr(module, "UNCOMPILED", ())  # on a CPU, for once
    compiled, real = [], torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(self) or real(self, backend="eager"))
    losses = []
    for on in (False, True):
        changes = {"name": f"compile {on}", "train.compile": on, "train.steps": 3, "train.validate_every": 0}
        config = recipes.get("smoke+pairs_only").replace(changes | {"objectives.itm.start": 0.0})
        losses.append([r["loss"] for r in pretrain(config, tmp_path)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(compiled) == 3
    torch.compiler.reset()


SMOKE = recipes.get("smoke")


def counted(config, step=11):
    batch = _full_batch(config, dataset(config).tokenizer())
    return _count(build(config), config, batch, step, dict.fromkeys(batch, 1.0), "no")


def computed(mask, multiple):
    """Of what a mask shows, little more: up to a round number."""
    return min(-(-int(mask.sum()) // multiple) * multiple, mask.numel())


@pytest.mark.full
def test_flops_are_the_closed_form_and_what_joins_later_costs_nothing_before():
    """Every product of the language encoder and of the head; the backward pass does each twice."""
    config = recipes.get("smoke+text_only")
    text = config.model.text
    words = _full_batch(config, dataset(config).tokenizer())["texts"].tokens
    texts, length = words.ids.shape
    tokens, width = computed(words.mask, 64), text.width
    hidden = computed(words.labels != -100, 32)
    layer = tokens * (4 * width**2 + 2 * width * text.intermediate) + 2 * texts * length * length * width
    head = hidden * (width**2 + width * text.vocabulary)
    assert counted(config)[0] == 3 * 2 * (text.depth * layer + head)
    assert counted(SMOKE, step=0)[0] < counted(SMOKE, step=5)[0] < counted(SMOKE, step=11)[0]


@pytest.mark.full
def test_a_dry_run_prints_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["pretrain", "smoke+stage1", "--dry-run", "--flow.mim-target", "frozen", "--train.keep", "5"])
    printed = capsys.readouterr().out
    assert f"{sum(p.numel() for p in build(SMOKE).parameters()):,}: vision " in printed
    assert "tokens: pairs " in printed and f"B for the weights of {-(-SMOKE.train.steps // 5)} earlier steps" in printed
    assert list(tmp_path.iterdir()) == []
