"""The leaderboard: means, paired lifts and intervals of single questions' scores; randomised weights."""

import pandas as pd
import pytest
import torch
from explain.conftest import DATA, SCENE, TOKENIZER

from xfm.explain import leaderboards as module
from xfm.explain.attribution import SCORES
from xfm.explain.faithfulness import faithfulness_report
from xfm.explain.leaderboards import CHECK, Leaderboard, leaderboard, leaderboard_scenes, model_parts
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import said_once, scene_inputs

SCENES = leaderboard_scenes(DATA.world, 4)


@pytest.fixture(scope="module")
def board(model) -> Leaderboard:
    return leaderboard(model, TOKENIZER, SCENES, ["saliency", "integrated gradients"])


def value(board: Leaderboard, method: str, score: str) -> pd.Series:
    table = board.table().set_index(["method", "score"])
    return table.loc[(method, score)]


def saliency(model, i: int, scene, target: str, about: int) -> dict[str, float]:
    assert module.asked_about(scene, i, target) == about
    asked = scene_inputs(model, TOKENIZER, scene, target, about)
    return faithfulness_report(asked, attribute(asked, "saliency")).scores


@pytest.mark.full
def test_means_are_those_of_the_single_questions(model, board):
    found = [saliency(model, i, scene, "itm", i % len(scene.objects)) for i, scene in enumerate(SCENES)]
    for score in SCORES:
        row = value(board, "saliency", score)
        own = [scores[score] for scores in found]
        assert row["mean"] == pytest.approx(sum(own) / len(own), rel=1e-4, abs=1e-6), score
        assert row["n"] == 4 and row["low"] <= row["mean"] <= row["high"]


def test_a_board_of_masked_names_asks_for_objects_that_the_caption_names_once(model):
    board = leaderboard(model, TOKENIZER, SCENES, ["saliency"], "name")
    once = [[*said_once(scene)] for scene in SCENES]
    scores = [saliency(model, i, scene, "name", once[i][i % len(once[i])]) for i, scene in enumerate(SCENES)]
    found = [each["mass in mask"] for each in scores]
    assert value(board, "saliency", "mass in mask")["mean"] == pytest.approx(sum(found) / len(found), rel=1e-4)
    assert "mass on name" not in set(board.rows.score)


def test_other_processes_find_the_same(model, board):
    spread = leaderboard(model, TOKENIZER, SCENES[:2], ["saliency", "integrated gradients"], workers=2)
    here = board.rows[board.rows.scene < 2]
    timed = here.score == "milliseconds"
    assert 0 < timed.sum() < len(timed)
    pd.testing.assert_frame_equal(spread.rows[~timed], here[~timed])


def test_lifts_are_paired_by_scene(board):
    wide = board.rows.pivot(index="scene", columns=["method", "score"], values="value")
    for base in ("random", "centre"):
        lift = (wide["saliency", "mass in mask"] - wide[base, "mass in mask"]).mean()
        assert value(board, "saliency", "mass in mask")[f"over {base}, mean"] == pytest.approx(lift)
    assert value(board, "random", "mass in mask")["over random, high"] == 0


def test_baselines_do_not_know_the_weights_and_methods_do(board):
    assert value(board, "centre", CHECK[0])["mean"] == pytest.approx(1)
    assert value(board, "saliency", CHECK[0])["mean"] < 0.9
    assert value(board, "integrated gradients", "completeness gap")["mean"] < 1e-3


def test_markdown_has_every_method_once_and_the_best_in_bold():
    scores = {"mass in mask": {"random": 0.2, "saliency": 0.6, "rollout": 0.4},
              "infidelity": {"random": 0.9, "saliency": 0.5, "rollout": 0.3}}  # fmt: skip
    rows = [(s, m, score, v) for score, values in scores.items() for s in (0, 1) for m, v in values.items()]
    made = Leaderboard(pd.DataFrame(rows, columns=["scene", "method", "score", "value"]))
    lines = made.markdown().splitlines()
    assert lines[0] == "| method | mass in mask | infidelity |"
    assert lines[2:] == ["| random | 0.20 | 0.90 |", "| saliency | **0.60** | 0.50 |", "| rollout | 0.40 | **0.30** |"]


def test_parts_are_all_of_the_model_from_the_target_down(model):
    parts = model_parts(model)
    assert [*parts] == ["heads", "fusion layer 0", "encoders' layer 1", "encoders' layer 0", "embeddings"]
    names = [name for own in parts.values() for name in own]
    assert len(names) == len(set(names)) and set(names) == set(model.state_dict())


def test_attributions_change_with_the_weights_that_they_are_of(model):
    def make(other):
        return scene_inputs(other, TOKENIZER, SCENE, about=0)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = module.randomise_weights(make, model, "rollout")
    assert rows[0].image == pytest.approx(1) and rows[0].text == pytest.approx(1)  # attention does not know the heads
    assert rows[-1].image < 0.9
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for row in module.randomise_weights(make, model, "edges"):
        assert row.image == pytest.approx(1)  # it does not know the model at all
