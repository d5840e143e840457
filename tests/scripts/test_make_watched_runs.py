"""studies/make_watched_runs.py: kept weights are asked what the evaluation asks, and no arm is run twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import make_watched_runs as script
import pytest

from xfm import Run, recipes
from xfm.tasks import evaluate
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
    results = evaluate(run.model(), run.config, run.tokenizer(), split="validation", tasks=["mlm"])
    (loss,) = (r for r in results if r.metric == "loss (nats)" and not r.condition)
    assert arm["measured"][-1]["language"] == pytest.approx([loss.value, loss.low, loss.high], rel=1e-4)
    for ours, theirs in zip(arm["probes"], run.probes(), strict=True):
        assert ours["step"] == theirs["step"] and ours["held_back"] == pytest.approx(theirs["held_back"], rel=1e-4)
        for name, norms in theirs["norm"].items():
            known = {module: norm for module, norm in norms.items() if norm is not None}
            assert {m: n for m, n in ours["norm"][name].items() if n is not None} == pytest.approx(known, rel=1e-4)


def test_an_arm_that_is_in_the_file_is_not_run_again(tmp_path: Path) -> None:
    out, configs = tmp_path / "watched.json", script.configs()
    assert len({config.seed for config in configs.values()}) == 1, "the arms share a seed"
    done = {arm: {"fingerprint": config.fingerprint} for arm, config in configs.items()}
    out.write_text(json.dumps({"every": 80, "arms": done}), "utf-8")
    script.main(root=tmp_path / "runs", out=out)
    assert json.loads(out.read_text("utf-8"))["arms"] == done and not (tmp_path / "runs").exists()
