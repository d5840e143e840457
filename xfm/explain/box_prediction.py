"""Where the model puts the box of a phrase, and the cross-attention behind it: data for a view to ask for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..config_utils import require
from ..data.synthetic.scenes import Scene
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.modes import eval_mode
from .attention_capture import capture
from .inputs import make_inputs, prepare_image

Box = tuple[float, float, float, float]  # x, y, width, height in pixels


def phrase_boxes(scene: Scene) -> dict[str, Box]:
    """Of each phrase of a scene the box that it names."""
    named = zip(scene.phrases, scene.objects, strict=True)
    return {phrase.text: (float(o.x), float(o.y), float(o.width), float(o.height)) for phrase, o in named}


def box_predictor(model: XFM, tokenizer: Tokenizer, image: np.ndarray) -> Callable[[str], dict[str, Any]]:
    """`ground(phrase)` for a picture (side, side, 3) uint8: what BBP's head answers from the whole picture, as the
    evaluation asks it. The model is left as it was.

    ground(phrase)["box"] is x, y, width, height in pixels; ["pieces"] the word pieces (L); ["attention"] the
    cross-attention (layers, heads, L, 1 + P) float32, from each piece to the pooled image token and the patches, so
    rows sum to 1. The head reads the box from piece 0, `<s>`, alone. ConfigError for a picture of another size or type;
    `ground` raises it for a phrase without a word, one that is too long, and where what comes out is not finite.
    """
    prepare_image(model, image)
    side = model.config.vision.image_size

    def ground(phrase: str) -> dict[str, Any]:
        require(bool(phrase.strip()), "phrase", phrase, "some words")
        question = make_inputs(model, tokenizer, image, phrase)
        with eval_mode(model), torch.no_grad(), capture(model, "fusion.layers.*.cross") as seen:
            out = question.outputs(question.patches[None], question.pieces[None])
            shares = out.head("bbp").boxes(out.fused)[0].tolist()
        require(all(map(math.isfinite, shares)), "box", shares, "finite: the model has diverged")
        cx, cy, w, h = (share * side for share in shares)
        attention = torch.stack([weights[0] for weights in seen.weights.values()]).float().cpu().numpy()
        return {"box": (cx - w / 2, cy - h / 2, w, h), "attention": attention, "pieces": question.words.pieces}

    return ground
