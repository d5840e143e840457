"""Attributions in the page, and how far to trust them, are those of Python; boxes wait for no candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import javascript
import numpy as np
import pytest
import torch
from page import DECODE, coded, near, sent, small

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm.model import XFM
from xfm_widgets import attributions
from xfm_widgets.page_model import as_in_page, page_model

SCRIPT = DECODE + Path(__file__).with_name("page_methods.js").read_text("utf-8")
GRADIENTS = 1e-3  # of the largest number of an attribution


@pytest.fixture(scope="module")
def model() -> XFM:
    return small({"model.vision.image_size": 24, "model.fusion_depth": 2})


def told(ask: str, model: XFM, lab: xfm.Lab, cases: list[dict[str, Any]]) -> Any:
    return javascript.run(SCRIPT, {"ask": ask, "payload": sent(page_model(model, lab.tokenizer)), "cases": cases})


@pytest.mark.full
def test_every_attribution_in_the_page_is_pythons(model: XFM, lab: xfm.Lab) -> None:
    rounded, rng = as_in_page(model), np.random.default_rng(0)
    masks = {"one": np.zeros((24, 24), bool), "two": np.zeros((24, 24), bool)}
    masks["one"][:16, :8], masks["two"][8:, 4:] = True, True
    cases, asked = [], []
    texts = {"a big crocodile on the left": "crocodile", "two lions , unbelievably many !": "unbelievably"}
    for text, word in texts.items():
        image = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        inputs = [explain.make_inputs(rounded, lab.tokenizer, image, text, target, masks)
                  for target in ("itm", "itc", "box x", f"word {word}")]  # fmt: skip
        targets = [attributions.page_target(one) for one in inputs]
        patches = [np.flatnonzero(mask).tolist() for mask in inputs[0].object_patches().values()]
        seed = xw.AttributionLab.of(inputs, [])._given()["random"]
        asked.append(inputs)
        cases.append({"rgb": coded(image.tobytes()), "text": text, "objects": patches, "random": seed,
                      "targets": targets})  # fmt: skip
    assert [len(case["targets"][-1]["places"]) for case in cases] == [1, 6], "pieces of a word"
    for inputs, by_target in zip(asked, told("attributions", model, lab, cases)["told"], strict=True):
        for one, by_method in zip(inputs, by_target, strict=True):
            assert by_method.keys() == explain.METHODS.keys() == attributions.IN_PAGE.keys()
            for method, rows in by_method.items():
                expected = explain.attribute(one, method)
                said = attributions.IN_PAGE[method]
                assert said == {name: getattr(expected, name) for name in said}, method
                for numbers, wanted in zip(rows, (expected.text, expected.patches), strict=True):
                    most = GRADIENTS * max(expected.text.abs().max().item(), expected.patches.abs().max().item())
                    where = f"{one.target.name}, {method}"
                    np.testing.assert_allclose(numbers, wanted, atol=max(most, 1e-6), rtol=0, err_msg=where)


@pytest.mark.full
def test_trust_in_the_page_is_pythons(model: XFM, lab: xfm.Lab) -> None:
    """Numbers of any kind: with ties, without a positive one, none but zeros; with ground truth and without."""
    text, truth = "a big crocodile left of two lions", np.zeros((24, 24), bool)
    image = np.random.default_rng(2).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    truth[3:20, 6:13] = True
    rounded, cases, expected = as_in_page(model), [], []
    for target in ("itm", "itc", "box x", "word lions"):
        plain = explain.make_inputs(rounded, lab.tokenizer, image, text, target)
        names = torch.tensor([word == 2 for word in plain.words.owner])
        for inputs in (plain, replace(plain, truth=truth, name_pieces=names)):
            base = explain.attribute(inputs, "occlusion")
            for numbers in (lambda x: x, torch.round, lambda x: -x.abs(), torch.zeros_like):
                a = replace(base, patches=numbers(10 * base.patches), text=numbers(10 * base.text))
                report = explain.faithfulness_report(inputs, a, sensitive=False)
                drawn = attributions.packed(a, report)
                expected.append({"trust": drawn["trust"], "beyond": drawn["beyond"]})
                pieces, patches = (coded(v.numpy().astype("<f4").tobytes()) for v in (a.text, a.patches))
                cases.append({"rgb": coded(image.tobytes()), "text": text, "pieces": pieces, "patches": patches,
                              "target": attributions.page_target(inputs, report)})  # fmt: skip
    found = told("trust", model, lab, cases)
    assert found["steps"] == [torch.linspace(0, n, min(12, n) + 1).round().int().tolist() for n in range(300)]
    near(found["told"], expected, "trust")
    assert len({np.sign(one["beyond"]).sum() for one in expected}) > 1


def test_a_box_is_there_before_its_candidates(lab: xfm.Lab) -> None:
    script = """
import { grounder } from "./page_model/page_grounding.js";
const { find, ready } = grounder(model, bytes(data.rgb), payload.seeds.candidates);
const hasty = find("a lion");
await ready;
answer([hasty.candidates.length, find("a lion").candidates.length > 0, `${hasty.box}` === `${find("a lion").box}`]);
"""
    given = {"payload": sent(page_model(lab.model, lab.tokenizer)), "rgb": coded(lab.scene(7).image.tobytes())}
    assert javascript.run(DECODE + script, given) == [0, True, True]
