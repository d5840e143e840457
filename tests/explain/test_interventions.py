"""Ablated heads, removed parts and patched states: against the model computed by hand."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER

from xfm.base.fields import ConfigError
from xfm.explain import interventions
from xfm.explain.interventions import activation_patching
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.targets import ITC, model_outputs
from xfm.model.modes import eval_mode

CROSS = "fusion.layers.0.cross"
WIDTH = CONFIG.model.text.width // CONFIG.model.text.heads


def test_every_head_is_measured_by_its_ablation_and_by_the_slope_along_its_output(model):
    """Michel et al. (2019): |output . gradient| is how the target changes as the head is scaled, here by differences."""
    double = copy.deepcopy(model).double()
    asked = [scene_inputs(double, TOKENIZER, DATA.world.scene("test", i)) for i in (3, 5)]
    found = interventions.head_importance(asked)
    rows = found.frame.set_index(["place", "layer", "head"])
    assert len(found.heads) == len(rows) == 2 * (CONFIG.model.text.depth + CONFIG.model.vision.depth + 2)
    assert rows[["ablation", "attention x gradient"]].gt(0).all(axis=None)
    for (place, layer, head), name in (
        (("cross", 0, 0), CROSS), (("cross", 0, 1), CROSS), (("language", 0, 1), "text.layers.0.attention"),
    ):  # fmt: skip
        weight, scores = double.get_submodule(name).out.weight, []
        own, whole = slice(head * WIDTH, (head + 1) * WIDTH), weight.detach().clone()
        with torch.no_grad(), eval_mode(double):
            for factor in (1.01, 0.99, 0, 1):
                weight[:, own] = whole[:, own] * factor
                scores.append(torch.tensor([each.score() for each in asked], dtype=torch.double))
        more, less, without, before = scores
        row = rows.loc[place, layer, head]
        assert row["attention x gradient"] == pytest.approx((more - less).abs().mean().item() / 0.02, rel=1e-3)
        assert row["ablation"] == pytest.approx((without - before).abs().mean().item(), abs=1e-6)
        assert found.heads[rows.index.get_loc((place, layer, head))] == (name, head)


def test_a_mean_head_says_the_same_to_every_token(model, inputs):
    out, seen = model.get_submodule(CROSS).out, []
    hook = out.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with eval_mode(model):
        inputs.score()
        mixed = seen[-1][0].clone()
        with interventions.ablate_heads(model, [(CROSS, 0)], "mean"):
            inputs.score()
    hook.remove()
    mixed[:, :, :WIDTH] = mixed[:, :, :WIDTH].mean(1, keepdim=True)
    torch.testing.assert_close(seen[-1][1], torch.nn.functional.linear(mixed, out.weight, out.bias))


def test_a_head_of_packed_texts_is_the_same_head(model):
    """A training pass packs texts of several lengths into one row of tokens."""
    encoded = [TOKENIZER.encode(text, 16) for text in ("a lion", "a small lion to the left of a dog")]
    ids, mask = TOKENIZER.pad(encoded)
    with torch.no_grad(), interventions.ablate_heads(model, [("text.layers.0.attention", 1)]):
        packed = model.train().text(ids, mask)[mask]
        model.eval()
        alone = [model.text(torch.tensor([one]), torch.ones(1, len(one), dtype=torch.bool))[0] for one in encoded]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_parts_of_the_input_are_taken_away(model, inputs):
    whole = torch.ones(len(inputs.patches), dtype=torch.bool)
    changes = interventions.removal_effects(inputs, whole)
    assert set(changes) == {"itm", "itc", "box x", "box y", "box width", "box height"}
    with eval_mode(model):
        masked = model.vision(inputs.patches.new_zeros(1, 3, 48, 48), whole[None])
        text = model.text.encode(inputs.pieces[None], torch.ones(1, len(inputs.pieces), dtype=torch.bool))
        expected = model_outputs(model, text, masked).itm.item() - inputs.score()
    assert changes["itm"] == pytest.approx(expected, abs=1e-5)
    assert changes == pytest.approx(interventions.removal_effects(replace(inputs, target=ITC), whole), abs=1e-5)
    assert interventions.removal_effects(inputs, words=inputs.words.words[-1:])["itm"] != 0
    with pytest.raises(ConfigError, match="word = 'lyon'"):
        interventions.removal_effects(inputs, words=["lyon"])
    with pytest.raises(ConfigError, match=r"patches.shape = \(3,\)"):
        interventions.removal_effects(inputs, whole[:3])


def test_pruning_counts_right_images_and_without_heads_every_pair_is_a_tie(model):
    scenes = [DATA.world.scene("test", i, 2) for i in range(4)]
    pairs = [[make_inputs(model, TOKENIZER, shown.image, scene.phrases[0].text) for shown in (scene, other)]
             for scene, other in zip(scenes, scenes[1:] + scenes[:1], strict=True)]  # fmt: skip
    heads = [(CROSS, h) for h in range(CONFIG.model.text.heads)]
    with eval_mode(model):
        right = sum(a.score() > b.score() for a, b in pairs) / 4
        assert interventions.pruning_curve(pairs, heads, [0, len(heads)]) == [pytest.approx(right), 0.5]


def test_states_of_the_clean_input_restore_its_answer(model):
    a, b = DATA.world.scene("test", 1), DATA.world.scene("test", 2)
    clean, corrupt = (make_inputs(model, TOKENIZER, image, a.caption.text) for image in (a.image, b.image))
    found = {p.module: p for p in activation_patching(clean, corrupt, "*")}
    whole = found["vision.norm"]
    assert whole.clean == pytest.approx(whole.patched, abs=1e-5) and whole.restored == pytest.approx(1, abs=1e-3)
    assert found["text.layers.1"].restored == pytest.approx(0, abs=1e-4)  # the texts do not differ
    assert found["fusion.layers.0"].restored == pytest.approx(1, abs=1e-3)
    assert found["vision.blocks.0.attention"].restored != 0
    (nowhere,), (some,) = (activation_patching(clean, corrupt, "vision.norm", tokens=t) for t in ([], [3, 4]))
    assert nowhere.restored == pytest.approx(0, abs=1e-6)
    assert some.patched not in (pytest.approx(some.clean), pytest.approx(some.corrupt))
    assert math.isnan(activation_patching(clean, clean, "vision.norm")[0].restored)


def test_places_that_are_not_there(model, inputs):
    longer = make_inputs(model, TOKENIZER, SCENE.image, SCENE.caption.text + " and a lion")
    faults = {
        r"pattern = 'fusion.layers.7': fits no module; did you mean": (inputs, "fusion.layers.7"),
        r"pattern = 'fusion.layers.\*.cross.key': .*computed by the module": (inputs, "fusion.layers.*.cross.key"),
        r"tokens = .99.: must be of vision.norm: 0 to 35": (inputs, "vision.norm", [99]),
        "of the corrupt one's shape": (longer, "text.layers.0"),
        "no attention 'fusion.layers.0.cros'; did you mean 'fusion.layers.0.cross'": (CROSS[:-1], 0),
        "head of fusion.layers.0.cross = 2: must be 0 to 1": (CROSS, 2),
    }
    for said, asked in faults.items():
        with pytest.raises(ConfigError, match=said):
            if isinstance(asked[0], str):
                interventions.ablate_heads(model, [asked]).__enter__()
            else:
                activation_patching(inputs, *asked)
