"""What a run is: frozen, nested dataclasses. No torch here.

A config is data: it goes to JSON and back, is changed by dotted names (`config.replace({"train.steps": 500})`), and two
configs with the same `fingerprint` are the same run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from .config_utils import ConfigError as ConfigError  # everybody has it from here
from .config_utils import Table, build, changed, positive, require, shares, to_tree, typed, unknown_field
from .text import parse_json

__all__ = ["LATER", "PAPER", "STREAMS", "AugmentConfig", "CaptionConfig", "ConfigError", "DataConfig", "FlowConfig",
           "MaskConfig", "ModelConfig", "ObjectiveConfig", "RunConfig", "SceneConfig", "TextConfig", "TrainConfig",
           "VisionConfig", "from_dict", "from_json"]  # fmt: skip

# What compares queries with keys, see model.attention_functions
AttentionFunction = Literal["scaled_dot", "dot", "general", "additive", "cosine"]
MimTarget = Literal["self", "frozen", "pixels", "teacher"]
Precision = Literal["auto", "fp32", "bf16", "native"]
Strategy = Literal["ddp", "fsdp"]
STREAMS = ("pairs", "regions", "images", "texts")
NAME = 200  # bytes; a folder's name may have 255, and a warm start's is longer than its run's
# Fields that came later: at their defaults they are no part of a fingerprint, which older runs keep so.
LATER = {
    "model": ("cross_attention",),
    "data": ("sources", "weights", "tokenizer", "unreadable", "augment", "styles"),
    "train": ("shards", "accumulate"),
}
PAPER = ("mlm", "mim", "itc", "itm", "imlm", "bbp")  # the losses of X-FM, section 3.2


@dataclass(frozen=True)
class VisionConfig:
    """The vision encoder, BEiT-v2-style unless another is named. The defaults are the paper's `base`."""

    image_size: int = 224  # pixels a side
    patch_size: int = 16  # pixels a side
    width: int = 768
    depth: int = 12
    heads: int = 12
    drop_path: float = 0.1  # of the last block; rises linearly from 0 in the first
    layer_scale: float = 0.1  # start of gamma_1 and gamma_2
    absolute_positions: bool = False  # learnt, sine-cosine start; needed where training starts from scratch
    encoder: str = "beit"  # of model.VISION_ENCODERS

    def __post_init__(self) -> None:
        typed(self, "model.vision.")
        positive(self, "model.vision.", "image_size", "patch_size", "width", "depth", "heads")
        positive(self, "model.vision.", "layer_scale", zero=True)
        fits = self.image_size % self.patch_size == 0
        require(fits, "model.vision.image_size", self.image_size, f"a multiple of patch_size ({self.patch_size})")
        require(self.width % self.heads == 0, "model.vision.heads", self.heads, f"a divisor of width ({self.width})")
        require(self.width % 4 == 0, "model.vision.width", self.width, "a multiple of 4 (sine-cosine positions)")
        require(0 <= self.drop_path < 1, "model.vision.drop_path", self.drop_path, "in [0, 1)")

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        return self.grid**2


@dataclass(frozen=True)
class TextConfig:
    """RoBERTa-style language encoder; the fusion encoder shares its sizes. The defaults are the paper's `base`."""

    vocabulary: int = 50265
    positions: int = 514  # rows of the position table; the first two are taken by the padding rule
    width: int = 768
    depth: int = 12
    heads: int = 12
    intermediate: int = 3072
    dropout: float = 0.1
    encoder: str = "roberta"  # of model.TEXT_ENCODERS

    def __post_init__(self) -> None:
        typed(self, "model.text.")
        positive(self, "model.text.", "positions", "width", "depth", "heads", "intermediate")
        require(self.width % self.heads == 0, "model.text.heads", self.heads, f"a divisor of width ({self.width})")
        require(self.vocabulary > 5, "model.text.vocabulary", self.vocabulary, "more than the 5 special tokens")
        require(0 <= self.dropout < 1, "model.text.dropout", self.dropout, "in [0, 1)")


