"""captum's methods on a picture and a text at once: what it is given, and what becomes of its answers.

captum sees two inputs, embedded patches (B, P, D) and embedded pieces (B, L, D), and answers with two of that shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import captum.attr as ca
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from ... import seeding
from ..inputs import BATCH, AttributionInputs
from ..targets import full_mask, model_outputs
from .attention_methods import Rows

STEPS = 32  # of integrated gradients
SMOOTH = 20  # noisy copies of SmoothGrad ...
NOISE = 0.15  # ... by so much of the inputs' range (Smilkov et al., 2017: .1 to .2)
SHAP = 24  # draws of GradientSHAP
ORDERS = 25  # of Shapley sampling
WINDOW = 2  # patches a side of occlusion


def saliency(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """The length of the gradient (Simonyan et al., 2013)."""
    return lengths(ca.Saliency(question).attribute(given(question), abs=False))


def smooth(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """The same, of gradients averaged over noisy inputs."""
    spread = tuple(NOISE * (t.max() - t.min()).item() for t in given(question))
    with seeded_globals("smoothgrad", seed):
        found: Any = ca.NoiseTunnel(ca.Saliency(question)).attribute(
            given(question), nt_type="smoothgrad", nt_samples=SMOOTH, stdevs=spread, abs=False
        )
    return lengths(found)


def input_gradient(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    return sums(ca.InputXGradient(question).attribute(given(question)))


def integrated(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Integrated gradients (Sundararajan et al., 2017) from all taken away to all there."""
    method = ca.IntegratedGradients(question)
    return sums(method.attribute(given(question), absent(question), n_steps=STEPS, internal_batch_size=BATCH))


def gradient_shap(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    with seeded_globals("gradient shap", seed):
        return sums(ca.GradientShap(question).attribute(given(question), absent(question), n_samples=SHAP))


def occlusion(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Windows of 2 x 2 patches, and single pieces."""
    patches, pieces = given(question)
    side, width = question.grid.grid, patches.shape[-1]

    def forward(picture: Tensor, text: Tensor) -> Tensor:
        return question(rearrange(picture, "b d y x -> b (y x) d"), text)

    def picture(t: Tensor) -> Tensor:
        return rearrange(t, "b (y x) d -> b d y x", y=side)

    no_patches, no_pieces = absent(question)
    with torch.no_grad():
        found = ca.Occlusion(forward).attribute(
            (picture(patches), pieces),
            ((width, WINDOW, WINDOW), (1, pieces.shape[-1])),
            ((width, 1, 1), (1, 1)),
            (picture(no_patches), no_pieces),
            perturbations_per_eval=BATCH,
            show_progress=progress,
        )
    return found[1][0, :, 0].cpu(), found[0][0, 0].flatten().cpu()  # one number for all of a patch's width


def ablation(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Each patch taken away, and each word."""
    return removed(question, torch.arange(len(question.patches)), by_word(question), progress)


def objects(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Each object taken away, all its patches at once, the rest of the picture too; and each word."""
    groups = torch.zeros(len(question.patches), dtype=torch.long)
    for i, mask in enumerate(question.object_patches().values(), 1):
        groups[mask] = i
    return removed(question, groups.unique(return_inverse=True)[1], by_word(question), progress)


def removed(question: AttributionInputs, patches: Tensor, pieces: Tensor, progress: bool) -> Rows:
    masks = groups(question, patches, pieces)
    with torch.no_grad():
        found = ca.FeatureAblation(question).attribute(
            given(question), absent(question), feature_mask=masks, perturbations_per_eval=BATCH, show_progress=progress
        )
    return divided(found, masks)


def shapley(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Shapley values of patches and words together, by sampled orders (Castro et al., 2009)."""
    masks = groups(question, torch.arange(len(question.patches)), by_word(question))
    with seeded_globals("shapley", seed), torch.no_grad():
        found = ca.ShapleyValueSampling(question).attribute(
            given(question),
            absent(question),
            feature_mask=masks,
            n_samples=ORDERS,
            perturbations_per_eval=BATCH,
            show_progress=progress,
        )
    return divided(found, masks)


def grad_cam(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Grad-CAM (Selvaraju et al., 2017) on what the two encoders put out: channels x places."""
    patches, pieces = nn.Identity(), nn.Identity()
    side = question.grid.grid

    def forward(picture: Tensor, text: Tensor) -> Tensor:
        seen = patches(rearrange(question.model.vision.encode(picture), "b (y x) d -> b d y x", y=side))
        read = pieces(rearrange(question.model.text.encode(text, full_mask(text)), "b l d -> b d l"))
        out = model_outputs(question.model, rearrange(read, "b d l -> b l d"), rearrange(seen, "b d y x -> b (y x) d"))
        return question.target.score(out).float()

    found: Any = [
        ca.LayerGradCam(forward, of).attribute(given(question), relu_attributions=True) for of in (pieces, patches)
    ]
    text, image = found
    return text.flatten().detach().cpu(), image.flatten().detach().cpu()


def given(question: AttributionInputs) -> tuple[Tensor, Tensor]:
    return question.patches[None].detach().requires_grad_(), question.pieces[None].detach().requires_grad_()


def absent(question: AttributionInputs) -> tuple[Tensor, Tensor]:
    return question.no_patches[None], question.no_pieces[None]


def by_word(question: AttributionInputs) -> Tensor:
    """(L,) a number a word, 0, 1, ...; what is of no word is by itself."""
    own, fixed = question.words.owner, question.fixed
    return torch.tensor([len(own) + place if word < 0 or fixed[place] else word for place, word in enumerate(own)])


def groups(question: AttributionInputs, patches: Tensor, pieces: Tensor) -> tuple[Tensor, Tensor]:
    """Features by number, patches (1, P, 1) before pieces (1, L, 1): 0, 1, ... without a gap, as captum wants them."""
    words = pieces.unique(return_inverse=True)[1] + patches.max() + 1
    device = question.patches.device
    return patches[None, :, None].to(device), words[None, :, None].to(device)


def divided(found: Sequence[Tensor], masks: Sequence[Tensor]) -> Rows:
    """A feature's number, shared by its members evenly."""
    patches, pieces = (
        (values[0, :, 0] / mask.flatten().bincount()[mask.flatten()]).cpu()
        for values, mask in zip(found, masks, strict=True)
    )
    return pieces, patches


def sums(found: Sequence[Tensor]) -> Rows:
    patches, pieces = (t.detach()[0].sum(-1).cpu() for t in found)
    return pieces, patches


def lengths(found: Sequence[Tensor]) -> Rows:
    patches, pieces = (t.detach()[0].norm(dim=-1).cpu() for t in found)
    return pieces, patches


@contextmanager
def seeded_globals(*purpose: object) -> Iterator[None]:
    """captum draws from the global generators of torch and numpy: keyed here, and as they were afterwards."""
    before = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seeding.seed(*purpose))
        np.random.seed(seeding.seed(*purpose) % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
