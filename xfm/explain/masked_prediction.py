"""What the model makes of a picture and a text with parts of both hidden: a callable for a view, or for a loop.

    answer = playground(model, tokenizer, scene.image, scene.caption.text)
    answer(hidden_patches, hidden_pieces)["words"]

Hidden parts are hidden as in pretraining: `<mask>` for a word piece, MIM's mask token for a patch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch import standardise
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..model.modes import eval_mode
from ..model.vision import patchify
from ..objectives.base import widen
from .inputs import encode_text, make_inputs, prepare_image

BEST = 5  # guesses
Guesses = list[tuple[str, float]]  # the likeliest word pieces with their probabilities
Predict = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def masked_predictor(model: XFM, tokenizer: Tokenizer, image: np.ndarray, text: str) -> Predict:
    """A function of patches to hide (P,) bool and word pieces to hide (L,) bool, which gives

    words: for each hidden piece {"piece", "place", "with", "without"}: what IMLM guesses beside the picture *as it is
    shown*, its hidden patches hidden, and what MLM guesses from the text alone; each {"guesses": Guesses, "truth": the
    probability of the piece that is hidden}. `<s>` and `</s>` are never hidden.
    agreement: (P,) float32, where a patch is hidden the cosine of MIM's prediction with its target, NaN elsewhere.
    pixels: (P, 3 patch_size²) float32, each patch standardised: what a MIM without guidance would have to predict.
    target: what "agreement" is with: "outputs", the vision encoder's own of the whole picture (the paper's guidance),
    or "pixels", where the model was trained to predict those.

    "with", "without" and "agreement" are None where the model has no such head, or its MIM has a target of another
    model. ConfigError as `question.ask` raises it. Modes are left as they were.
    """
    question = make_inputs(model, tokenizer, image, text)
    ids, _ = encode_text(model, tokenizer, text)
    heads: Any = model.objectives
    with torch.no_grad(), eval_mode(model):
        outputs = model.vision.encode(question.patches[None])[0]
        pixels = standardise(patchify(prepare_image(model, image), model.config.vision.patch_size))[0]

    def guesses(logits: Tensor, places: list[int]) -> list[dict[str, Any]]:
        likely = widen(logits).softmax(-1)
        best = likely.topk(BEST)
        found = zip(best.values.tolist(), best.indices.tolist(), likely, places, strict=True)
        return [
            {
                "guesses": [(named(tokenizer, i), p) for i, p in zip(tokens, shares, strict=True)],
                "truth": row[ids[place]].item(),
            }
            for shares, tokens, row, place in found
        ]

    @torch.no_grad()
    def predict(hidden_patches: np.ndarray, hidden_pieces: np.ndarray) -> dict[str, Any]:
        patches, pieces = (torch.from_numpy(np.array(hidden, bool)) for hidden in (hidden_patches, hidden_pieces))
        places = (pieces & ~question.fixed).nonzero().flatten().tolist()
        with eval_mode(model):
            out = question.outputs(*question.masked(~patches[None], ~pieces[None]))
            alone = heads["mlm"].head(out.text[0, places], model.text.word.weight) if "mlm" in heads else None
            beside = heads["imlm"].logits(out.fused[0, places]) if "imlm" in heads else None
            predicted = heads["mim"].head(out.patches[0]) if "mim" in heads else None
        agreement, target = None, None
        if predicted is not None:
            known = {outputs.shape[-1]: ("outputs", outputs)}
            if isinstance(heads["mim"].head, torch.nn.Linear):
                known = {pixels.shape[-1]: ("pixels", pixels)}
            target, wanted = known.get(predicted.shape[-1], (None, None))
            if wanted is not None:
                cosine = F.cosine_similarity(widen(predicted), widen(wanted), dim=-1).float().cpu()
                agreement = torch.where(patches, cosine, torch.nan).numpy()
        sides = [guesses(logits, places) if logits is not None else [None] * len(places) for logits in (beside, alone)]
        words = [
            {"place": place, "piece": tokenizer.decode([ids[place]]), "with": w, "without": wo}
            for place, w, wo in zip(places, *sides, strict=True)
        ]
        return {"words": words, "agreement": agreement, "pixels": pixels.float().cpu().numpy(), "target": target}

    return predict


def named(tokenizer: Tokenizer, token: int) -> str:
    """A piece as it is read, or a special token's name."""
    return tokenizer.decode([token]) or str(tokenizer.backend.id_to_token(token))
