"""The start of a run from others' encoders: their weights, a fresh model's for the rest, and their tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..config import ConfigError, RunConfig
from ..data import dataset
from ..data.tokenizer import Tokenizer, read_pretrained
from ..interop.checkpoint_file import CheckpointError
from ..interop.pretrained_encoders import KINDS, Source, read_encoder
from ..model import XFM
from ..objectives import build
from ..runs.run import INIT
from ..runs.weights import packed

STARTED = "init.json"  # what each source brought, what of it has no use, and what starts fresh
MAY_LACK = re.compile(r"vision\.(norm\..*|mask_token)|objectives\..*")  # BEiT's have another norm, or are fine-tuned


def start_of_files(config: RunConfig, files: Sequence[Source]) -> dict[str, bytes | str]:
    """The run's files that its training starts from, by name. Raises as `started_model`."""
    model, tokenizer, brought = started_model(config, files)
    words = tokenizer.backend.to_str(pretty=True)
    return {"tokenizer.json": words, STARTED: json.dumps(brought, indent=1) + "\n", INIT: packed(model.state_dict())}


def started_model(config: RunConfig, files: Sequence[Source]) -> tuple[XFM, Tokenizer, list[dict]]:
    """The model with the files' encoders, the tokenizer (the dataset's, where no language encoder is among them), and
    of each source its name, its unused names and which of our parameters it brings and lacks.

    CheckpointError for files that are no such encoder's or not whole; ConfigError where they do not fit the config.
    """
    model, tokenizer, brought = build(config), None, []
    state = model.state_dict()
    for source in files:
        order: list[int] = []
        if KINDS[source.kind] == "text":
            tokenizer, order = read_pretrained(source.path)
        weights, unused = read_encoder(source, config, order)
        lacking = [n for n in state if n.startswith(f"{KINDS[source.kind]}.") and n not in weights]
        if broken := [name for name in lacking if not MAY_LACK.fullmatch(name)]:
            raise CheckpointError(f"{source.path}: lacks {', '.join(broken[:3])} ({len(broken)} parameters in all)")
        for name, tensor in weights.items():
            if name not in state or tensor.shape != state[name].shape:
                shape = tuple(state[name].shape) if name in state else "no such parameter"
                raise CheckpointError(f"{source.path}: {name} has {tuple(tensor.shape)}, this model {shape}")
        model.load_state_dict(weights, strict=False)
        headless = KINDS[source.kind] == "text" and not any(n.startswith("objectives.mlm.head.") for n in weights)
        for name in (n for n in config.flow.anchored if headless and n != "l2sp"):
            held = "the prediction that it holds on to would be random; give one with its MLM head, or leave it out"
            raise ConfigError(f"flow.{name}: {source.path} has no MLM head: {held}")
        brought.append({"from": str(source), "brings": [*weights], "fresh": lacking, "unused": unused})
    return model, tokenizer or dataset(config).tokenizer(), brought
