"""Warm starts: stage 1 trained once for all variants of a seed, or another run; a frozen target that stays."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from train.conftest import copied, equal, left, vouch

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import gradient_table
from xfm.model.batch import normalise
from xfm.objectives import Pretraining, build
from xfm.recipes import prior_runs
from xfm.train import Run, RunError, prepare, pretrain
from xfm.train.prepare import mim_teacher
from xfm.train.requirements import teaching_run

STAGE1 = ("vision.", "text.", "objectives.mlm.")


def get(recipe: str, **changes) -> RunConfig:
    return recipes.get(recipe).replace({"train.steps": 6, "train.save_every": 2, "stage1_steps": 2} | changes)


@pytest.fixture(scope="module")
def root(once):
    config = get("smoke+stage1")
    return once("warm", lambda root: (root / "records.json").write_text(json.dumps([*pretrain(config, root)])))


@pytest.fixture(scope="module")
def run(root):
    return Run.of(get("smoke+stage1"), root)


@pytest.fixture(scope="module")
def stage1(root):
    return Run.of(prior_runs.stage1(get("smoke+stage1")), root)


def starts_from(run: Run, source: Run, brought: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The run's first weights: those of the source where it brings them, else as they are drawn."""
    init, weights = load_file(run.folder / "init.safetensors"), load_file(source.folder / "model.safetensors")
    fresh = build(run.config).state_dict()
    assert init.keys() == fresh.keys() and any(name.startswith(brought) for name in init)
    assert all(torch.equal(t, weights[n] if n.startswith(brought) else fresh[n]) for n, t in init.items())
    assert not torch.equal(init["text.word.weight"], fresh["text.word.weight"]), "the source has learnt"
    return init


def test_stage_1_comes_first_and_the_run_starts_from_it_and_a_fresh_rest(root, run, stage1):
    assert stage1.config.name.startswith("smoke.stage1-") and stage1.done
    steps = [(r["run"], r["step"], r["of"]) for r in json.loads((root / "records.json").read_text("utf-8"))]
    assert steps == [(stage1.config.name, i, 2) for i in range(2)] + [("smoke+stage1", i, 6) for i in range(6)]
    assert {name.split("/")[1] for name in stage1.metrics()[0] if name.count("/") == 1} == {"mlm", "mim"}
    init = starts_from(run, stage1, STAGE1)
    assert (run.folder / "tokenizer.json").read_bytes() == (stage1.folder / "tokenizer.json").read_bytes()
    model = build(run.config)
    model.load_state_dict(init)
    losses, _ = Pretraining(model, run.config)(Streams(run.config, run.tokenizer())[0], ("mlm",), (0, 0))
    assert losses["texts/mlm"].item() == run.metrics()[0]["texts/mlm"], "the first step is of those weights"


def test_stage_1_is_of_what_it_trains_alone():
    """As many parts as its own batch has pairs of items, and nothing kept nor probed."""
    sizes = {f"data.{n}": 256 for n in ("pairs", "regions", "region_images", "images", "texts")}
    many = get("smoke+stage1", **sizes, **{"data.fusion_batch": 0, "train.shards": 1, "train.accumulate": 64})
    assert prior_runs.stage1(many).train.accumulate == 32 and prior_runs.stage1(many).data.texts == 64
    config = get("smoke+stage1")
    seen = prior_runs.stage1(config.replace({"train.keep": 2, "train.probe_every": 2}))
    assert seen == prior_runs.stage1(config) and (seen.train.keep, seen.train.probe_every) == (0, 0)


def test_a_stage_1_of_texts_trains_the_language_encoder_alone(tmp_path):
    config = get("smoke+text_stage1", **{"train.steps": 1})
    [*pretrain(config, tmp_path)]
    stage1 = Run.of(prior_runs.stage1(config), tmp_path)
    starts_from(Run.of(config, tmp_path), stage1, ("text.", "objectives.mlm."))


