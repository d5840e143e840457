"""Attributions by attention weights, and by gradients with respect to them: word pieces (L,) and patches (P,).

Words attend to the image's pooled token, which is the mean of the patches, and to the patches, so what goes to the
pooled token is shared evenly by all patches. Tokens that the vision encoder puts before its patches, as its class
token, show no part of the image; what ends there is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...base.fields import ConfigError
from ..attribution import SHARE, Attribution
from ..head_stats import rollout as _rollout
from ..inputs import AttributionInputs
from ..tracing import AttentionMap, capture_attention

Rows = tuple[Tensor, Tensor]  # word pieces (L,), patches (P,)


def raw(inputs: AttributionInputs) -> Attribution:
    """The last layer's weights from the token that the target is read from, mean over heads, and over the tokens of a
    word of several."""
    maps, _ = capture_attention(inputs, gradients=False)
    rows = _last_layer({name: attention.weights.mean(1) for name, attention in maps.items()}, inputs, torch.mean)
    return Attribution.of(inputs, *rows, unit=SHARE)


def attention_gradient(inputs: AttributionInputs) -> Attribution:
    """The last layer's positive part of weight x gradient, mean over heads, summed over the target's tokens."""
    return Attribution.of(inputs, *_last_layer(_weight_gradient(capture_attention(inputs)[0]), inputs, torch.sum))


def rollout(inputs: AttributionInputs) -> Attribution:
    """Attention rollout (Abnar and Zuidema, 2020), continued through cross-attention: see `bimodal_rollout`."""
    maps, _ = capture_attention(inputs, gradients=False)
    if inputs.target.places is None:
        _require(maps, "language", "vision")
        means = {name: attention.weights.mean(1) for name, attention in maps.items()}
        text, image = (_read(_rollout(maps[name].weights)[-1], name, means, inputs) for name in ("language", "vision"))
    else:
        text, image = (rolled[list(inputs.target.places)].mean(0) for rolled in bimodal_rollout(maps)[-1])
        image = image[1:]
    return Attribution.of(inputs, text, image, unit=SHARE)


def bimodal_rollout(maps: Mapping[str, AttentionMap]) -> list[Rows]:
    """Composition of each word piece before the fusion encoder and after each of its layers: of pieces (L, L) and of
    image tokens (L, 1 + P), the pooled one first.

    Each attention adds half of what it gathers and keeps half, mean over heads, so each row, over both modalities, sums
    to 1: the second part's sum is the image's share of the piece. ConfigError where an encoder has no attention.
    """
    _require(maps)
    text, vision = (_rollout(maps[name].weights)[-1] for name in ("language", "vision"))  # after all layers
    memory = _memory(vision, maps)
    image = torch.zeros(len(text), memory.shape[1])
    steps = [(text, image)]
    for within, cross in zip(maps["fusion"].weights.mean(1), maps["cross"].weights.mean(1), strict=True):
        text, image = (text + within @ text) / 2, (image + within @ image) / 2
        text, image = text / 2, (image + cross @ memory) / 2
        steps.append((text, image))
    return steps


def generic(inputs: AttributionInputs) -> Attribution:
    """Generic attention explainability (Chefer, Gur and Wolf, 2021): equations 5-9 within a modality, 8-11 across.

    What a token keeps of itself, the identity that the relevance of words starts from, is left out.
    """
    attention, _ = capture_attention(inputs)
    places = inputs.target.places
    _require(attention, *(() if places is not None else ("language", "vision")))
    maps = _weight_gradient(attention)
    image, text = (torch.eye(maps[name].shape[-1]) for name in ("vision", "language"))
    for layer in maps["vision"]:
        image = image + layer @ image
    for layer in maps["language"]:
        text = text + layer @ text
    if places is None:
        sides = (("language", text), ("vision", image))
        return Attribution.of(inputs, *(_read(tokens, name, maps, inputs, itself=False) for name, tokens in sides))
    memory = _memory(_normalised(image), attention)
    across = torch.zeros(len(text), memory.shape[1])
    for within, cross in zip(maps["fusion"], maps["cross"], strict=True):
        text, across = text + within @ text, across + within @ across
        across = across + _normalised(text).T @ cross @ memory
    read = list(places)
    return Attribution.of(inputs, (text - torch.eye(len(text)))[read].sum(0), across[read, 1:].sum(0))


def layer_gradients(inputs: AttributionInputs) -> Attribution:
    """After LeGrad (Bousselham et al., 2024): positive gradients by the weights, mean over heads and queries, summed
    over layers. LeGrad reads the target anew at each layer; here it is the last layer's."""
    maps, _ = capture_attention(inputs)
    _require(maps, *(() if "fusion" in inputs.sites() else ("language", "vision")))
    summed = {n: m.gradients.clamp_min(0).mean((1, 2)).sum(0) for n, m in maps.items() if m.gradients is not None}
    text, image = (summed[name] + summed.get(f"{name} pool", 0) for name in ("language", "vision"))
    text, image = text[: len(inputs.pieces)], image[-len(inputs.patches) :]
    if "fusion" in summed:
        text, image = text + summed["fusion"], image + _share_pooled(summed["cross"])
    return Attribution.of(inputs, text, image)


