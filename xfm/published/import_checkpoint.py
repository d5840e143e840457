"""The published checkpoint as a run folder. What the model here has no use for is named in a report and not kept."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import recipes
from ..base.fields import require
from ..base.files import FileError, explain_os_error
from ..base.strings import brief
from ..config import ConfigError, RunConfig
from ..data import cache
from ..data.tokenizer import read_pretrained
from ..interop import published
from ..interop.checkpoint_file import CheckpointError, identify, read_file, tensors_of
from ..interop.resolution import grid_of, resize_table
from ..objectives import build
from ..runs.folder import environment
from ..runs.run import METRICS, WEIGHTS, Run
from ..runs.weights import packed, undrawn

HEAD_WIDTH = 64  # of every RoBERTa


@dataclass(frozen=True)
class ImportReport:
    """What came of an import: `str` of it is what the command prints. Names are the file's own."""

    run: Run
    parameters: int  # of the model
    unused: Mapping[str, str]  # name -> what became of it
    missing: tuple[str, ...]  # published names of heads that start fresh
    resized: tuple[str, ...]  # tables that were interpolated
    beside: tuple[str, ...]  # what lay beside the tensors and is not kept

    def __str__(self) -> str:
        groups = {
            f"unused, {fate}": [name for name, ours in self.unused.items() if ours == fate]
            for fate in dict.fromkeys(self.unused.values())
        }
        groups |= {"missing, fresh": self.missing, "interpolated": self.resized, "left out": self.beside}
        model = self.run.config.model
        size = f"{self.parameters:,} parameters, {model.vision.image_size} px, {model.text.vocabulary} tokens"
        lines = [f"{self.run.folder}: {size}; of another shape: none"]
        return "\n".join([*lines, *(f"{what}: {collapsed(names)}" for what, names in groups.items() if names)])


def collapsed(names: Iterable[str]) -> str:
    """Names in a line, those that differ in a number alone as one."""
    counts = Counter(re.sub(r"\.\d+\.", ".*.", name) for name in names)
    return ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items()) or "none"


def import_checkpoint(
    file: str | Path, tokenizer: str | Path, out: str | Path, image_size: int = 0, text_heads: int = 0
) -> ImportReport:
    """Makes a finished run folder `out` of the authors' file and a RoBERTa tokenizer's folder.

    `image_size`, in pixels: the relative position tables are interpolated to it (0: the file's own). `text_heads`: of
    the text and fusion encoder, which no shape tells (0: what a run that was exported says beside its tensors, else one
    for 64 of width, as every RoBERTa has them). Raises CheckpointError for a file that is no such model's, or lacks a
    part of it, and ConfigError for a tokenizer or sizes that do not fit; then `out` is not made.
    """
    out = Path(out)
    require(not out.exists(), "out", str(out), "a folder that is not there yet")
    state, _, beside = tensors_of(file, read_file(file))
    names = {name: published.canonical(name) for name in state}
    tensors = {names[name]: tensor for name, tensor in state.items()}
    if len(tensors) < len(state):
        twice = Counter(names.values()).most_common(1)[0][0]
        raise CheckpointError(f"{file}: has {twice} twice, under names that mean the same")
    config = _config(file, out, tensors, image_size, text_heads or _heads(beside))
    ours, missing, resized = _own(file, config, tensors)
    words, order = read_pretrained(tokenizer)
    if words.vocabulary != config.model.text.vocabulary:
        raise ConfigError(
            f"tokenizer = {brief(tokenizer)}: has {words.vocabulary} tokens, and {file} a word table of "
            f"{config.model.text.vocabulary}; name the tokenizer that the model was trained with (roberta-base's)"
        )
    require(order == sorted(order), "tokenizer", str(tokenizer), "RoBERTa's, as the model was trained with")
    fates = {name: _fate(names[name], tensors, ours) for name in state}
    run = Run(out, config)
    unused = {name: fate for name, fate in fates.items() if fate != "own"}
    parameters = sum(tensor.numel() for tensor in ours.values())
    report = ImportReport(run, parameters, unused, tuple(missing), tuple(resized), tuple(beside))
    texts = {
        "environment.json": json.dumps(environment(), indent=2) + "\n",
        "config.json": config.to_json(),
        "tokenizer.json": words.backend.to_str(pretty=True),
        METRICS: "",
        "DONE": "",
    }
    _write(run, ours, texts)
    return report


def imported(file: str | Path, tokenizer: str | Path, image_size: int = 0, text_heads: int = 0) -> Run:
    """The run of a published file, imported into the cache folder if that exact file and tokenizer are not there."""
    try:
        seen = Path(file).resolve(strict=True)
        parts = [(path, path.stat()) for path in (seen, *(p for p in sorted(Path(tokenizer).glob("*")) if p.is_file()))]
        key = [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in parts]
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror or error}); name a file of weights") from error
    digest = hashlib.blake2b(repr((key, image_size, text_heads)).encode(), digest_size=6).hexdigest()
    folder = cache.folder() / f"published-{digest}" / "seed0"
    try:
        if not folder.exists():
            import_checkpoint(file, tokenizer, folder, image_size, text_heads)
    except FileError:
        if not folder.exists():  # else another process was quicker
            raise
    return Run.open(folder)


