"""What `xfm pretrain RECIPE --dry-run` counts, against closed forms."""

import re

import pytest

from xfm import cli, recipes
from xfm.data import dataset
from xfm.objectives import build, weights_at
from xfm.train import estimate as module
from xfm.train.estimate import _affordable, _count, _full_batch, _phases, estimate, timed_steps

SMOKE = recipes.get("smoke")


def counted(config, step=11):
    batch = _full_batch(config, dataset(config).tokenizer())
    return _count(build(config), config, batch, step, dict.fromkeys(batch, 1.0), "no")


def computed(mask, multiple):
    """Of what a mask shows, little more: up to a round number."""
    return min(-(-int(mask.sum()) // multiple) * multiple, mask.numel())


def test_flops_are_the_closed_form_streams_add_up_and_what_joins_later_costs_nothing_before():
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
    config = SMOKE.replace({"data.regions": 0})
    batch, model = _full_batch(config, dataset(config).tokenizer()), build(config)
    alone = [_count(model, config, {n: s}, 11, {n: 1.0}, "no") for n, s in batch.items()]
    total = [sum(column) for column in zip(*alone, strict=True)]
    assert counted(config) == pytest.approx(total)
    assert _count(model, config, batch, 11, dict.fromkeys(batch, 2.0), "no") == pytest.approx([2 * n for n in total])
    assert all(p.grad is None for p in model.parameters())
    narrow = _count(model, config, batch, 11, dict.fromkeys(batch, 1.0), "bf16")
    assert 0.4 < narrow[1] / total[1] < 1
    config = recipes.get("demo").replace({"train.steps": 100})
    assert _phases(config) == [30, 50, 100]
    assert counted(SMOKE, step=0)[0] < counted(SMOKE, step=5)[0] < counted(SMOKE, step=11)[0]


def test_a_dry_run_prints_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["pretrain", "smoke+stage1", "--dry-run", "--flow.mim-target", "frozen", "--train.keep", "5"])
    printed = capsys.readouterr().out
    assert f"{sum(p.numel() for p in build(SMOKE).parameters()):,}: vision " in printed
    said = ("tokens: pairs ", "FLOPs ", "activations ", "on this machine (fp32): ", "stage 1, 4 steps",
            "the mean of 20 but for those that warm up, at ",
            f"B for the weights of {-(-SMOKE.train.steps // 5)} earlier steps")  # fmt: skip
    assert not [one for one in said if one not in printed], printed
    assert list(tmp_path.iterdir()) == []


def test_no_step_is_timed_that_may_compile(tmp_path):
    records, run = timed_steps(SMOKE, tmp_path, steps=6)
    joins = {step for step in range(1, 6) if weights_at(run.config, step) != weights_at(run.config, step - 1)}
    assert joins and [r["step"] for r in records] == [step for step in range(1, 6) if step not in joins]


def test_a_part_of_the_batch_stands_for_the_whole_and_keeps_its_own_activations(monkeypatch):
    config = SMOKE.replace({f"data.{s}": 16 for s in ("pairs", "regions", "images", "texts")})
    config = config.replace({"data.region_images": 8, "data.fusion_batch": 0})
    monkeypatch.setattr(module, "_timing_run", lambda some: 0.5)
    whole = estimate(config)
    assert whole.share == 1 and _affordable(config, 1.0) is config
    in_two = estimate(config.replace({"train.accumulate": 2})).memory["activations"]
    assert in_two == pytest.approx(whole.memory["activations"] / 2)
    shuffled = recipes.get("base+gradient_shuffled")  # needs two pictures of regions
    assert _affordable(shuffled, 1e20).data.region_images == 2
    monkeypatch.setattr(module, "AFFORDABLE", 6 * sum(whole.parameters.values()) * sum(whole.tokens.values()) / 3.9)
    some = estimate(config)
    assert some.share == 1 / 4 and some.step_seconds == 4 * whole.step_seconds == 2
    assert some.tokens == whole.tokens and some.parameters == whole.parameters
    assert some.run_flops == pytest.approx(whole.run_flops, rel=0.15)
    assert some.memory == pytest.approx(whole.memory, rel=0.15)


def test_what_is_trained_first_is_not_counted_and_an_estimate_is_one_processs(monkeypatch):
    monkeypatch.setattr(module, "_timing_run", lambda some: 0.5)
    plain, taught = (str(estimate(recipes.get(name))) for name in ("smoke", "smoke+text_stage1+guide_clip"))
    first = "stage 1, 4 steps and the teacher, 12 steps, where not there yet: not counted here"
    assert "before" not in plain and re.search(rf"^before +{first}$", taught, re.M)
    monkeypatch.setenv("RANK", "1"), monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match=r"processes = 2: must be 1 with --dry-run: run it without torchrun"):
        cli.main(["pretrain", "smoke", "--dry-run"])