@dataclass(frozen=True)
class ModelConfig:
    """The three encoders and the contrastive space. The defaults are the paper's `base`.

    `cross_attention` is the function of the fusion encoder's attention from text to pictures, and of no other: it is
    there to ask how words and patches are best aligned, and nowhere else one modality looks at the other.
    """

    vision: VisionConfig = VisionConfig()
    text: TextConfig = TextConfig()
    fusion_depth: int = 12
    cross_attention: AttentionFunction = "scaled_dot"
    embed_dim: int = 256  # of the contrastive space
    temperature: float = 0.07  # start of the learnt temperature
    init_std: float = 0.02  # of the encoders' weights; .02 * sqrt(768 / width) where training starts from scratch

    def __post_init__(self) -> None:
        typed(self, "model.")
        positive(self, "model.", "embed_dim", "init_std")
        positive(self, "model.", "fusion_depth", zero=True)  # 0: two encoders side by side
        require(0.001 <= self.temperature <= 0.5, "model.temperature", self.temperature, "in [0.001, 0.5]")


@dataclass(frozen=True)
class FlowConfig:
    """The paper's two techniques (X-FM, section 3.2)."""

    # technique 1, the stop-gradient: by loss, the scale of its gradient into the language encoder; 0 is the paper's
    # stop, 1 plain multi-task training. Losses that do not cross from text to pictures, like MLM, have none.
    text_gradient: Mapping[str, float] = field(default_factory=lambda: Table(itc=1.0, itm=0.0, imlm=0.0, bbp=0.0))
    mim_target: MimTarget = "self"  # technique 2, the guidance: what masked patches must predict
    # mim_target "teacher": a finished run's folder, "runs/demo+clip_like/seed0"; or the name of a model that open_clip
    teacher: str = ""  # knows itself, e.g. "ViT-B-32" ...
    teacher_weights: str = ""  # ... and its weights: the path of a local file; nothing is fetched

    def __post_init__(self) -> None:
        typed(self, "flow.")
        for loss, scale in self.text_gradient.items():
            require(0 <= scale <= 1, f"flow.text_gradient.{loss}", scale, "in [0, 1]")
        if self.mim_target == "teacher":
            require(bool(self.teacher), "flow.teacher", self.teacher, "an open_clip model name, or a run's folder")
            path = PurePath(self.teacher).name != self.teacher  # no model that open_clip knows has such a name
            allowed = "the path of a local file (a run's folder has its own; give it as a path, ./NAME)"
            require(path or bool(self.teacher_weights), "flow.teacher_weights", self.teacher_weights, allowed)

    @property
    def taught_by_run(self) -> bool:
        """Whether `teacher` is a run's folder."""
        return self.mim_target == "teacher" and not self.teacher_weights


@dataclass(frozen=True)
class ObjectiveConfig:
    """When a loss joins, and how much it weighs."""

    weight: float = 1.0  # 0 switches the loss off: it then costs nothing
    start: float = 0.0  # the share of the run's steps after which it joins


@dataclass(frozen=True)
class MaskConfig:
    """How much is hidden, as in the published code."""

    caption_share: float = 0.5  # of a caption's tokens, for IMLM
    caption_most: int = 15
    text_share: float = 0.15  # of a sentence's tokens, for MLM
    text_most: int = 20
    span_share: float = 0.2  # of the chosen starts grow to a span of 2 or 3 tokens
    image_patches: int = 75  # hidden in every picture, for MIM: 75 of 196 at `base`
    smallest_block: int = 16  # patches

    def __post_init__(self) -> None:
        typed(self, "data.mask.")
        shares(self, "data.mask.", "caption_share", "text_share", "span_share")
        positive(self, "data.mask.", "caption_most", "text_most", "smallest_block")


