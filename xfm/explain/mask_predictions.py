"""Predictions for masked words and patches of an image and a text.

predict = explain.masked_predictor(model, tokenizer, image, text)
predict(hidden_patches, hidden_pieces)["words"]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.images import ImageLike
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.batch import standardise
from ..model.modes import eval_mode
from ..model.vision import patchify
from ..objectives.base import widen
from .prepare_inputs import encode_text, make_inputs, prepare_image

BEST = 5  # guesses
Predict = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def masked_predictor(model: XFM, tokenizer: Tokenizer, image: ImageLike, text: str) -> Predict:
    """A function of the patches (P,) bool and word pieces (L,) bool to mask, as in pretraining.

    Returns:
        `predict(hidden_patches, hidden_pieces)`, which returns a dict of
        words: for each masked piece {"piece", "place", "with", "without"}: IMLM's prediction with the image, its hidden
        patches masked, and MLM's from the text alone; each {"guesses": the likeliest pieces with their probabilities,
        "truth": the probability of the piece that is hidden}. `<s>` and `</s>` are never masked.
        agreement: (P,) float32, the cosine of MIM's prediction with its target where a patch is masked, NaN elsewhere.
        pixels: (P, 3 patch_size²) float32, each patch standardised: the target of MIM without guidance.
        target: what "agreement" is with: "outputs", the vision encoder's own of the whole image (the paper's guidance),
        or "pixels", where the model was trained to predict those.
        "with", "without" and "agreement" are None where the model has no such head, or its MIM another model's target.

    Raises:
        ConfigError: as `make_inputs`.
    """
    inputs = make_inputs(model, tokenizer, image, text)
    ids, _ = encode_text(model, tokenizer, text)
    heads: Any = model.objectives
    with torch.no_grad(), eval_mode(model):
        pixels = standardise(patchify(prepare_image(model, inputs.image)[1], model.config.vision.patch_size))[0]
        targets = {"outputs": model.vision.encode(inputs.patches[None])[0], "pixels": pixels}

    @torch.no_grad()
    def predict(hidden_patches: np.ndarray, hidden_pieces: np.ndarray) -> dict[str, Any]:
        patches, pieces = (torch.from_numpy(np.array(hidden, bool)) for hidden in (hidden_patches, hidden_pieces))
        places = (pieces & ~inputs.fixed).nonzero().flatten().tolist()
        with eval_mode(model):
            out = inputs.outputs(*inputs.mask(~patches[None], ~pieces[None]))
            imlm = heads["imlm"].logits(out.fused[0, places]) if "imlm" in heads else None
            mlm = heads["mlm"].head(out.text[0, places], model.text.word.weight) if "mlm" in heads else None
            mim = heads["mim"].head(out.patches[0]) if "mim" in heads else None
        words = [{"place": place, "piece": tokenizer.decode([ids[place]])} for place in places]
        for name, logits in (("with", imlm), ("without", mlm)):
            for row, word in enumerate(words):
                word[name] = None if logits is None else _prediction(tokenizer, logits[row], ids[word["place"]])
        target = None if mim is None else "pixels" if isinstance(heads["mim"].head, torch.nn.Linear) else "outputs"
        if mim is None or target is None or mim.shape != targets[target].shape:  # no target, or another model's
            agreement = target = None
        else:
            cosine = F.cosine_similarity(widen(mim), widen(targets[target]), dim=-1).float().cpu()
            agreement = torch.where(patches, cosine, torch.nan).numpy()
        return {"words": words, "agreement": agreement, "pixels": pixels.float().cpu().numpy(), "target": target}

    return predict


def _prediction(tokenizer: Tokenizer, logits: Tensor, truth: int) -> dict[str, Any]:
    probabilities = widen(logits).softmax(-1)
    best = probabilities.topk(BEST)
    names = [tokenizer.decode([i]) or str(tokenizer.backend.id_to_token(i)) for i in best.indices.tolist()]
    return {"guesses": [*zip(names, best.values.tolist(), strict=True)], "truth": probabilities[truth].item()}
