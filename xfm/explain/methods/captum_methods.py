"""captum's methods on an image and a text at once.

captum sees two inputs, embedded patches (B, P, D) and embedded pieces (B, L, D), and returns two of that shape, which
are summed to a number a patch (P,) and a piece (L,). Baselines are masked patches and pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import captum.attr as ca
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ...base import seeding
from ...model.encoder_calls import RANDOM
from ..attribution import TARGET, Attribution
from ..inputs import BATCH, AttributionInputs

Rows = tuple[Tensor, Tensor]  # word pieces (L,), patches (P,)
STEPS = 32  # of integrated gradients
SMOOTH = 20  # noisy copies of SmoothGrad ...
NOISE = 0.15  # ... by so much of the inputs' range (Smilkov et al., 2017: .1 to .2)
SHAP = 24  # samples of GradientSHAP
ORDERS = 25  # of Shapley sampling
WINDOW = 2  # patches a side of occlusion


def saliency(inputs: AttributionInputs) -> Attribution:
    """The norm of the gradient (Simonyan et al., 2013)."""
    gradients = ca.Saliency(inputs).attribute(_embedded(inputs), abs=False)
    return Attribution.of(inputs, *_rows(gradients, torch.linalg.vector_norm))


def smooth(inputs: AttributionInputs, seed: int = 0) -> Attribution:
    """SmoothGrad: the norm of the mean gradient over noisy inputs."""
    deviations = tuple(NOISE * (t.max() - t.min()).item() for t in _embedded(inputs))
    with seeded_globals("smoothgrad", seed):
        gradients: Any = ca.NoiseTunnel(ca.Saliency(inputs)).attribute(
            _embedded(inputs), nt_type="smoothgrad", nt_samples=SMOOTH, stdevs=deviations, abs=False
        )
    return Attribution.of(inputs, *_rows(gradients, torch.linalg.vector_norm))


def input_gradient(inputs: AttributionInputs) -> Attribution:
    """Input x gradient."""
    return _changes(inputs, *_rows(ca.InputXGradient(inputs).attribute(_embedded(inputs))))


def integrated(inputs: AttributionInputs) -> Attribution:
    """Integrated gradients (Sundararajan et al., 2017) from everything masked to everything as it is."""
    values = ca.IntegratedGradients(inputs).attribute(
        _embedded(inputs), _baselines(inputs), n_steps=STEPS, internal_batch_size=BATCH
    )
    return _changes(inputs, *_rows(values), complete=True)


def gradient_shap(inputs: AttributionInputs, seed: int = 0) -> Attribution:
    """GradientSHAP (Lundberg and Lee, 2017)."""
    with seeded_globals("gradient shap", seed):
        values = ca.GradientShap(inputs).attribute(_embedded(inputs), _baselines(inputs), n_samples=SHAP)
    return _changes(inputs, *_rows(values), complete=True)


def occlusion(inputs: AttributionInputs, progress: bool = False) -> Attribution:
    """Windows of 2 x 2 patches, and single pieces, masked (Zeiler and Fergus, 2014)."""
    patches, pieces = _embedded(inputs)
    side, width = inputs.grid.grid, patches.shape[-1]

    def forward(image: Tensor, text: Tensor) -> Tensor:
        return inputs(rearrange(image, "b d y x -> b (y x) d"), text)

    def as_image(t: Tensor) -> Tensor:
        return rearrange(t, "b (y x) d -> b d y x", y=side)

    masked_patches, masked_pieces = _baselines(inputs)
    with torch.no_grad():
        values = ca.Occlusion(forward).attribute(
            (as_image(patches), pieces),
            ((width, WINDOW, WINDOW), (1, pieces.shape[-1])),
            ((width, 1, 1), (1, 1)),
            (as_image(masked_patches), masked_pieces),
            perturbations_per_eval=BATCH,
            show_progress=progress,
        )
    return _changes(inputs, values[1][0, :, 0], values[0][0, 0].flatten())  # the same over the width of a patch


def ablation(inputs: AttributionInputs, progress: bool = False) -> Attribution:
    """Each patch masked, and each word."""
    groups = torch.arange(len(inputs.patches))
    return _changes(inputs, *_by_groups(ca.FeatureAblation(inputs), inputs, groups, progress))


def objects(inputs: AttributionInputs, progress: bool = False) -> Attribution:
    """Each object masked, all its patches at once, the background too; and each word. ConfigError without objects."""
    groups = torch.zeros(len(inputs.patches), dtype=torch.long)
    for i, mask in enumerate(inputs.object_patches().values(), 1):
        groups[mask] = i
    groups = groups.unique(return_inverse=True)[1]
    return _changes(inputs, *_by_groups(ca.FeatureAblation(inputs), inputs, groups, progress))


def shapley(inputs: AttributionInputs, seed: int = 0, progress: bool = False) -> Attribution:
    """Shapley values of patches and words together, by sampled orders (Castro et al., 2009)."""
    method, patches = ca.ShapleyValueSampling(inputs), torch.arange(len(inputs.patches))
    with seeded_globals("shapley", seed):
        values = _by_groups(method, inputs, patches, progress, n_samples=ORDERS)
    return _changes(inputs, *values, complete=True)


def grad_cam(inputs: AttributionInputs) -> Attribution:
    """Grad-CAM (Selvaraju et al., 2017) on the outputs of the two encoders: channels x places."""
    patches, pieces = nn.Identity(), nn.Identity()
    side = inputs.grid.grid

    def in_place(tokens: Tensor) -> Tensor:
        return rearrange(patches(rearrange(tokens, "b (y x) d -> b d y x", y=side)), "b d y x -> b (y x) d")

    def in_order(tokens: Tensor) -> Tensor:
        return rearrange(pieces(rearrange(tokens, "b l d -> b d l")), "b d l -> b l d")

    def forward(image: Tensor, text: Tensor) -> Tensor:
        return inputs.through(image, text, in_place, in_order)

    values: Any = [
        ca.LayerGradCam(forward, layer).attribute(_embedded(inputs), relu_attributions=True)
        for layer in (pieces, patches)
    ]
    return Attribution.of(inputs, *(value.flatten() for value in values))


def _changes(inputs: AttributionInputs, pieces: Tensor, patches: Tensor, complete: bool = False) -> Attribution:
    """Parts of the target's change when everything is masked."""
    return Attribution.of(inputs, pieces, patches, signed=True, unit=TARGET, complete=complete)