@dataclass(frozen=True)
class SceneConfig:
    """How hard the pictures are. The defaults are calm: upright objects, apart from each other, on a pastel ground."""

    rotation: float = 0.0  # degrees: the largest turn either way
    alike: float = 0.0  # probability that a further object is of the first one's category
    clutter: int = 0  # most shapes on the ground, behind the objects
    overlap: float = 0.0  # largest share of an object that others may hide

    def __post_init__(self) -> None:
        typed(self, "data.scenes.")
        require(0 <= self.rotation <= 180, "data.scenes.rotation", self.rotation, "in [0, 180] (degrees)")
        shares(self, "data.scenes.", "alike")
        require(0 <= self.clutter <= 64, "data.scenes.clutter", self.clutter, "in [0, 64]")
        require(0 <= self.overlap <= 0.5, "data.scenes.overlap", self.overlap, "in [0, 0.5]")


@dataclass(frozen=True)
class CaptionConfig:
    """How rich the language of captions and phrases is: probabilities. The defaults: names, sizes, counts, places."""

    colours: float = 0.0  # that a name is said with its colour, where it has one
    negation: float = 0.0  # that a caption says what is not there
    paraphrase: float = 0.0  # that something is put in other words than the usual ones

    def __post_init__(self) -> None:
        typed(self, "data.captions.")
        shares(self, "data.captions.", *vars(self))


@dataclass(frozen=True)
class AugmentConfig:
    """Training pictures of `data.sources` as they are varied; off by default, and never in validation or tests."""

    crop: float = 1.0  # smallest share of the picture's largest square that a random crop keeps (1: the centre square)
    flip: float = 0.0  # probability of a mirror image, with "left" and "right" in its texts exchanged
    colour: float = 0.0  # largest relative change of brightness, contrast and saturation

    def __post_init__(self) -> None:
        typed(self, "data.augment.")
        require(0 < self.crop <= 1, "data.augment.crop", self.crop, "in (0, 1]")
        shares(self, "data.augment.", "flip")
        require(0 <= self.colour < 1, "data.augment.colour", self.colour, "in [0, 1)")


@dataclass(frozen=True)
class DataConfig:
    """The world and the four streams. A stream of size 0 is off."""

    dataset: str = "openmoji"
    sources: tuple[str, ...] = ()  # your own data, in the place of `dataset`: paths, as docs/your-own-data.md has them
    weights: tuple[float, ...] = ()  # of each source in the streams that it feeds; (): equal
    tokenizer: str = ""  # path of a tokenizer.json; "": trained on the dataset's texts
    unreadable: float = 0.02  # share of a source's rows or pictures that may be unusable; training stops above it
    augment: AugmentConfig = AugmentConfig()
    concepts: int = 100  # pictured in training, of OpenMoji's 853 object-like ones; 803 and more leave fewer unseen
    styles: str = "openmoji"  # of data.synthetic.styles.STYLES, joined by +: each object is drawn in one of them
    scenes: SceneConfig = SceneConfig()
    captions: CaptionConfig = CaptionConfig()
    pairs: int = 64  # image-text pairs a step
    fusion_batch: int = 0  # of them through the fusion encoder (0: all)
    regions: int = 48  # boxes with phrases a step ...
    region_images: int = 16  # ... in so many pictures
    images: int = 32  # pictures without text a step
    texts: int = 32  # sentences without picture a step
    caption_tokens: int = 30  # longest caption, with its two special tokens
    text_tokens: int = 128  # longest sentence
    single_until: float = 0.0  # curriculum: pairs show one object, each concept at most once, for this share of steps
    full_from: float = 0.0  # ... and the largest number of objects grows until this share
    mask: MaskConfig = MaskConfig()
    workers: int = 1  # loader processes

    def __post_init__(self) -> None:
        typed(self, "data.")
        positive(self, "data.", *STREAMS, "workers", "region_images", zero=True)
        positive(self, "data.", "concepts")
        require(self.pairs != 1, "data.pairs", self.pairs, "0 or at least 2 (ITC and ITM need negatives)")
        require(self.regions != 1, "data.regions", self.regions, "0 or at least 2 (ITC and ITM need negatives)")
        fused = self.fusion_batch == 0 or self.fusion_batch >= 2
        require(fused, "data.fusion_batch", self.fusion_batch, "0 (all) or at least 2 (ITM needs negatives)")
        require(not self.regions or self.region_images > 0, "data.region_images", self.region_images, "positive")
        require(
            0 <= self.single_until <= self.full_from <= 1 or self.full_from == 0 == self.single_until,
            "data.single_until",
            self.single_until,
            f"in [0, data.full_from = {self.full_from}]",
        )
        require(
            len(self.weights) in (0, len(self.sources)) and all(weight > 0 for weight in self.weights),
            "data.weights",
            self.weights,
            f"positive, one for each of the {len(self.sources)} data.sources",
        )
        shares(self, "data.", "unreadable")
        for name in ("caption_tokens", "text_tokens"):
            require(getattr(self, name) >= 4, f"data.{name}", getattr(self, name), "at least 4")