@pytest.mark.full
def test_a_frozen_target_stays_what_it_was(tmp_path, monkeypatch, assert_same):
    """Through a resume, and without the folder that it came from."""
    config = get("smoke+stage1+no_guidance", **{"model.vision.drop_path": 0.5, "objectives.mim.start": 0.0})
    targets, frozen = [], prepare.mim_teacher
    pictures = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))

    def watched(run, device):
        if (function := frozen(run, device)) is None:  # of stage 1
            return None
        encoder = function.__wrapped__.__self__

        def teacher(x):
            assert not encoder.training
            targets.append((function(pictures), encoder.state_dict()))
            return function(x)

        return teacher

    monkeypatch.setattr(prepare, "mim_teacher", watched)
    run = left(config, tmp_path, 2)
    shutil.rmtree(Run.of(prior_runs.stage1(config), tmp_path).folder.parent)
    whole = [*pretrain(config, tmp_path)]
    assert [r["step"] for r in whole] == [3, 4, 5], "without training stage 1 again"
    init = load_file(run.folder / "init.safetensors")
    assert len(targets) >= 12
    assert all(torch.equal(tokens, targets[0][0]) for tokens, _ in targets)
    for _, weights in targets:
        assert all(torch.equal(w, init[f"vision.{n}"]) for n, w in weights.items())
    moved = load_file(run.folder / "model.safetensors")
    assert not torch.equal(moved["vision.blocks.0.mlp.fc1.weight"], init["vision.blocks.0.mlp.fc1.weight"])

    assert_same(left(config, tmp_path / "uninterrupted", 6).folder, run.folder)


def test_a_frozen_target_without_its_weights_is_refused(tmp_path):
    config = get("smoke+stage1+no_guidance")
    folder = left(config, tmp_path, 0).folder
    init, state = (folder / "init.safetensors").read_bytes(), (folder / "state.pt").read_bytes()
    (folder / "init.safetensors").unlink()
    with pytest.raises(RunError, match=r"init.safetensors: not there.* Put it back, or delete state.pt too"):
        next(pretrain(config, tmp_path))
    (folder / "init.safetensors").write_bytes(init[:1000])
    for said in ("is not the file that was saved here", "no readable safetensors file"):
        with pytest.raises(RunError, match=f"init.safetensors: {said}"):
            next(pretrain(config, tmp_path))
        vouch(Run(folder, config))
    assert (folder / "state.pt").read_bytes() == state


@pytest.mark.full
def test_a_run_brings_everything_and_its_tokenizer_and_only_another_targets_head_starts_fresh(run, tmp_path):
    source = tmp_path / "source" / "seed0"
    shutil.copytree(run.folder, source)
    tree = json.loads((source / "tokenizer.json").read_text())
    vocabulary = tree["model"]["vocab"]
    a, b = [word for word in vocabulary if word[1:].isalpha() and word.isascii()][-2:]
    vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]  # the same size, other words
    (source / "tokenizer.json").write_text(json.dumps(tree))
    vouch(Run(source, run.config))
    config = get("smoke", name="onwards", init_from=str(source))
    onwards = left(config, tmp_path, 1)
    shutil.rmtree(source)
    weights = load_file(run.folder / "model.safetensors")
    assert equal(load_file(onwards.folder / "init.safetensors"), weights)
    assert [r["step"] for r in pretrain(config, tmp_path)] == [2, 3, 4, 5]
    theirs, ours = run.tokenizer().backend, onwards.tokenizer().backend
    assert [theirs.token_to_id(a), theirs.token_to_id(b)] == [ours.token_to_id(b), ours.token_to_id(a)]
    config = get("smoke+pixels", init_from=str(run.folder))
    next(pretrain(config, tmp_path))
    init, fresh = load_file(Run.of(config, tmp_path).folder / "init.safetensors"), build(config).state_dict()
    assert {n for n in init if n not in weights} == {"objectives.mim.head.weight", "objectives.mim.head.bias"}
    assert all(torch.equal(t, weights[n] if n in weights else fresh[n]) for n, t in init.items())


