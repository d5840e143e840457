"""What must hold before a run's folder is made: whether its config can be trained, and what is trained before it."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..base.strings import shown
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.source import allow
from ..interop.pretrained_encoders import require_fitting, sources
from ..model.replicas import launched
from ..objectives import OBJECTIVES, check_losses, losses_by_stream, weights_at
from ..recipes import prior_runs
from ..runs.errors import RunError
from ..runs.run import INIT, STATE, Run


def require_trainable(config: RunConfig) -> None:
    """ConfigError where a loss is unknown, or no stream ever meets a loss: there would be nothing to train, in the run
    or in its warm start. Warns of streams that no source of the dataset provides."""
    check_losses(config)
    if config.has_stage1 and not prior_runs.stage1_losses(config):
        untrained = f"must be '': none of {', '.join(config.objectives)} is learnt before the others"
        raise ConfigError(f"init_from = {config.init_from!r}: {untrained}")
    data, on = dataset(config), weights_at(config, config.train.steps)
    by_stream = losses_by_stream(data.feasible)
    trained = {loss for losses in by_stream.values() for loss in losses}
    if missing := [stream for stream in losses_by_stream(config) if stream not in by_stream]:
        untrained = "".join(f", and with it {loss}" for loss in on if loss not in trained)
        warnings.warn(f"{data.name}: provides no {' and no '.join(missing)}: off{untrained}", stacklevel=2)
    if not trained & {*on}:
        raise ConfigError(f"{config.name}: nothing to train; the streams {list(by_stream)} serve none of {list(on)}")


def require_startable(run: Run) -> None:
    """Errors as `require_trainable`; and, before there is a folder, where others' encoders or a teaching run do not fit
    the config. The config is the user's own, so its remote sources are fetched."""
    config = run.config
    allow(config.data.sources)
    require_trainable(config)
    if launched()[1] > 1 and config.flow.fusion_gradient != "plain":
        allowed = "must be 'plain' with several processes; train in one, with train.accumulate"
        raise ConfigError(f"flow.fusion_gradient = {config.flow.fusion_gradient!r}: {allowed}")
    if run.has(INIT) or run.has(STATE):
        return
    files = sources(config.init_from)
    for source in files:
        require_fitting(source, config)
    if config.init_from and not files and not config.has_stage1:
        _require_learnt(Run.open(config.init_from).config, config)
    if config.flow.taught_by_run and config.weight("mim") > 0:
        _require_teaching(prior_runs.teacher(config) if config.has_teacher else teaching_run(config, "").config, config)


def _learnt(config: RunConfig) -> list[str]:
    """The losses that a training of the config ends with."""
    on, by_stream = weights_at(config, config.train.steps), losses_by_stream(config)
    return [name for name in on if any(name in losses for losses in by_stream.values())]


def _require_learnt(source: RunConfig, config: RunConfig) -> None:
    """ConfigError where the run that a config starts from never learnt what is to be kept of it."""
    learnt, flow = _learnt(source), config.flow
    kinds = {OBJECTIVES[n].kind() for n in learnt}
    held = ["mim_target"] if flow.mim_target == "frozen" and config.weight("mim") > 0 and kinds <= {"text"} else []
    held += [n for n in flow.anchored if (kinds <= {"image"} if n == "l2sp" else "mlm" not in learnt)]
    if held:
        losses = f"init_from = {shown(config.init_from)}: its losses are {', '.join(sorted(learnt))}"
        untrained = f"what flow.{held[0]} holds to was never trained; name another run, or leave it out"
        raise ConfigError(f"{losses}: {untrained}")


def teaching_run(config: RunConfig, root: str | Path) -> Run:
    """The finished run that `flow.teacher` names, or of this config's changes, under `root`; else ConfigError."""
    field = f"flow.teacher = {shown(config.flow.teacher)}"
    try:
        run = Run.of(prior_runs.teacher(config), root) if config.has_teacher else Run.open(config.flow.teacher)
    except RunError as error:
        raise ConfigError(f"{field}: {error}") from error
    if not run.done:
        raise ConfigError(f"{field}: not finished; train it to the end first")
    return run


def _require_teaching(teacher: RunConfig, config: RunConfig) -> None:
    """ConfigError where a run's vision encoder cannot teach this model's."""
    field, learnt = f"flow.teacher = {shown(config.flow.teacher)}", _learnt(teacher)
    if all(OBJECTIVES[n].kind() == "text" for n in learnt):
        raise ConfigError(f"{field}: its vision encoder was never trained; its losses are {', '.join(learnt)}")
    for name in ("image_size", "patch_size", "width"):
        theirs, ours = (getattr(of.model.vision, name) for of in (teacher, config))
        if theirs != ours:
            raise ConfigError(f"{field}: its model.vision.{name} is {theirs}; must be {ours}, as in this config")


def before(run: Run) -> dict[str, RunConfig]:
    """What is to be trained before the run begins, in this order, where its config asks for it: the paper's warm start,
    and a teacher of its own; once it has begun, a teacher that is gone."""
    config = run.config
    begun = any(map(run.has, (INIT, STATE, "DONE")))
    first = {"warm start": prior_runs.stage1(config)} if config.has_stage1 and not begun else {}
    if config.has_teacher and not run.has("DONE"):
        teacher = prior_runs.teacher(config)
        first |= {} if begun and Run.of(teacher, run.root).done else {"teacher": teacher}
    return first


def warn_of_unrecorded(finished: Run) -> None:
    """Says what the config asks to see of the steps of a run that was finished without it."""
    made = Run.open(finished.folder).config.train
    for field in ("probe_every", "keep"):
        wanted, had = getattr(finished.config.train, field), getattr(made, field)
        if wanted not in (0, had):
            warnings.warn(
                f"{finished.folder}: finished with train.{field} = {had}; what {wanted} asks for was not kept, and "
                "nothing is trained for it. Delete the folder to train it again, or give another root",
                stacklevel=3,
            )
