"""The runs that a run may need first, which others share: its warm start, and the teacher of its vision encoder."""

from __future__ import annotations

from ..config import FlowConfig, ObjectiveConfig, RunConfig, TrainConfig
from ..objectives.registry import OBJECTIVES
from . import with_changes


def stage1_losses(config: RunConfig) -> tuple[str, ...]:
    """Those that train the warm start: with init_from "stage1:text" the language encoder's alone."""
    alone = config.init_from == "stage1:text"
    stage1 = [n for n in config.objectives if OBJECTIVES[n].stage1]
    return tuple(n for n in stage1 if not alone or OBJECTIVES[n].kind() == "text")


def stage1(config: RunConfig) -> RunConfig:
    """The warm start that a config asks for, as in the paper: the language encoder by MLM, the vision encoder by MIM
    (with init_from "stage1:text" the first alone).

    It depends on nothing that the ablations change, so variants of one seed share it. MIM predicts pixels: an encoder
    from scratch has no outputs worth predicting.
    """
    trained = stage1_losses(config)
    losses = {f"objectives.{o}": ObjectiveConfig(weight=float(o in trained)) for o in config.objectives}
    pictures = 64 if any("images" in OBJECTIVES[o].streams for o in trained) else 0
    sizes = {"data.pairs": 0, "data.regions": 0, "data.images": pictures, "data.texts": 64}
    by_name = ("text_lr_scale", "text_layer_decay", "text_sgd_lr", "text_momentum", "muon_lr")
    plain = config.replace(
        {
            "name": "stage1",
            "seed": config.drawn_by("warm_start"),
            "seed_of": {},
            "init_from": "",
            "flow": _unguided(config),
            "data.single_until": 0.0,
            "data.full_from": 0.0,
            "data.relation_negatives": 0.0,
            "model.cross_attention": "scaled_dot",  # of the fusion encoder, which it does not train
            "train.steps": config.stage1_steps,
            "train.probe_every": 0,
            "train.keep": 0,
            **{f"train.{name}": getattr(TrainConfig(), name) for name in by_name},
            **{f"train.{name}": min(getattr(config.train, name), 32) for name in ("shards", "accumulate")},
            "train.warmup": min(config.train.warmup, config.stage1_steps // 5),
            **losses,
            **sizes,
        }
    )
    return plain.replace({"name": _derived(config, "stage1", plain)})


def teacher(config: RunConfig) -> RunConfig:
    """The run whose vision encoder guides MIM where `flow.teacher` is "+clip_like": the config with this change, from
    scratch and without guidance, on the same batches.

    It depends on nothing that tells targets of guidance apart, so variants of one seed share it. ConfigError for an
    unknown change, with the nearest one.
    """
    mim = {"objectives.mim": ObjectiveConfig()} if "mim" in config.objectives else {}
    alone = {"name": "teacher", "init_from": "", "flow": _unguided(config), "train.probe_every": 0, "train.keep": 0}
    plain = with_changes(config.replace(alone | mim), config.flow.teacher.split("+")[1:])
    return plain.replace({"name": _derived(config, "teacher", plain)})


def _unguided(config: RunConfig) -> FlowConfig:
    """The losses' default stops, no intervention, and pixels as MIM's target."""
    return FlowConfig({o: OBJECTIVES[o].text_gradient for o in config.flow.text_gradient}, mim_target="pixels")


def _derived(config: RunConfig, what: str, made: RunConfig) -> str:
    """The name of a run that others share: of what it is made, not of the config that asks for it."""
    return f"{config.name.split('+')[0][:40]}.{what}-{made.fingerprint}"
