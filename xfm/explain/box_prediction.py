"""The box that the model predicts for a phrase, and the cross-attention behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..config_utils import require
from ..data.synthetic.scenes import Scene
from ..data.tokenizer import Tokenizer
from ..images import ImageLike
from ..model import XFM
from ..model.modes import eval_mode
from .attention_capture import capture
from .inputs import make_inputs, prepare_image

__all__ = ["Box", "box_predictor", "phrase_boxes"]

Box = tuple[float, float, float, float]  # x, y, width, height in pixels


def phrase_boxes(scene: Scene) -> dict[str, Box]:
    """phrase -> the true box of the object that it names."""
    pairs = zip(scene.phrases, scene.objects, strict=True)
    return {phrase.text: (float(o.x), float(o.y), float(o.width), float(o.height)) for phrase, o in pairs}


def box_predictor(model: XFM, tokenizer: Tokenizer, image: ImageLike) -> Callable[[str], dict[str, Any]]:
    """`predict(phrase)` for any image (see `xfm.images.prepare`): BBP's prediction from the whole image, as in the
    evaluation. Modes are left as they were.

    predict(phrase)["box"] is x, y, width, height in pixels of the prepared image; ["pieces"] the word pieces (L);
    ["attention"] the cross-attention (layers, heads, L, 1 + P) float32, from each piece to the pooled image token and
    the patches, rows summing to 1. The head reads the box from piece 0, `<s>`. ConfigError for what is no image;
    `predict` raises it for a phrase without a word, one that is too long, and a box that is not finite.
    """
    prepared, _ = prepare_image(model, image)
    side, cross = model.config.vision.image_size, model.stacks["fusion"].attention("cross", "*")

    def predict(phrase: str) -> dict[str, Any]:
        require(isinstance(phrase, str) and bool(phrase.strip()), "phrase", phrase, "some words")
        inputs = make_inputs(model, tokenizer, prepared, phrase)
        with eval_mode(model), torch.no_grad(), capture(model, cross) as captured:
            out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
            shares = out.head("bbp").boxes(out.fused)[0].tolist()
        require(all(map(math.isfinite, shares)), "box", shares, "finite: the model has diverged")
        cx, cy, w, h = (share * side for share in shares)
        attention = torch.stack([weights[0] for weights in captured.weights.values()]).float().cpu().numpy()
        return {"box": (cx - w / 2, cy - h / 2, w, h), "attention": attention, "pieces": inputs.words.pieces}

    return predict