@dataclass(frozen=True)
class TrainConfig:
    """Optimizer, schedule, precision, and what is saved and measured when. AdamW's defaults are the paper's."""

    steps: int = 1000
    lr: float = 1e-4
    head_lr_scale: float = 2.0  # of the new heads and the temperature
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8
    warmup: int = 100  # steps
    schedule: Literal["linear", "cosine"] = "linear"
    clip: float = 1.0  # largest global gradient norm
    precision: Precision = "auto"  # auto: bf16 autocast on CUDA, fp32 elsewhere; native: bf16 on such a CPU as well
    compile: bool = False  # the encoders, on a GPU; a CPU gains nothing by it
    threads: int = 0  # torch's CPU threads (0: torch's own choice), in each shard
    shards: int = 1  # parts of a batch on a CPU, a thread each; ITC contrasts over all, ITM draws from its own
    accumulate: int = 1  # parts of a batch one after the other, for want of memory; ITC and ITM contrast within each
    checkpoint_activations: bool = False  # layers keep their inputs alone, and are computed again for the backward pass
    strategy: Strategy = "ddp"  # of several processes: each has all (ddp), or its share of weights and moments (fsdp)
    save_every: int = 200  # steps
    validate_every: int = 200  # steps (0: never)
    probe_every: int = 0  # steps (0: never): what the objectives do to the encoders, into probes.jsonl
    keep: int = 0  # steps (0: never): a copy of the weights alone stays in the run's folder, for views through a run

    def __post_init__(self) -> None:
        typed(self, "train.")
        positive(self, "train.", "steps", "lr", "eps", "clip", "save_every", "shards", "accumulate")
        positive(
            self,
            "train.",
            "head_lr_scale",
            "weight_decay",
            "warmup",
            "threads",
            "validate_every",
            "probe_every",
            "keep",
            zero=True,
        )
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"train.{name}", getattr(self, name), "in [0, 1)")
        for name, off in (("accumulate", 1), ("checkpoint_activations", False)):
            alone = self.shards == 1 or getattr(self, name) == off
            require(alone, "train.shards", self.shards, f"1 with train.{name} (shards are threads, for speed on a CPU)")
        seen = self.strategy == "ddp" or not self.probe_every
        require(seen, "train.probe_every", self.probe_every, "0 with train.strategy fsdp: no process has all weights")


