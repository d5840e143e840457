"""studies/make_watched_runs.py: kept weights are asked what the evaluation asks, and no arm is run twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import make_watched_runs as script
import numpy as np
import pytest
import torch

from xfm import Run, recipes
from xfm.model.batch import normalise
from xfm.tasks import EvalContext, evaluate
from xfm.tasks.world import language


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    root = tmp_path_factory.mktemp("runs")
    config = recipes.get("smoke").replace({"train.keep": 6, "train.probe_every": 6})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "SCENES", 12)
        patch.setattr(script, "SENTENCES", language.SENTENCES)
        return Run.of(config, root), script.watched(config, root)


@pytest.mark.full
def test_every_kept_step_is_measured_as_the_evaluation_does_and_its_probe_is_the_runs(watched: Any) -> None:
    run, arm = watched
    assert [one["step"] for one in arm["measured"]] == run.kept() == [0, 6, 12]
    assert [probe["step"] for probe in arm["probes"]] == [0, 6, 12]
    results = evaluate(run.model(), run.config, run.tokenizer(), split="validation", tasks=["mlm"])
    (loss,) = (r for r in results if r.metric == "loss (nats)" and not r.condition)
    assert arm["measured"][-1]["language"] == pytest.approx([loss.value, loss.low, loss.high], rel=1e-4)
    assert arm["measured"][0]["language"] != arm["measured"][-1]["language"]
    for ours, theirs in zip(arm["probes"], run.probes(), strict=True):
        assert ours["held_back"] == pytest.approx(theirs["held_back"], rel=1e-4)
        for name, norms in theirs["norm"].items():
            known = {module: norm for module, norm in norms.items() if norm is not None}
            assert {m: n for m, n in ours["norm"][name].items() if n is not None} == pytest.approx(known, rel=1e-4)


@pytest.mark.full
def test_guidance_is_a_mean_over_the_masks_that_hide_a_patch(watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = watched
    context = EvalContext(run.model(), run.config, run.tokenizer(), "validation")
    hidden = np.zeros(36, bool)
    hidden[[3, 4, 9, 10]] = True
    other = ~hidden
    other[3] = True
    masks = iter([hidden, other])
    monkeypatch.setattr(script, "block_mask", lambda *_: next(masks))
    monkeypatch.setattr(script, "MASKS", 2)
    with torch.no_grad():
        prediction, mean = script.guidance(context)
        image = normalise(torch.from_numpy(script.picture(context.world).image.copy()).permute(2, 0, 1)[None])
        vision: Any = context.model.vision
        (target,) = vision(image)
        first, second = (vision(image, torch.from_numpy(mask)[None])[0] for mask in (hidden, other))
    assert prediction[4] == pytest.approx(cosine(first[4], target[4]), abs=1e-5)
    assert prediction[0] == pytest.approx(cosine(second[0], target[0]), abs=1e-5)
    both = cosine(first[3], target[3]), cosine(second[3], target[3])
    assert prediction[3] == pytest.approx(sum(both) / 2, abs=1e-5) and both[0] != both[1]
    assert mean[4] == pytest.approx(cosine(target[hidden].mean(0), target[4]), abs=1e-5)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return torch.nn.functional.cosine_similarity(a, b, dim=0).item()


def test_an_arm_that_is_in_the_file_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, configs = tmp_path / "watched.json", script.configs()
    assert len({config.seed for config in configs.values()}) == 1, "the arms share a seed"
    done = {arm: {"fingerprint": config.fingerprint} for arm, config in configs.items()}
    out.write_text(json.dumps({"every": 80, "arms": done}), "utf-8")
    monkeypatch.setattr(sys, "argv", ["make_watched_runs.py", "--root", str(tmp_path / "runs"), "--out", str(out)])
    script.main()
    assert json.loads(out.read_text("utf-8"))["arms"] == done and not (tmp_path / "runs").exists()
