"""A run as a file of the published form, or, of a dual encoder of open_clip's towers, as open_clip's."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of, require
from ..base.files import write_atomically
from ..interop import published
from ..interop.checkpoint_file import CheckpointError
from ..interop.clip import to_open_clip
from ..runs.errors import RunError
from ..runs.run import WEIGHTS, Run
from ..runs.weights import read_weights


def export_checkpoint(folder: str | Path, out: str | Path) -> None:
    """Writes a finished run as what the published code's pre-training model needs. Tables that were interpolated stay
    at the run's resolution. A dual encoder of open_clip's towers is written as open_clip's state dict, with its config
    beside it (clip.pt, clip.json: `open_clip.add_model_config`).

    RunError for a run that is not finished or damaged, CheckpointError for one that the published model cannot be, and
    FileError where `out` cannot be written; then nothing is left there.
    """
    run, out = Run.open(folder), Path(out)
    if not run.done:
        raise RunError(f"{run.folder}: not finished; train it to the end first")
    require(not out.exists(), "out", str(out), "a file that is not there yet")
    model, weights = run.config.model, read_weights(run.folder / WEIGHTS)
    if {model.vision.encoder, model.text.encoder} == {"open_clip"} and "itc" in run.config.objectives:
        config, state = to_open_clip(model, weights)
        beside = out.with_suffix(".json")
        require(out != beside, "out", str(out), "another name, as clip.pt: that one is the config's, beside it")
        require(not beside.exists(), "out", str(out), f"another file: {beside}, for the config, is there")
        _save(state, out)
        write_atomically(beside, json.dumps(config, indent=1) + "\n")
    else:
        _save(_published(run, weights), out)


def _published(run: Run, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    try:
        one_of("model.cross_attention", run.config.model.cross_attention, ("scaled_dot",))
        one_of("model.text.encoder", run.config.model.text.encoder, ("roberta",))
        tensors = published.to_published(weights, run.config.model.vision.patch_size)
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{run.folder}: {error.args[0]}; only the paper's form can be exported") from None
    aliases = [f"{encoder}_encoder.lm_head.decoder.{p}" for encoder in ("text", "fusion") for p in ("weight", "bias")]
    tied = {name: tensors[of] for name in aliases if (of := published.alias_of(name)) in tensors}
    buffers = [name.replace("_bias_table", "_index") for name in tensors if name.endswith(published.TABLE)]
    buffers.append("text_encoder.roberta.embeddings.position_ids")
    made = {name: published.buffer(name, tensors, torch.int64) for name in buffers}
    return {"model": {**tensors, **tied, **made}, "config": run.config.to_dict()}


def _save(content: Mapping[str, Any], out: Path) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(out, buffer.getbuffer())