@dataclass(frozen=True)
class RunConfig:
    """Everything a run depends on. `name` is recipe[+ablation...]; the folder is `runs/<name>/seed<seed>`."""

    name: str = "base"
    seed: int = 0
    # "" from scratch, "stage1" or "stage1:text" (the language encoder alone; trained at need, cached), a run folder, or
    # others' encoders (docs/published-model.md):
    init_from: str = ""  # "roberta:DIR", "bert:DIR", "beit:FILE", "roberta:DIR,beit:FILE"
    stage1_steps: int = 300
    model: ModelConfig = ModelConfig()
    flow: FlowConfig = FlowConfig()
    # the model's losses by name, each with its head; one that is not here is no part of the model
    objectives: Mapping[str, ObjectiveConfig] = field(
        default_factory=lambda: Table({name: ObjectiveConfig() for name in PAPER})
    )
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = TrainConfig()

    @property
    def has_stage1(self) -> bool:
        """Whether a warm start of its own comes first."""
        return self.init_from in ("stage1", "stage1:text")

    def __post_init__(self) -> None:
        typed(self, "")
        positive(self, "", "stage1_steps")
        require(0 <= self.seed < 2**63, "seed", self.seed, "in [0, 2**63)")
        require(
            _names_folder(self.name),
            "name",
            self.name,
            f"the name of a folder in printable characters, at most {NAME} bytes, without / and \\, and without a dot "
            "or a space at an end (where the terminal's characters are not understood, set PYTHONUTF8=1)",
        )
        for name, objective in self.objectives.items():
            typed(objective, f"objectives.{name}.")
            require(objective.weight >= 0, f"objectives.{name}.weight", objective.weight, "0 (off) or positive")
            require(0 <= objective.start < 1, f"objectives.{name}.start", objective.start, "in [0, 1)")
        if unknown := [loss for loss in self.flow.text_gradient if loss not in (*self.objectives, *PAPER)]:
            raise unknown_field(f"flow.text_gradient.{unknown[0]}", self.objectives)
        frozen_target = self.flow.mim_target == "frozen" and self.weight("mim") > 0
        require(
            not frozen_target or self.init_from not in ("", "stage1:text"),
            "flow.mim_target",
            "frozen",
            "used with a warm start, or the target is random: name the recipe with +stage1 (as demo+stage1+"
            "no_guidance), or set init_from to 'stage1' or a run folder",
        )
        for stream in STREAMS:
            size = getattr(self.data, stream if stream != "regions" else "region_images")
            for name, part in (("shards", "a shard"), ("accumulate", "a part")):
                parts = getattr(self.train, name)
                allowed = f"at most {max(1, size // 2)}: two of the {size} {stream} {part}, or more"
                require(size == 0 or size >= 2 * parts or parts == 1, f"train.{name}", parts, allowed)
        mask, patches = self.data.mask.image_patches, self.model.vision.patches
        require(0 < mask < patches, "data.mask.image_patches", mask, f"between 1 and {patches - 1} (patches - 1)")
        longest = max(self.data.caption_tokens, self.data.text_tokens) + 2
        require(
            longest <= self.model.text.positions,
            "model.text.positions",
            self.model.text.positions,
            f"at least {longest} (longest text + 2)",
        )

    def replace(self, changes: Mapping[str, Any]) -> RunConfig:
        """A config with dotted fields changed: `replace({"train.steps": 500, "flow.text_gradient.itm": 1.0})`.

        Raises ConfigError for an unknown field (naming the nearest) and for a value of the wrong type or range.
        """
        new = {"objectives": to_tree(ObjectiveConfig(weight=0.0)), "flow.text_gradient": 0.0}
        return from_dict(changed(self.to_dict(), changes, new))

    def weight(self, objective: str) -> float:
        """The weight of a loss; 0 where the model does not have it."""
        return self.objectives[objective].weight if objective in self.objectives else 0.0

    def to_dict(self) -> dict[str, Any]:
        return to_tree(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that two configs share exactly when they train the same weights (the name is no part)."""
        tree = from_dict(self.to_dict()).to_dict()  # 1 is 1.0 where the field is a float
        del tree["name"], tree["data"]["workers"]
        defaults = {"model": to_tree(ModelConfig()), "data": to_tree(DataConfig()), "train": to_tree(TrainConfig())}
        for group, fields in LATER.items():
            for later in fields:
                if tree[group][later] == defaults[group][later]:
                    del tree[group][later]
        for same in ("save_every", "validate_every", "probe_every", "keep", "checkpoint_activations", "strategy"):
            del tree["train"][same]
        return hashlib.blake2b(json.dumps(tree, sort_keys=True).encode(), digest_size=6).hexdigest()


def _names_folder(name: str) -> bool:
    fits = name == name.strip(". ") and name.isprintable() and not {*"/\\"} & {*name}
    return 0 < len(name) <= NAME and fits and len(name.encode()) <= NAME


def from_dict(tree: Mapping[str, Any]) -> RunConfig:
    """The RunConfig of a nested dict (what `to_dict` made); every field must be known and of its type."""
    return build(RunConfig, tree)


def from_json(text: str) -> RunConfig:
    """Raises ConfigError, or another ValueError for what is no JSON."""
    return from_dict(parse_json(text))
