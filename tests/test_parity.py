"""X-FM as published: every tensor, loss and gradient that was recorded from its code (tests/reference), in float64."""

from collections.abc import Callable

import pytest
import torch
from reference import tiny
from torch import Tensor

from xfm.interop.published import from_published, published_name
from xfm.model import ImageTokens
from xfm.objectives import Pretraining
from xfm.objectives.itm import negative_weights

RECORD, INPUTS, OUTPUTS = tiny.record(), tiny.tensors("inputs"), tiny.tensors("fp64_outputs")
BATCH = tiny.batch(INPUTS)
LOSSES: dict[str, str] = {  # published name -> "stream/objective" of the losses, or "stream/objective/term" of a report
    "text_mlm": "texts/mlm",
    **{o: f"pairs/{o}" for o in ("itc", "itm", "imlm", "mim")},
    **{f"region_{o}": f"regions/{o}" for o in ("itc", "itm", "imlm")},
    "mim_patch_term": "pairs/mim/patch",
    "mim_cls_term": "pairs/mim/pooled",
    "bbox": "regions/bbp/l1",
    "giou": "regions/bbp/giou",
}
NO_STOP = tiny.CONFIG.replace({f"flow.text_gradient.{o}": 1.0 for o in ("itm", "imlm", "bbp")})
IMLM_ONLY = tiny.CONFIG.replace({"flow.text_gradient.imlm": 1.0})  # what detach_text_forMLM=False changes


def close(ours: Tensor | float, theirs: Tensor | float) -> bool:
    a, b = torch.as_tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64)
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-9 * b.abs().max() + 1e-12)


@pytest.fixture(params=["train", "eval"])
def p(request: pytest.FixtureRequest) -> Pretraining:
    """The model through both kernels of attention: the mode chooses. In train mode, with nothing to drop."""
    p = tiny.pretraining().train(request.param == "train")
    for module in p.modules():
        for rate in {"dropout", "rate", "p"} & set(vars(module)):
            setattr(module, rate, 0.0)
    return p


def whole(pooled: Tensor, patches: Tensor) -> Tensor:
    return torch.cat([pooled[:, None], patches], 1)


def at_masked(states: Tensor) -> Tensor:
    return states.gather(1, INPUTS["masked_pos"][..., None].expand(-1, -1, states.shape[-1]))


def outputs(p: Pretraining) -> dict[str, Callable[[], Tensor]]:
    """Published name -> ours."""
    model, o, own = p.model, p.model.objectives, torch.arange(4)
    pairs, regions = (p.flow(BATCH, stream, tuple(o), ("k",)) for stream in ("pairs", "regions"))
    mask, masked = pairs.batch.tokens.mask, ImageTokens.of_pictures(pairs.masked_patches)
    similarity = pairs.features[0] @ pairs.features[1].T / o["itc"].temperature
    return {
        "vision_embeds": lambda: whole(pairs.image.pooled, pairs.patches),
        "vision_embeds_masked": lambda: whole(masked.pooled, masked.patches),
        "region_embeds": lambda: whole(regions.image.pooled[:4], regions.patches[regions.batch.owner]),
        "region_embeds_fullatts": lambda: whole(regions.image.pooled[4:], regions.patches)[regions.batch.owner],
        "text_embeds": lambda: pairs.text,
        "text_embeds_masked": lambda: pairs.masked_text,
        "fusion_embeds": lambda: model.fusion(pairs.text, mask, pairs.image, own),
        "fusion_embeds_masked": lambda: pairs.fused["imlm"],
        "fusion_embeds_region": lambda: model.fusion(regions.text, mask, regions.image, own),
        "image_feat": lambda: pairs.features[0],
        "text_feat": lambda: pairs.features[1],
        "region_image_feat": lambda: regions.features[0],
        "text_mlm_logits": lambda: o["mlm"].head(at_masked(pairs.masked_text), model.text.word.weight),
        "imlm_logits": lambda: o["imlm"].logits(at_masked(pairs.fused["imlm"])),
        "weights_i2t": lambda: negative_weights(similarity),
        "weights_t2i": lambda: negative_weights(similarity.T),
        "image_neg_idx": lambda: o["itm"].negatives(pairs)[0],
        "text_neg_idx": lambda: o["itm"].negatives(pairs)[1],
        "itm_logits": lambda: o["itm"].head(pairs.fused["itm"][:, 0]),
        "pred_bbox": lambda: o["bbp"].boxes(regions.fused["bbp"]),
    }


@torch.no_grad()
def test_every_recorded_tensor_is_reproduced(p: Pretraining) -> None:
    ours = outputs(p)
    assert set(ours) == set(OUTPUTS)
    wrong = {name for name, tensor in OUTPUTS.items() if not close(ours[name](), tensor)}
    assert not wrong