def _require(maps: Mapping[str, object], *names: str) -> None:
    missing = [name for name in names or ("language", "vision", "fusion", "cross") if name not in maps]
    if missing:
        raise ConfigError(
            f"attention: this method needs that of {', '.join(missing)}, but the model has only {', '.join(maps)}; use "
            "a gradient or perturbation method, 'integrated gradients' or 'occlusion' say"
        )


def _weight_gradient(maps: Mapping[str, AttentionMap]) -> dict[str, Tensor]:
    """(layer, query, key): the positive part of weight x gradient, mean over heads (Chefer et al., equation 5)."""
    return {n: (m.weights * m.gradients).clamp_min(0).mean(1) for n, m in maps.items() if m.gradients is not None}


def _last_layer(maps: Mapping[str, Tensor], inputs: AttributionInputs, together: Callable[..., Tensor]) -> Rows:
    """The last layer's rows of the tokens that the target is read from, `together` over them; before fusion of `<s>`
    and of all patches."""
    places = inputs.target.places
    if places is None:
        _require(maps, "language", "vision")
        text, image = (_read(maps[name][-1], name, maps, inputs, last=True) for name in ("language", "vision"))
        return text, image
    words, image = (together(maps[name][-1][list(places)], 0) for name in ("fusion", "cross"))
    return words, _share_pooled(image)


def _read(
    tokens: Tensor,
    encoder: str,
    maps: Mapping[str, Tensor],
    inputs: AttributionInputs,
    itself: bool = True,
    last: bool = False,
) -> Tensor:
    """Composition of each token after an encoder, (N, N) -> that of its feature over pieces or patches: the row
    of the token that it is read from, the mean of the patches' rows, or what an attention that pools the tokens gathers
    of them (`last`: of those that enter it). `itself`: with what the token read keeps of itself, the identity."""
    rows, token = tokens if itself else tokens - torch.eye(len(tokens)), inputs.reads[encoder]
    if (pool := maps.get(f"{encoder} pool")) is not None:
        row = pool[-1][0] if last else pool[-1][0] @ tokens
    else:
        row = rows[-len(inputs.patches) :].mean(0) if token is None else rows[token]
    return row[: len(inputs.pieces)] if encoder == "language" else row[-len(inputs.patches) :]


def _share_pooled(row: Tensor) -> Tensor:
    """(1 + P,) -> (P,): the pooled token's part is shared by all patches."""
    return row[1:] + row[0] / (len(row) - 1)


def _memory(vision: Tensor, maps: Mapping[str, AttentionMap]) -> Tensor:
    """(N, N) of the vision encoder's tokens -> (1 + P, 1 + P): what the tokens that words attend to are made of. Rows:
    the pooled token and the patches; columns: the tokens before the patches, together, and the patches."""
    count = maps["cross"].weights.shape[-1] - 1
    prefix = len(vision) - count
    patches = vision[-count:]
    before = patches[:, :prefix].sum(1, keepdim=True)
    rows = torch.cat([before, patches[:, prefix:]], 1)
    return torch.cat([rows.mean(0, keepdim=True), rows])


def _normalised(relevance: Tensor) -> Tensor:
    """Each row beyond the identity sums to 1 (equations 8 and 9); 0 where there is nothing beyond it."""
    identity = torch.eye(len(relevance))
    beyond = relevance - identity
    total = beyond.sum(-1, keepdim=True)
    return torch.where(total > 0, beyond / total.clamp_min(1e-30), 0) + identity