def test_sources_that_do_not_serve(run, tmp_path):
    next(pretrain(unfinished := get("smoke", name="unfinished"), tmp_path))
    for i, (source, changes, said) in enumerate((
        (run.folder, {"model.text.width": 48}, r"model.safetensors: text\.\S+ has \(32,\), this model needs \(48,\)"),
        (tmp_path / "nowhere", {}, "no run here"),
        (Run.of(unfinished, tmp_path).folder, {}, "unfinished run; finish it first"),
    )):  # fmt: skip
        config = get("smoke", name=f"from{i}", init_from=str(source), **changes)
        with pytest.raises(RunError, match=said):
            next(pretrain(config, tmp_path))
        assert not (Run.of(config, tmp_path).folder / "init.safetensors").exists()


@pytest.mark.parametrize(("source", "field"), [("text_only", "mim_target"), ("image_only", "mlm_distillation"),
                                               ("image_only", "l2sp")])  # fmt: skip
def test_what_a_run_never_learnt_is_not_held_on_to(source, field, tmp_path):
    begun = recipes.get(f"smoke+{source}").replace({"train.steps": 1, "train.warmup": 0, "train.validate_every": 0})
    [*pretrain(begun, tmp_path)]
    begins = {"init_from": str(Run.of(begun, tmp_path).folder), f"flow.{field}": "frozen" if "mim" in field else 0.01}
    config = get("smoke", name="holds", **begins)
    with pytest.raises(ConfigError, match=f"what flow.{field} holds to was never trained; name another run"):
        next(pretrain(config, tmp_path))
    assert not Run.of(config, tmp_path).folder.exists()


SHORT = {"train.steps": 3, "train.warmup": 1, "train.save_every": 1, "train.validate_every": 0, "stage1_steps": 2}
CPU = torch.device("cpu")


def short(recipe: str, **changes: Any) -> RunConfig:
    config = recipes.get(recipe)
    start = {f"objectives.{o}.start": 0.0 for o in config.objectives}
    return config.replace(SHORT | start | {n.replace("__", "."): v for n, v in changes.items()})


def taught(teacher: Path | str, **changes: Any) -> RunConfig:
    return short("smoke", **{"name": "taught", "flow__mim_target": "teacher", "flow__teacher": str(teacher)} | changes)


def by_own(teacher: str = "+clip_like", recipe: str = "smoke+guide_clip", **changes: Any) -> RunConfig:
    return short(recipe, flow__teacher=teacher, **changes)


@pytest.fixture(scope="module", params=["smoke+clip_like", "smoke+beit_like"])
def teacher(request, tmp_path_factory):
    same = {"model__vision": recipes.smoke().model.vision} if "beit" in request.param else {}  # else it is wider
    config = short(request.param, **same)
    return left(config, tmp_path_factory.mktemp("teachers"), config.train.steps)


def test_masked_patches_predict_the_runs_own_tokens(teacher, tmp_path):
    config = taught(teacher.folder)
    batch = Streams(config, teacher.tokenizer(), "validation")[2]
    tokens = mim_teacher(Run(tmp_path, config), CPU)
    pictures = normalise(batch["images"].image)  # type: ignore[union-attr]
    with torch.no_grad():
        expected = teacher.model().vision(pictures)
    assert tokens is not None and torch.equal(tokens(pictures), expected) and not tokens(pictures).requires_grad
    training = Pretraining(build(config), config, tokens)
    assert torch.equal(training.flow(batch, "images", ("mim",), (0, 0)).mim_target.patches, expected)
    norms = gradient_table(training, batch).norms["mim"]
    assert norms["MIM head"] and norms["vision"]


@pytest.mark.full
def test_a_taught_run_trains_resumes_and_opens_without_its_teacher(teacher, tmp_path):
    own = copied(teacher, tmp_path / "own")
    config = taught(own.folder, train__steps=4)
    runs = [left(config, tmp_path / "stopped", 0), left(config, tmp_path / "whole", 4)]
    assert runs[0].metrics()[0]["pairs/mim"] == runs[1].metrics()[0]["pairs/mim"]
    left(config, tmp_path / "stopped", 4)
    assert (own.folder / "model.safetensors").read_bytes() == (teacher.folder / "model.safetensors").read_bytes()
    shutil.rmtree(own.folder)
    assert equal(*(run.model().state_dict() for run in runs))