@torch.no_grad()
def test_every_loss_is_reproduced(p: Pretraining) -> None:
    losses, report = p(BATCH, tuple(p.model.objectives), ("k",))
    ours = {name: float((losses | report)[key]) for name, key in LOSSES.items()}
    ours["total_for_grad_file"] = sum(ours[n] for n in ("text_mlm", "itc", "itm", "imlm", "mim", "bbox", "giou"))
    assert set(ours) == set(RECORD.losses)
    assert {name for name, value in RECORD.losses.items() if not close(ours[name], value)} == set()


def norms(pretraining: Pretraining, loss: str) -> dict[str, float]:
    """Gradient norm of every published parameter that the loss has a path to."""
    stream, objective, *_ = LOSSES[loss].split("/")
    flow = pretraining.flow(BATCH, stream, (objective,), ("k",))
    module, named = pretraining.model.objectives[objective], dict(pretraining.model.named_parameters())
    value = module.terms(flow)[loss == "giou"] if objective == "bbp" else module(flow).loss
    squares: dict[str, float] = {}
    for name, grad in zip(named, torch.autograd.grad(value, named.values(), allow_unused=True), strict=True):
        if grad is not None:
            squares[published_name(name)] = squares.get(published_name(name), 0.0) + float(grad.square().sum())
    return {name: square**0.5 for name, square in squares.items()}


MODULES: list[tuple[str, Callable[[str], bool]]] = [  # the table's modules, by published name; the first that fits
    *(
        (f"{x}.{module}", lambda n, start=f"{x}_encoder.{start}": n.startswith(start))
        for x in ("text", "fusion")
        for module, start in [
            ("word_embeddings(=mlm decoder)", "roberta.embeddings.word_embeddings"),
            ("embeddings.other", "roberta.embeddings"),
            ("layers", "roberta.encoder"),
            ("lm_head", "lm_head"),
            ("lm_cap_head", "lm_cap_head"),
        ]
    ),
    ("vision.mask_token", lambda n: n == "vision_encoder.mask_token"),
    ("vision.rest", lambda n: n.startswith("vision_encoder.")),
    *((head, lambda n, head=head: n.split(".")[0] == head) for head in
      ("vision_proj", "text_proj", "temp", "itm_head", "bbox_head")),
]  # fmt: skip


def by_module(by_parameter: dict[str, float]) -> dict[str, float | None]:
    squares: dict[str, float] = {}
    for name, norm in by_parameter.items():
        module = next(module for module, holds in MODULES if holds(name))
        squares[module] = squares.get(module, 0.0) + norm**2
    return {module: squares[module] ** 0.5 if module in squares else None for module, _ in MODULES}


@pytest.mark.parametrize("loss", RECORD.gradnorm)
@pytest.mark.parametrize("stop", [True, False], ids=["with the stop", "without the stop for IMLM"])
def test_gradient_norms_and_missing_paths_are_those_of_the_table(loss: str, stop: bool) -> None:
    ours = norms(tiny.pretraining(tiny.CONFIG if stop else IMLM_ONLY), loss)
    modules, parameters = RECORD.gradnorm[loss], RECORD.gradnorm_per_param[loss]
    if not stop:
        modules = RECORD.gradnorm_detach_False.get(loss, modules)
        parameters = RECORD.gradnorm_per_param_detach_False.get(loss, parameters)
    assert set(ours) == set(parameters)  # where there is a path, parameter by parameter
    assert {n for n in ours if not close(ours[n], parameters[n])} == set()
    table = by_module(ours)
    assert set(table) == set(modules)
    assert {m for m in table if table[m] is None} == {m for m in modules if modules[m] is None}
    assert {m for m, norm in modules.items() if norm is not None and not close(table[m], norm)} == set()


def test_the_stop_is_what_cuts_the_text_encoder_off() -> None:
    """Beyond the published switch, which IMLM alone has: without any stop, ITM and BBP reach it too."""
    pretraining = tiny.pretraining(NO_STOP)
    for loss in ("itm", "imlm", "region_itm", "bbox", "giou"):
        reached = {n for n, norm in norms(pretraining, loss).items() if norm > 0}
        assert set(RECORD.gradnorm_per_param[loss]) < set(norms(pretraining, loss))
        assert "text_encoder.roberta.embeddings.word_embeddings.weight" in reached


def test_the_accumulated_gradient_of_every_parameter_is_reproduced(p: Pretraining) -> None:
    losses, _ = p(BATCH, tuple(p.model.objectives), ("k",))
    names = ("texts/mlm", "pairs/itc", "pairs/itm", "pairs/imlm", "pairs/mim", "regions/bbp")
    torch.stack([losses[n] for n in names]).sum().backward()
    theirs = from_published(tiny.tensors("fp64_grads_total"))
    grads = {n: q.grad for n, q in p.model.named_parameters()}
    assert set(theirs) == {n for n, grad in grads.items() if grad is not None} == set(grads)
    assert {n for n in theirs if not close(grads[n], theirs[n])} == set()
