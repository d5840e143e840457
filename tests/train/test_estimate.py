"""What `xfm pretrain RECIPE --dry-run` counts, against closed forms."""

from __future__ import annotations

import re

import pytest

from xfm import cli, recipes
from xfm.data import dataset
from xfm.objectives import build, weights_at
from xfm.train import estimate as module
from xfm.train.estimate import _affordable, _count, _full_batch, _phases, _si, estimate, timed_steps

SMOKE = recipes.get("smoke")


def counted(config, step=11):
    batch = _full_batch(config, dataset(config).tokenizer())
    return _count(build(config), config, batch, step, dict.fromkeys(batch, 1.0), "no")


def computed(mask, multiple):
    """Of what a mask shows, little more: up to a round number."""
    return min(-(-int(mask.sum()) // multiple) * multiple, mask.numel())


def test_flops_of_masked_language_modelling_are_the_closed_form() -> None:
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


def test_streams_add_up_and_scale() -> None:
    config = SMOKE.replace({"data.regions": 0})
    batch = _full_batch(config, dataset(config).tokenizer())
    model = build(config)
    alone = [_count(model, config, {n: s}, 11, {n: 1.0}, "no") for n, s in batch.items()]
    assert counted(config) == pytest.approx([sum(column) for column in zip(*alone, strict=True)])
    doubled = _count(model, config, batch, 11, dict.fromkeys(batch, 2.0), "no")
    assert doubled == pytest.approx([2 * sum(column) for column in zip(*alone, strict=True)])
    assert all(p.grad is None for p in model.parameters())


def test_what_the_forward_pass_keeps_goes_with_the_tokens() -> None:
    """And not with the weights, which are counted once; a transformer layer keeps some dozen widths a token."""
    config = recipes.get("smoke+text_only")
    small, large = counted(config)[1], counted(config.replace({"data.texts": 8}))[1]
    both = config, config.replace({"data.texts": 8})
    tokens = [computed(_full_batch(c, dataset(c).tokenizer())["texts"].tokens.mask, 64) for c in both]
    assert large / small == pytest.approx(tokens[1] / tokens[0], rel=0.15)  # the head's logits go with masked words
    weights = 4 * sum(p.numel() for p in build(config).parameters())
    per_token = small / tokens[0] / 4 / config.model.text.width
    assert 10 < per_token / config.model.text.depth < 60 and small < 20 * weights


def test_an_objective_that_joins_later_costs_nothing_before() -> None:
    config = recipes.get("demo").replace({"train.steps": 100})
    assert _phases(config) == [30, 50, 100]
    assert counted(SMOKE, step=0)[0] < counted(SMOKE, step=5)[0] < counted(SMOKE, step=11)[0]


def test_a_part_of_the_batch_stands_for_the_whole(monkeypatch) -> None:
    config = SMOKE.replace({f"data.{s}": 16 for s in ("pairs", "regions", "images", "texts")})
    config = config.replace({"data.region_images": 8, "data.fusion_batch": 0})
    monkeypatch.setattr(module, "_timing_run", lambda some: 0.5)
    whole = estimate(config)
    assert whole.share == 1 and _affordable(config, 1.0) is config
    shuffled = recipes.get("base+gradient_shuffled")  # needs two pictures of regions
    assert _affordable(shuffled, 1e20).data.region_images == 2
    monkeypatch.setattr(module, "AFFORDABLE", 6 * sum(whole.parameters.values()) * sum(whole.tokens.values()) / 3.9)
    some = estimate(config)
    assert some.share == 1 / 4 and some.step_seconds == 4 * whole.step_seconds == 2
    assert some.tokens == whole.tokens and some.parameters == whole.parameters
    assert some.run_flops == pytest.approx(whole.run_flops, rel=0.15)
    assert some.memory == pytest.approx(whole.memory, rel=0.15)


def test_a_dry_run_prints_and_leaves_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["pretrain", "smoke+stage1", "--dry-run", "--flow.mim-target", "frozen", "--train.keep", "5"])
    printed = capsys.readouterr().out
    model = build(SMOKE)
    assert f"{sum(p.numel() for p in model.parameters()):,}: vision " in printed
    for said in (
        "tokens: pairs ",
        "FLOPs ",
        "activations ",
        "on this machine (fp32): ",
        "the mean of 20 but for those that warm up, at ",
        "stage 1, 4 steps",
        f"B for the weights of {-(-SMOKE.train.steps // 5)} earlier steps",
    ):
        assert said in printed, printed
    assert list(tmp_path.iterdir()) == []


def test_no_step_is_timed_that_may_compile(tmp_path) -> None:
    records, run = timed_steps(SMOKE, tmp_path, steps=6)
    joins = {step for step in range(1, 6) if weights_at(run.config, step) != weights_at(run.config, step - 1)}
    assert joins and [r["step"] for r in records] == [step for step in range(1, 6) if step not in joins]


def test_an_estimate_is_one_processs(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1"), monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match=r"processes = 2: must be 1 with --dry-run: run it without torchrun"):
        cli.main(["pretrain", "smoke", "--dry-run"])


def test_parts_keep_the_activations_of_one(monkeypatch) -> None:
    monkeypatch.setattr(module, "_timing_run", lambda some: 0.5)
    config = SMOKE.replace({"data.region_images": 4})
    whole, parts = (estimate(config.replace({"train.accumulate": n})).memory["activations"] for n in (1, 2))
    assert parts == pytest.approx(whole / 2)


def test_precision_halves_what_is_kept() -> None:
    batch = _full_batch(SMOKE, dataset(SMOKE).tokenizer())
    kept = {p: _count(build(SMOKE), SMOKE, batch, 11, dict.fromkeys(batch, 1.0), p)[1] for p in ("no", "bf16")}
    assert 0.4 < kept["bf16"] / kept["no"] < 1


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 "), (999, "999 "), (1230, "1.23 k"), (2.5e12, "2.5 T"), (7.3e23, "730 Z")]
)
def test_numbers_have_a_prefix(number, text) -> None:
    assert _si(number) == text


def test_what_is_trained_first_is_named_and_not_counted() -> None:
    plain, taught = (estimate(recipes.get(name)) for name in ("smoke", "smoke+text_stage1+guide_clip"))
    assert "before" not in str(plain)
    assert re.search(
        r"^before +stage 1, 4 steps and the teacher, 12 steps, where not there yet: not counted here$",
        str(taught),
        re.M,
    )