@pytest.mark.full
def test_it_is_trained_once_after_a_warm_start_and_again_where_it_is_gone(tmp_path):
    """On the same batches; its outputs are the target."""
    config = by_own(recipe="smoke+stage1+guide_clip")
    names = [record["run"] for record in pretrain(config, tmp_path)]
    start, teacher = prior_runs.stage1(config).name, Run.of(prior_runs.teacher(config), tmp_path)
    name, weights = teacher.config.name, teacher.folder / "model.safetensors"
    assert names == [start] * 2 + [name] * 3 + [config.name] * 3 and teacher.done
    tokens, pictures = mim_teacher(Run.of(config, tmp_path), CPU), torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(tokens(pictures), teacher.model().vision(pictures))
    theirs, ours = (Streams(each, Run.of(each, tmp_path).tokenizer())[1]["pairs"] for each in (teacher.config, config))
    assert torch.equal(theirs.image, ours.image) and torch.equal(theirs.tokens.ids, ours.tokens.ids)
    stamp = weights.stat().st_mtime_ns
    left(by_own(recipe="smoke+stage1+guide_clip", objectives__mim__weight=2.0, name="heavier"), tmp_path, 0)
    assert weights.stat().st_mtime_ns == stamp
    resumed = config.replace({"name": "smoke+resumed"})
    left(resumed, tmp_path, 0)
    shutil.rmtree(tmp_path / name)
    assert [record["run"] for record in pretrain(resumed, tmp_path)] == [name] * 3 + ["smoke+resumed"] * 2
    assert equal(*(Run.of(each, tmp_path).model().state_dict() for each in (config, resumed)))


def test_what_tells_targets_and_warm_starts_apart_does_not_change_it():
    same = ({"objectives__mim__weight": 3.0}, {"flow__standardise_target": False}, {"flow__text_gradient__itm": 1.0},
            {"init_from": "stage1"}, {"train__probe_every": 1})  # fmt: skip
    made = [prior_runs.teacher(by_own(**changes)) for changes in ({}, *same)]
    assert len({(config.name, config.fingerprint) for config in made}) == 1
    assert prior_runs.teacher(by_own(seed=1)).fingerprint != made[0].fingerprint


def test_what_cannot_teach_is_refused_before_there_is_a_folder(teacher, tmp_path):
    unfinished, words = copied(teacher, tmp_path / "unfinished"), left(short("smoke+bert_like"), tmp_path, 3)
    (unfinished.folder / "DONE").unlink()
    for config, why in (
        (taught(tmp_path / "nothing"), "no run here"),
        (taught(unfinished.folder), "not finished"),
        (taught(words.folder), "its vision encoder was never trained; .* are mlm"),
        (taught(teacher.folder, model__vision__image_size=64), r"model\.vision\.image_size is 48; must be 64"),
        (by_own("+clip_lik"), "change 'clip_lik' is unknown; did you mean 'clip_like'"),
        (by_own("+beit_like"), r"flow\.teacher = '\+beit_like': its model\.vision\.width is \d+; must be 32"),
        (by_own("+guide_frozen"), r"flow\.mim_target = 'frozen': must be used with a warm start"),
    ):
        with pytest.raises(ConfigError, match=why):
            list(pretrain(config, tmp_path / "students"))
        assert not (tmp_path / "students").exists()


def test_without_mim_there_is_no_teacher_and_an_unfinished_one_is_none(tmp_path):
    config = by_own("+clip_lik", objectives__mim__weight=0.0)
    assert {record["run"] for record in pretrain(config, tmp_path)} == {config.name}
    left(prior_runs.teacher(by_own()), tmp_path, 0)
    with pytest.raises(ConfigError, match=re.escape("flow.teacher = '+clip_like': not finished")):
        teaching_run(by_own(), tmp_path)
