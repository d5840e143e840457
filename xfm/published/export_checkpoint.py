"""A run as a file of the published form: of an imported run (`checkpoint`), the file that it was made of. Or, of a dual
encoder of open_clip's towers, as open_clip's."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of, require
from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json
from ..interop import published
from ..interop.checkpoint_file import CheckpointError
from ..interop.clip import to_open_clip
from ..runs.errors import RunError
from ..runs.run import WEIGHTS, Run
from ..runs.weights import read_weights
from .import_checkpoint import CAPTIONING, KEPT, PUBLISHED, sync

__all__ = ["export_checkpoint"]


def export_checkpoint(folder: str | Path, out: str | Path) -> None:
    """Writes a finished run as a file of the published form: of an imported run every name, tensor and value that it
    was made of, in their order, with the run's own weights; of another run what the published code's pre-training
    model needs. Tables that were interpolated stay at the run's resolution. A dual encoder of open_clip's towers is
    written as open_clip's state dict, with its config beside it (clip.pt, clip.json: `open_clip.add_model_config`).

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
    for name in (CAPTIONING, KEPT):
        if run.has(name):
            tensors |= read_weights(run.folder / name)
    try:
        record = parse_json(run.read(PUBLISHED).decode()) if run.has(PUBLISHED) else _record(run, tensors)
        holder, beside = record["holder"], record["beside"]
        state = {name: _tensor(name, getattr(torch, dtype), fate, tensors) for name, dtype, fate in record["keys"]}
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"{run.folder / PUBLISHED}: does not fit the run's files ({error!r}). Put good copies back, also of "
            f"{CAPTIONING} and {KEPT}, or import the file again"
        ) from error
    return {holder: state, **beside} if holder else state


def _save(content: Mapping[str, Any], out: Path) -> None:
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    with explain_os_error(out):
        try:
            with temporary.open("wb") as file:  # torch's own opening and writing raise no OSError
                torch.save(content, file)
            sync(temporary)
            os.replace(temporary, out)
        finally:
            temporary.unlink(missing_ok=True)


def _tensor(name: str, dtype: torch.dtype, fate: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """A tensor as the file has it. LookupError where what it is made of is not there."""
    own = published.canonical(name)
    made = published.buffer(own, tensors, dtype) if fate == "derived" else None
    if made is not None:
        return made
    return tensors[(published.alias_of(own) or own) if fate == "alias" else own].to(dtype)


def _record(run: Run, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What published.json would say of a run that was trained here."""
    aliases = [f"{encoder}_encoder.lm_head.decoder.{p}" for encoder in ("text", "fusion") for p in ("weight", "bias")]
    buffers = [name.replace("_bias_table", "_index") for name in tensors if name.endswith(published.TABLE)]
    buffers.append("text_encoder.roberta.embeddings.position_ids")
    keys = [[name, "float32", "own"] for name in tensors]
    keys += [[name, "float32", "alias"] for name in aliases if published.alias_of(name) in tensors]
    keys += [[name, "int64", "derived"] for name in buffers]
    return {"keys": keys, "holder": "model", "beside": {"config": run.config.to_dict()}}
