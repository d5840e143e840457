"""Ablated heads, removed parts and patched states: against the model computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from xfm import recipes
from xfm.config_utils import ConfigError
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.explain import interventions
from xfm.explain.inputs import make_inputs, scene_inputs
from xfm.explain.patching import activation_patching
from xfm.explain.targets import model_outputs
from xfm.model.modes import eval_mode

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
WORDS = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 2)
CROSS = "fusion.layers.0.cross"


@pytest.fixture(scope="module")
def model(sharpened):
    return sharpened


@pytest.fixture(scope="module")
def question(model):
    return scene_inputs(model, WORDS, SCENE)


def test_a_zeroed_head_is_zero_weights_of_the_projection(model, question):
    width = CONFIG.model.text.width // CONFIG.model.text.heads
    with eval_mode(model), interventions.ablate_heads(model, [(CROSS, 1)]):
        found = question.score()
    out = model.get_submodule(CROSS).out.weight
    kept = out.detach().clone()
    with torch.no_grad():
        out[:, width : 2 * width] = 0
        with eval_mode(model):
            expected = question.score()
        out.copy_(kept)
    with eval_mode(model):
        assert found == pytest.approx(expected, abs=1e-6) and abs(found - question.score()) > 1e-4


def test_a_mean_head_says_the_same_to_every_token(model, question):
    seen = []
    hook = model.get_submodule(CROSS).out.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with eval_mode(model):
        question.score()
        before = len(seen)
        hook.remove()
        with interventions.ablate_heads(model, [(CROSS, 0)], "mean"):
            hook = model.get_submodule(CROSS).out.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
            question.score()
            hook.remove()
    plain, ablated = seen[before - 1][0], seen[-1][0]
    half = CONFIG.model.text.width // 2
    torch.testing.assert_close(ablated[:, :half], plain[:, :half].mean(0).expand_as(ablated[:, :half]))
    assert torch.equal(ablated[:, half:], plain[:, half:])


def test_all_heads_without_cross_attention_see_no_picture(model):
    heads = [(CROSS, h) for h in range(CONFIG.model.text.heads)]
    pictures = [DATA.world.scene("test", i).image for i in (1, 2)]
    asked = [make_inputs(model, WORDS, image, "a lion") for image in pictures]
    with eval_mode(model):
        assert asked[0].score() != pytest.approx(asked[1].score(), abs=1e-5)
        with interventions.ablate_heads(model, heads):
            assert asked[0].score() == pytest.approx(asked[1].score(), abs=1e-6)
        assert asked[0].score() != pytest.approx(asked[1].score(), abs=1e-5)  # and it is over


def test_every_head_is_measured_both_ways(model, question):
    other = scene_inputs(model, WORDS, DATA.world.scene("test", 5))
    found = interventions.head_importance([question, other])
    layers = {"language": CONFIG.model.text.depth, "vision": CONFIG.model.vision.depth, "fusion": 1, "cross": 1}
    assert found.frame.groupby("place").size().to_dict() == {p: n * 2 for p, n in layers.items()}
    row = found.frame.query("place == 'cross' and head == 1").iloc[0]
    changes = []
    with eval_mode(model):
        for asked in (question, other):
            before = asked.score()
            with interventions.ablate_heads(model, [(CROSS, 1)]):
                changes.append(abs(asked.score() - before))
    assert row["ablation"] == pytest.approx(sum(changes) / 2, abs=1e-6)
    assert found.frame[["ablation", "attention x gradient"]].gt(0).all(axis=None)
    assert found.agreement("ablation", "ablation") == pytest.approx(1)
    assert -1 <= found.agreement() <= 1


def test_parts_of_the_input_are_taken_away(model, question):
    whole = torch.ones(len(question.patches), dtype=torch.bool)
    changes = interventions.removal_effects(question, whole)
    assert set(changes) == {"itm", "itc", "box x", "box y", "box width", "box height"}
    with eval_mode(model):
        masked = model.vision(question.patches.new_zeros(1, 3, 48, 48), whole[None])
        text = model.text.encode(question.pieces[None], torch.ones(1, len(question.pieces), dtype=torch.bool))
        expected = model_outputs(model, text, masked).itm.item() - question.score()
    assert changes["itm"] == pytest.approx(expected, abs=1e-5)
    word = question.words.words[-1]
    changed = interventions.removal_effects(question, words=[word])
    assert changed["itm"] != 0 and interventions.removal_effects(question)["itm"] == 0
    with pytest.raises(ConfigError, match="word = 'lyon'"):
        interventions.removal_effects(question, words=["lyon"])
    with pytest.raises(ConfigError, match=r"patches.shape = \(3,\)"):
        interventions.removal_effects(question, whole[:3])


def test_what_ablated_heads_do_to_every_objective(model):
    batch = Streams(CONFIG, WORDS)[0]
    found = interventions.objective_effects(model, CONFIG, batch, [("text.layers.0.attention", 0)])
    changed = found["before"] != found["after"]
    assert changed["texts/mlm"] and changed["pairs/itc"] and not changed["images/mim"]


def test_states_of_the_clean_input_restore_its_answer(model):
    a, b = DATA.world.scene("test", 1), DATA.world.scene("test", 2)
    clean, corrupt = (make_inputs(model, WORDS, image, a.caption.text) for image in (a.image, b.image))
    found = {p.place: p for p in activation_patching(clean, corrupt, "*")}
    whole = found["vision.norm"]
    assert whole.clean == pytest.approx(whole.patched, abs=1e-5) and whole.restored == pytest.approx(1, abs=1e-3)
    assert found["text.layers.1"].restored == pytest.approx(0, abs=1e-4)  # the texts do not differ
    assert found["fusion.layers.0"].restored == pytest.approx(1, abs=1e-3)
    assert found["vision.blocks.0.attention"].restored != 0
    nowhere = activation_patching(clean, corrupt, "vision.norm", tokens=[])[0]
    assert nowhere.restored == pytest.approx(0, abs=1e-6)
    (same,) = activation_patching(clean, clean, "vision.norm")
    assert math.isnan(same.restored)
    some = activation_patching(clean, corrupt, "vision.norm", tokens=[3, 4])[0]
    assert some.patched not in (pytest.approx(some.clean), pytest.approx(some.corrupt))


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ([("fusion.layers.0.cros", 0)], "no attention 'fusion.layers.0.cros'; did you mean 'fusion.layers.0.cross'"),
        ([(CROSS, 2)], "head of fusion.layers.0.cross = 2: must be 0 to 1"),
    ],
)
def test_heads_that_are_not_there(model, heads, said):
    with pytest.raises(ConfigError, match=said), interventions.ablate_heads(model, heads):
        pass


def test_places_that_are_not_there(model, question):
    with pytest.raises(ConfigError, match=r"pattern = 'fusion.layers.7': fits no module; did you mean"):
        activation_patching(question, question, "fusion.layers.7")
    with pytest.raises(ConfigError, match=r"tokens = .99.: must be of vision.norm: 0 to 35"):
        activation_patching(question, question, "vision.norm", [99])
    longer = make_inputs(model, WORDS, SCENE.image, SCENE.caption.text + " and a lion")
    with pytest.raises(ConfigError, match="of the corrupt one's shape"):
        activation_patching(question, longer, "text.layers.0")
