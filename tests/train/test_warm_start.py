"""Warm starts: stage 1 trained once for all variants of a seed, or another run; a frozen target that stays."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from train.conftest import equal, left, vouch

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build
from xfm.recipes import prior_runs
from xfm.train import Run, RunError, prepare, pretrain

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
