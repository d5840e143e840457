"""The model in the page, in tests: how it gets there, and what is compared with Python's answers."""

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import xfm_widgets as xw
from xfm import recipes
from xfm.lab import Lab
from xfm.model import XFM
from xfm.objectives import build
from xfm.tasks.retrieval_set import RetrievalSet, retrieval_set

TOLERANCE = 1e-4
DECODE = """
import { createModel } from "./page_model/page_xfm.js";
const bytes = (base64) => new Uint8Array(Buffer.from(base64, "base64"));
const coded = (floats) => Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength).toString("base64");
const payload = { ...data.payload, weights: new DataView(bytes(data.payload.weights).buffer) };
const model = createModel(payload);
"""


def sent(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"weights": coded(payload["weights"])}


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def near(found: Any, expected: Any, where: str = "") -> None:
    """The same JSON, numbers within 1e-4; bytes as float32, or where they are codes of weights within one. Not compared
    are crisp pictures, of which a page has its own."""
    if isinstance(expected, dict):
        expected = {key: value for key, value in expected.items() if key != "crisp"}
        assert found.keys() >= expected.keys(), where
        for key, value in expected.items():
            near(found[key], value, f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for i, value in enumerate(expected):
            near(found[i], value, f"{where}[{i}]")
    elif isinstance(expected, bytes):
        code = where.endswith((".codes", ".weights", ".image", ".picture", "pixels"))
        kind, most = (np.uint8, 1) if code else (np.float32, TOLERANCE)
        numbers = np.frombuffer(base64.b64decode(found), kind).astype(float)
        np.testing.assert_allclose(numbers, np.frombuffer(expected, kind).astype(float), atol=most, err_msg=where)
    elif isinstance(expected, float):
        assert abs(found - expected) < TOLERANCE, where
    else:
        assert found == expected, where


def few_pairs(lab: Lab, model: XFM | None = None) -> RetrievalSet:
    return replace(retrieval_set(model or lab.model, lab.config, lab.tokenizer, n=12), reranked=5)


def alive(lab: Lab) -> dict[str, xw.View]:
    scene, model = lab.scene(7), (lab.model, lab.tokenizer)
    made = (
        xw.AttributionLab.of(lab.inputs(scene.image, "a lion"), ["rollout"]),
        xw.GroundingPad.of(*model, scene),
        xw.MaskPlayground.of(*model, scene.image, "a lion"),
        xw.RetrievalExplorer.of(lab.model, lab.config, lab.tokenizer, few_pairs(lab)),
        xw.TraceExplorer.of(*model, scene.image, "a lion"),
    )
    return {type(view).__name__: view for view in made}


def small(changes: dict[str, Any]) -> XFM:
    """Of far from even weights: every parameter is moved, biases and norms too."""
    sizes = {"model.text.vocabulary": 4096, "data.mask.image_patches": 4}
    model = build(recipes.smoke().replace(sizes | changes)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            large = 3.0 if "attention" in name or "cross" in name else 1.0
            parameter.mul_(large).add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model
