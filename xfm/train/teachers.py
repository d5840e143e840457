"""Other networks that guide MIM: the encoder that training started from, another run's, or one of open_clip's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base.strings import shown
from ..config import ConfigError, RunConfig
from ..interop.clip import teacher
from ..model import VISION_ENCODERS
from ..objectives import OBJECTIVES, losses_by_stream, weights_at
from ..recipes import prior_runs
from ..runs.errors import RunError
from ..runs.run import INIT, STATE, Run
from ..runs.weights import read_weights


def mim_teacher(run: Run, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Pictures (B, 3, H, W) -> the patch tokens (B, P, C) that MIM predicts, where another network makes them."""
    flow = run.config.flow
    if run.config.weight("mim") == 0 or flow.mim_target not in ("frozen", "teacher"):
        return None
    if flow.taught_by_run:
        return _frozen(teaching_run(run.config, run.folder.parents[1]).model().vision, device)
    if flow.mim_target == "teacher":
        return teacher(flow.teacher, flow.teacher_weights, run.config.model.vision, device)
    if not run.has(INIT):
        raise RunError(
            f"{run.folder / INIT}: not there, and the frozen target is made of it. Put it back, or delete {STATE} too "
            "to start again"
        )
    weights = read_weights(run.folder / INIT)
    encoder = VISION_ENCODERS[run.config.model.vision.encoder](run.config.model.vision)
    encoder.load_state_dict({n.removeprefix("vision."): t for n, t in weights.items() if n.startswith("vision.")})
    return _frozen(encoder, device)


def teaching_run(config: RunConfig, root: str | Path) -> Run:
    """The finished run that `flow.teacher` names, or of this config's changes, under `root`. ConfigError where its
    vision encoder cannot teach this model's."""
    field = f"flow.teacher = {shown(config.flow.teacher)}"
    try:
        run = Run.of(prior_runs.teacher(config), root) if config.has_teacher else Run.open(config.flow.teacher)
    except RunError as error:
        raise ConfigError(f"{field}: {error}") from error
    _require_fitting(run.config, config)
    if not run.done:
        raise ConfigError(f"{field}: not finished; train it to the end first")
    return run


def require_teaching(config: RunConfig, root: str | Path) -> None:
    """ConfigError where the run that `flow.teacher` names, trained already or first of all, cannot teach this model."""
    if config.has_teacher:
        _require_fitting(prior_runs.teacher(config), config)
    else:
        teaching_run(config, root)


def _require_fitting(teacher: RunConfig, config: RunConfig) -> None:
    field = f"flow.teacher = {shown(config.flow.teacher)}"
    on, by_stream = weights_at(teacher, teacher.train.steps), losses_by_stream(teacher)
    if not any(OBJECTIVES[n].kind() != "text" for losses in by_stream.values() for n in losses if n in on):
        raise ConfigError(f"{field}: its vision encoder was never trained; its losses are {', '.join(on)}")
    for name in ("image_size", "patch_size", "width"):
        theirs, ours = (getattr(config_of.model.vision, name) for config_of in (teacher, config))
        if theirs != ours:
            raise ConfigError(f"{field}: its model.vision.{name} is {theirs}; must be {ours}, as in this config")


def _frozen(encoder: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """An encoder as a function: no part of the model, never trained, never in train mode."""
    return torch.no_grad()(encoder.to(device).eval().requires_grad_(False).forward)
