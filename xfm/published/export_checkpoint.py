"""A run as a file of the published form."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of, require
from ..base.files import write_atomically
from ..interop import published
from ..interop.checkpoint_file import CheckpointError
from ..runs.errors import RunError
from ..runs.run import WEIGHTS, Run
from ..runs.weights import read_weights


def export_checkpoint(folder: str | Path, out: str | Path) -> None:
    """Writes a finished run as what the published code's pre-training model needs. Tables that were interpolated stay
    at the run's resolution.

    RunError for a run that is not finished or damaged, CheckpointError for one that the published model cannot be, and
    FileError where `out` cannot be written; then nothing is left there.
    """
    run, out = Run.open(folder), Path(out)
    if not run.done:
        raise RunError(f"{run.folder}: not finished; train it to the end first")
    require(not out.exists(), "out", str(out), "a file that is not there yet")
    buffer = io.BytesIO()
    torch.save(_published(run, read_weights(run.folder / WEIGHTS)), buffer)
    write_atomically(out, buffer.getbuffer())


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
