"""A recipe for user data: sizes picked from what the data are, with what was picked and what to expect in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from .. import recipes
from ..base.strings import printable
from ..config import ConfigError, RunConfig
from ..data.tokenizer import largest, train
from ..data.wordnet import WordNet
from ..data.world.scenes import World
from . import agree
from .file_source import EMBEDDED, FileSource

EPOCHS = 30  # times that each picture is seen; of texts alone, each text
FEW, MANY = 3000, 100_000  # training pictures: what the demo's sizes, and those of `small`, are enough for
CUT = 99  # % of the texts that are not cut
MIXED_IN = dict(zip(EMBEDDED, (World, WordNet), strict=True))


@dataclass(frozen=True)
class Sized:
    """A config for user data, with a description of its sizes and of what to expect."""

    config: RunConfig
    picked: str
    expect: str
    lengths: list[int]  # tokens of each text to train on


def own(sources: Sequence[str], weights: Sequence[float] = (), unreadable: float | None = None) -> Sized:
    """The recipe for `data.sources`; every field can be changed afterwards, and `data.unreadable`, by which they are
    read, beforehand. Raises ConfigError as `FileSource`, and where no stream has rows of every split."""
    unreadable = recipes.demo().data.unreadable if unreadable is None else unreadable
    files = _opened(sources, unreadable)
    mixed = frozenset(chain.from_iterable(MIXED_IN[spec].provides for spec in sources if spec in EMBEDDED))
    provides = mixed.union(*(source.provides for source in files))
    pictures = sum(source.pictures("train") for source in files)
    pairs = sum(source.size("train") for source in files if "pairs" in source.provides)
    base, side = _scale(pictures)
    corpus = list(chain.from_iterable(source.corpus() for source in files))
    vocabulary = largest(iter(corpus), base.model.text.vocabulary)
    tokenizer = train(iter(corpus), vocabulary)
    lengths = [len(tokenizer.encode(text, 1 << 20)) for text in corpus]
    uncut = np.percentile(lengths or [0], CUT)  # of pictures alone there are none
    longest, text = (int(np.clip(uncut, 8, most)) for most in (64, 128))
    endless = "pairs" in mixed  # as many pictures with captions as are wanted
    batch = base.data.pairs if endless else max(2, min(base.data.pairs, pairs or pictures))
    images = base.data.images if endless else min(base.data.images, max(2, pictures))
    seen, at_once = (max(pairs, pictures), batch) if pictures else (len(corpus), base.data.texts)
    steps = int(np.clip(EPOCHS * seen // at_once, 300, 200_000))
    sizes = {"pairs": batch, "regions": base.data.regions, "images": images, "texts": base.data.texts}
    fields = {
        "name": "own",
        "data.sources": tuple(sources),
        "data.weights": tuple(weights),
        "data.unreadable": unreadable,
        "model.vision.image_size": side,
        "model.text.vocabulary": vocabulary,
        "model.text.positions": max(longest, text) + 2,
        "data.caption_tokens": longest,
        "data.text_tokens": text,
        "data.mask.image_patches": round(0.385 * (side // base.model.vision.patch_size) ** 2),  # the paper's 75 of 196
        **{f"data.{stream}": size if stream in provides else 0 for stream, size in sizes.items()},
        "data.fusion_batch": min(base.data.fusion_batch, batch),
        **dict.fromkeys(("data.single_until", "data.full_from"), 0.0),
        "data.augment.crop": 0.6 if pictures < FEW else 1.0,
        "data.augment.colour": 0.2 if pictures < FEW else 0.0,
        "train.shards": min(base.train.shards, min(batch, images) // 2),  # two of each in a shard
        "train.steps": steps,
        "train.warmup": steps // 20,
    }
    if _mim_alone(provides):  # an encoder that no other loss teaches collapses with its own outputs as the target
        fields |= {"objectives.mim.start": 0.0, "flow.mim_target": "pixels"}
    config = base.replace(fields)
    picked = _picked(config, base.name, pictures, len(corpus), provides)
    return Sized(config, picked, _expect(pictures, provides, endless), lengths)


def _opened(sources: Sequence[str], unreadable: float) -> list[FileSource]:
    """The files among the sources, with splits that agree. ConfigError where there are none, or nothing to train."""
    if not sources:
        raise ConfigError("own: needs data; `xfm pretrain own --data captions.csv` (formats: docs/your-own-data.md)")
    files = [FileSource(spec, 48, unreadable) for spec in sources if spec not in EMBEDDED]
    if not files:
        raise ConfigError(f"own: {list(sources)} are no files")
    agree(files)
    if not any(source.provides for source in files):
        counts = ", ".join(f"{s} {sum(len(source.splits[s]) for source in files)}" for s in files[0].splits)
        lacking = f"nothing to train: no stream has rows of every split ({counts})"
        raise ConfigError(f"own: {list(sources)}: {lacking}; give no splits, and they are made by content")
    return files


def _mim_alone(provides: frozenset[str]) -> bool:
    """Whether no other loss reaches the vision encoder."""
    return "images" in provides and not provides & {"pairs", "regions"}


def _scale(pictures: int) -> tuple[RunConfig, int]:
    """The recipe whose sizes fit, and the side of its pictures."""
    if pictures < FEW:
        return recipes.demo(), 64
    return (recipes.small(), 96) if pictures < MANY else (recipes.base(), 224)


def _picked(config: RunConfig, base: str, pictures: int, texts: int, provides: frozenset[str]) -> str:
    data, vision = config.data, config.model.vision
    off = [stream for stream in ("pairs", "regions", "images", "texts") if stream not in provides]
    varied = f"; crops of {data.augment.crop:.0%} and more, colours ±{data.augment.colour:.0%}"
    return printable(
        f"{pictures:,} pictures and {texts:,} texts to train on. Picked: the sizes of {base} (width {vision.width}, "
        f"{vision.depth} layers), {vision.image_size} px, {config.model.text.vocabulary:,} word pieces, captions up to "
        f"{data.caption_tokens} of them, {data.pairs} pairs a step, {config.train.steps:,} steps"
        + (varied if data.augment.crop < 1 else "")
        + ("; MIM predicts pixels, as no other loss teaches the vision encoder" if _mim_alone(provides) else "")
        + (f". Off, as the data have none: {', '.join(off)}" if off else "")
        + ". Every field can be changed, as in --train.steps 2000; --dry-run says what it takes."
    )


def _expect(pictures: int, provides: frozenset[str], drawn: bool) -> str:
    if "pairs" not in provides:
        return "Without captions of pictures nothing ties language to vision: expect encoders, and no retrieval."
    if pictures < 200:
        return (
            "So few pictures are learnt by heart: expect a low training loss and retrieval of unseen pictures hardly "
            "above chance. Find more" + ("." if drawn else ', or mix in "openmoji" (data.sources).')
        )
    if pictures < FEW:
        return (
            "From scratch on so few, expect colours, layout and frequent words: retrieval of unseen pictures above "
            "chance and far from CLIP's."
        )
    return "Expect retrieval within this kind of pictures; words that are rare in the captions stay unlearnt."