def _embedded(inputs: AttributionInputs) -> tuple[Tensor, Tensor]:
    return inputs.patches[None].detach().requires_grad_(), inputs.pieces[None].detach().requires_grad_()


def _baselines(inputs: AttributionInputs) -> tuple[Tensor, Tensor]:
    return inputs.masked_patches[None], inputs.masked_pieces[None]


def _by_groups(method: Any, inputs: AttributionInputs, groups: Tensor, progress: bool, **options: Any) -> Rows:
    """Masks groups of patches (P,), numbered 0, 1, ... without a gap, and words; each member has an even share of its
    group's value. A piece that is of no word, or is never masked, is a group of its own."""
    owner, fixed = inputs.words.owner, inputs.fixed
    words = [len(owner) + place if word < 0 or fixed[place] else word for place, word in enumerate(owner)]
    pieces = torch.tensor(words).unique(return_inverse=True)[1] + groups.max() + 1
    masks = [mask.to(inputs.patches.device) for mask in (groups, pieces)]
    with torch.no_grad():
        values = method.attribute(
            _embedded(inputs),
            _baselines(inputs),
            feature_mask=tuple(mask[None, :, None] for mask in masks),
            perturbations_per_eval=BATCH,
            show_progress=progress,
            **options,
        )
    patches, pieces = (value[0, :, 0] / mask.bincount()[mask] for value, mask in zip(values, masks, strict=True))
    return pieces, patches


def _rows(values: Sequence[Tensor], reduce: Callable[..., Tensor] = torch.sum) -> Rows:
    patches, pieces = (reduce(t.detach()[0], dim=-1) for t in values)
    return pieces, patches


@contextmanager
def seeded_globals(*purpose: object) -> Iterator[None]:
    """captum draws from the global generators of torch and numpy: seeded by a key here, restored afterwards."""
    with RANDOM, torch.random.fork_rng():  # a training in another thread draws from them, too
        before = np.random.get_state()
        torch.manual_seed(seeding.seed(*purpose))
        np.random.seed(seeding.seed(*purpose) % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
