"""What comes before a run's first step: can it be trained, what is trained first, which weights it begins with."""

from __future__ import annotations

import warnings
from pathlib import Path

from accelerate import Accelerator

from ..base.strings import shown
from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.remote import allow
from ..interop.pretrained_encoders import require_fitting, sources
from ..model import XFM
from ..objectives import OBJECTIVES, build, check_losses, losses_by_stream, weights_at
from ..recipes import prior_runs
from ..runs.errors import RunError
from ..runs.run import INIT, STATE, WEIGHTS, Run
from ..runs.weights import load_into, packed
from .pretrained import start_of_files
from .teachers import require_teaching

__all__ = ["before", "initial_model", "keep_start", "needs_start", "require_startable", "require_trainable",
           "warn_of_unrecorded"]  # fmt: skip

TARGET_HEAD = "objectives.mim."  # its shape follows the MIM target, not the model's sizes: fresh where it does not fit


def require_trainable(config: RunConfig) -> None:
    """ConfigError where a loss is unknown, or no stream ever meets a loss: there would be nothing to train, in the run
    or in its warm start. Warns of streams that no source of the dataset provides."""
    check_losses(config)
    if config.has_stage1 and not prior_runs.stage1_losses(config):
        untrained = f"must be '': none of {', '.join(config.objectives)} is learnt before the others"
        raise ConfigError(f"init_from = {config.init_from!r}: {untrained}")
    data, on = dataset(config), weights_at(config, config.train.steps)
    by_stream = losses_by_stream(data.feasible)
    if missing := [stream for stream in losses_by_stream(config) if stream not in by_stream]:
        trained = {loss for losses in by_stream.values() for loss in losses}
        untrained = "".join(f", and with it {loss}" for loss in on if loss not in trained)
        warnings.warn(f"{data.name}: provides no {' and no '.join(missing)}: off{untrained}", stacklevel=2)
    if not any(loss in on for losses in by_stream.values() for loss in losses):
        raise ConfigError(f"{config.name}: nothing to train; the streams {list(by_stream)} serve none of {list(on)}")


def require_startable(run: Run) -> None:
    """Errors as `require_trainable`; and, before there is a folder, where others' encoders or a teaching run do not fit
    the config. The config is the user's own, so its remote sources are fetched."""
    allow(run.config.data.sources)
    require_trainable(run.config)
    if not (run.has(INIT) or run.has(STATE)):
        files = sources(run.config.init_from)
        for source in files:
            require_fitting(source, run.config)
        if run.config.init_from and not files and not run.config.has_stage1:
            _require_learnt(Run.open(run.config.init_from).config, run.config)
        if run.config.flow.taught_by_run and run.config.weight("mim") > 0:
            require_teaching(run.config, run.folder.parents[1])


def _require_learnt(source: RunConfig, config: RunConfig) -> None:
    """ConfigError where the run that a config starts from never learnt what is to be kept of it."""
    on = weights_at(source, source.train.steps)
    learnt = {n for losses in losses_by_stream(source).values() for n in losses if n in on}
    kinds, flow = {OBJECTIVES[n].kind() for n in learnt}, config.flow
    kept = ["mim_target"] if flow.mim_target == "frozen" and config.weight("mim") > 0 and kinds <= {"text"} else []
    kept += [n for n in flow.anchored if (kinds <= {"image"} if n == "l2sp" else "mlm" not in learnt)]
    if kept:
        said = f"init_from = {shown(config.init_from)}: its losses are {', '.join(sorted(learnt))}"
        raise ConfigError(f"{said}: what flow.{kept[0]} holds to was never trained; name another run, or leave it out")


def before(run: Run) -> dict[str, RunConfig]:
    """What is to be trained before the run begins, in this order, where its config asks for it: the paper's warm start,
    and a teacher of its own; once it has begun, a teacher that is gone."""
    config, root = run.config, run.folder.parents[1]
    begun = any(map(run.has, (INIT, STATE, "DONE")))
    first = {"warm start": prior_runs.stage1(config)} if config.has_stage1 and not begun else {}
    if config.has_teacher and not (run.has("DONE") or (begun and Run.of(prior_runs.teacher(config), root).done)):
        first["teacher"] = prior_runs.teacher(config)
    return first


def warn_of_unrecorded(finished: Run) -> None:
    """Says what the config asks to see of the steps of a run that was finished without it."""
    made = Run.open(finished.folder).config.train
    for field in ("probe_every", "keep"):
        asked, had = getattr(finished.config.train, field), getattr(made, field)
        if asked not in (0, had):
            warnings.warn(
                f"{finished.folder}: finished with train.{field} = {had}; what {asked} asks for was not kept, and "
                "nothing is trained for it. Delete the folder to train it again, or give another root",
                stacklevel=3,
            )


def needs_start(run: Run, accelerator: Accelerator) -> bool:
    """Whether the run is still without the weights that its config starts from."""
    missing = bool(run.config.init_from) and not (run.has(INIT) or run.has(STATE))
    accelerator.wait_for_everyone()  # all have looked before one writes
    return missing


def keep_start(run: Run, accelerator: Accelerator) -> None:
    """Keeps the tokenizer and the weights that the run starts from as its own, so that it no longer depends on another
    folder. Stage 1 brings the encoders and the heads that it trained, as RoBERTa and BEiT-v2 do for the paper; from
    their own files, too."""
    if files := sources(run.config.init_from):
        with accelerator.main_process_first():
            if accelerator.is_main_process:
                run.write(start_of_files(run.config, files))
        return
    source = Path(run.config.init_from)
    if run.config.has_stage1:
        source = Run.of(prior_runs.stage1(run.config), run.folder.parents[1]).folder
    if not Run.open(source).done:
        raise RunError(f"{source}: init_from names an unfinished run; finish it first")
    brings = ("",)
    if run.config.has_stage1:
        trained = prior_runs.stage1_losses(run.config)
        heads = [f"objectives.{n}." for n in trained if not OBJECTIVES[n].new_heads]
        brings = (*(f"{OBJECTIVES[n].kind().replace('image', 'vision')}." for n in trained), *heads)
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            model = build(run.config)
            load_into(model, source / WEIGHTS, brings, fresh=TARGET_HEAD)
            words = Run.open(source).tokenizer().backend.to_str(pretty=True)
            run.write({"tokenizer.json": words, INIT: packed(model)})


def initial_model(run: Run, resumed: bool) -> XFM:
    """The model as its training starts; `resumed`: its weights come from the last save anyway."""
    model = build(run.config)
    if run.config.init_from and not resumed:
        load_into(model, run.folder / INIT)
    return model