def _heads(beside: Mapping[str, Any]) -> int:
    """Of the language encoder, as a run that was exported says beside its tensors; 0 where nothing does."""
    value: Any = beside
    for name in ("config", "model", "text", "heads"):
        value = value.get(name) if isinstance(value, Mapping) else 0
    return value if type(value) is int and value > 0 else 0


def _config(file: str | Path, out: Path, tensors: Mapping[str, Tensor], image_size: int, text_heads: int) -> RunConfig:
    """The paper's recipe at the sizes that the shapes tell; which do not tell heads."""
    if (model := identify(tensors)) != "X-FM":
        whose = f"{model}'s" if model else f"no model that is known here (it has {collapsed([*tensors][:3])} ...)"
        start = "The encoders of RoBERTa, BERT and BEiT start one: init_from"
        raise CheckpointError(f"{file}: is {whose}, not X-FM's. {start}")
    try:
        sizes = published.sizes({name: tensor.shape for name, tensor in tensors.items()})
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{file}: lacks {error.args[0]}, or has it in another form") from error
    if not sizes["model.vision.image_size"]:
        raise CheckpointError(f"{file}: its relative position tables are of no square grid")
    width = sizes["model.text.width"]
    sizes["model.text.heads"] = text_heads or max(width // HEAD_WIDTH, 1)
    sizes["model.vision.image_size"] = image_size or sizes["model.vision.image_size"]
    of_seed = re.fullmatch(r"seed(\d{1,18})", out.name)
    name, seed = (out.absolute().parent.name, int(of_seed[1])) if of_seed else (out.name, 0)
    base = recipes.base()
    patches = (sizes["model.vision.image_size"] // sizes["model.vision.patch_size"]) ** 2
    hidden = max(1, round(base.data.mask.image_patches * patches / base.model.vision.patches))
    longest = sizes["model.text.positions"] - 2
    tokens = {f"data.{n}": min(getattr(base.data, n), longest) for n in ("caption_tokens", "text_tokens")}
    masks = {"data.mask.image_patches": hidden, "data.mask.smallest_block": min(hidden, base.data.mask.smallest_block)}
    return base.replace({"name": name, "seed": seed, **sizes, **tokens, **masks})


def _own(
    file: str | Path, config: RunConfig, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Our parameters in float32; the published names of heads that lack, filled as a fresh model's; and of tables that
    were interpolated. CheckpointError, with every name, where an encoder lacks a parameter or a shape is another."""
    with undrawn():  # for its names and shapes
        model = build(config)
    grid, named = config.model.vision.grid, dict(model.named_parameters())
    expected = published.published_shapes(named, config.model.vision.patch_size)
    heads = {published.published_name(name) for name in named if name.startswith("objectives.")}
    missing = [name for name in expected if name not in tensors]
    if lacking := [name for name in missing if name not in heads]:
        raise CheckpointError(f"{file}: lacks {collapsed(lacking)}; an X-FM's encoders must be whole")
    present = {name: tensors[name] for name in expected if name in tensors}
    resized = [n for n, t in present.items() if n.endswith(published.TABLE) and 0 < grid_of(len(t)) != grid]
    present |= {name: resize_table(present[name].float(), grid) for name in resized}
    if wrong := [n for n, t in present.items() if t.shape != expected[n]]:
        problem = "; ".join(f"{n} has {tuple(tensors[n].shape)}, not {tuple(expected[n])}" for n in wrong)
        raise CheckpointError(f"{file}: of another shape than the rest of it tells: {problem}")
    ours = published.from_published({name: tensor.float() for name, tensor in present.items()})
    if missing:
        ours |= {name: tensor for name, tensor in build(config).state_dict().items() if name not in ours}
    return {name: ours[name] for name in named}, missing, resized


def _fate(name: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What becomes of one of the file's tensors, by its canonical name."""
    if published.is_known(name) and published.our_name(name) is not None:
        return "own"
    partner = published.alias_of(name) or ""
    if partner in tensors and torch.equal(tensors[name], tensors[partner]):
        return "alias"
    buffer = published.buffer(name, tensors, tensors[name].dtype)
    if buffer is not None and torch.equal(tensors[name], buffer):
        return "derived"
    return "captioning" if published.CAPTIONING.fullmatch(name) else "unknown here"


def _write(run: Run, weights: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """The folder, whole or not at all: made beside its place, and moved there."""
    made = replace(run, folder=run.folder.with_name(f".{run.folder.name}.{secrets.token_hex(4)}"))
    try:
        made.make()
        made.write({WEIGHTS: packed(weights), **texts})
        with explain_os_error(run.folder):
            made.folder.rename(run.folder)
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)
