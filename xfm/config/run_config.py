"""Everything a run depends on, to JSON and back, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..base.fields import Count, Group, Range, Table, build, changed, one_of, require, to_tree, typed, unknown_field
from ..base.strings import parse_json
from .data import STREAMS, DataConfig
from .encoders import ModelConfig
from .losses import PAPER, FlowConfig, ObjectiveConfig
from .training import TrainConfig

SOURCES = ("warm_start", "weights", "data", "masks", "negatives", "rest")  # of randomness
Seed = Annotated[int, Range(0, 2**63 - 1, "in [0, 2**63)")]
NAME = 200  # bytes; a folder's name may have 255, and a warm start's is longer than its run's
# Fields that came later: at their defaults they are no part of a fingerprint, which older runs keep so.
LATER = {
    "model": ("cross_attention",),
    "data": ("sources", "weights", "tokenizer", "augment", "styles", "relation_negatives"),
    "data.captions": ("articles",),
    "flow": ("standardise_target", "ema_momentum", "top_layers", "prototypes", "fusion_gradient", "stopped_share",
             "masked_share", "gradvac_decay", "image_gradient", "l2sp", "ewc", "mlm_distillation"),
    "train": ("shards", "accumulate", "text_lr_scale", "text_layer_decay", "text_sgd_lr", "text_momentum", "muon_lr"),
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig(Group):
    """Everything a run depends on. `name` is recipe[+ablation...]; the folder is `runs/<name>/seed<seed>`."""

    name: str = "base"
    seed: Seed = 0
    # "" from scratch, "stage1" or "stage1:text" (the language encoder alone; trained at need, cached), a run folder, or
    # others' encoders (docs/published-model.md):
    init_from: str = ""  # "roberta:DIR", "bert:DIR", "beit:FILE", "roberta:DIR,beit:FILE"
    stage1_steps: Count = 300
    # sources of randomness with a seed of their own: {"data": 3} trains on the batches of seed 3
    seed_of: Mapping[str, Seed] = field(default_factory=Table)
    model: ModelConfig = field(default_factory=ModelConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    # the model's losses by name, each with its head; one that is not here is no part of the model
    objectives: Mapping[str, ObjectiveConfig] = field(
        default_factory=lambda: Table({name: ObjectiveConfig() for name in PAPER})
    )
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def drawn_by(self, source: str) -> int:
        """The seed of a source of randomness: of the warm start, of the initial weights of what it does not bring, of
        the data and their order, of the masks, of ITM's negatives, or of the rest: dropout, noise, and what is held
        out."""
        return self.seed_of.get(source, self.seed)

    @property
    def has_stage1(self) -> bool:
        """Whether a warm start of its own comes first."""
        return self.init_from in ("stage1", "stage1:text")

    @property
    def has_teacher(self) -> bool:
        """Whether a teacher of its own comes first."""
        return self.flow.taught_by_run and self.flow.teacher.startswith("+") and self.weight("mim") > 0

    def __post_init__(self) -> None:
        super().__post_init__()
        folder = (
            f"the name of a folder in printable characters, at most {NAME} bytes, without / and \\, and without a dot "
            "or a space at an end (where the terminal's characters are not understood, set PYTHONUTF8=1)"
        )
        require(_names_folder(self.name), "name", self.name, folder)
        for source in self.seed_of:
            one_of("seed_of", source, SOURCES)
        for name, objective in self.objectives.items():
            typed(objective, f"objectives.{name}.")
        if unknown := [loss for loss in self.flow.text_gradient if loss not in (*self.objectives, *PAPER)]:
            raise unknown_field(f"flow.text_gradient.{unknown[0]}", self.objectives)
        frozen_target = self.flow.mim_target == "frozen" and self.weight("mim") > 0
        warm = (
            "used with a warm start of the vision encoder, or the target is random: name the recipe with +stage1 (as "
            "demo+stage1+no_guidance), whose place --init-from RUN or beit:FILE then takes; in Python, set init_from "
            "in the same replace"
        )
        require(not frozen_target or "vision" in self._started, "flow.mim_target", "frozen", warm)
        self._check_interventions()
        self._check_parts()
        mask, patches = self.data.mask.image_patches, self.model.vision.patches
        require(0 < mask < patches, "data.mask.image_patches", mask, f"between 1 and {patches - 1} (patches - 1)")
        longest, positions = max(self.data.caption_tokens, self.data.text_tokens) + 2, self.model.text.positions
        require(longest <= positions, "model.text.positions", positions, f"at least {longest} (longest text + 2)")

    @property
    def _started(self) -> set[str]:
        """The encoders that the warm start brings; of a run folder both."""
        others = {"roberta": "text", "bert": "text", "beit": "vision"}
        if files := re.findall(rf"(?:^|,)({'|'.join(others)}):", self.init_from):
            return {others[kind] for kind in files}
        return {"": set(), "stage1:text": {"text"}}.get(self.init_from, {"text", "vision"})

    def _check_parts(self) -> None:
        """Of each stream a part of the batch needs two items: ITM's negatives are other items of the part."""
        sizes = {name: getattr(self.data, name) for name in (*STREAMS, "region_images")}
        words = {"region_images": "pictures of regions", "fusion_batch": "pairs that are fused"}
        if self.data.pairs:
            sizes["fusion_batch"] = min(self.data.pairs, self.data.fusion_batch)
        for size_of, size in sizes.items():
            for name, part in (("shards", "a shard"), ("accumulate", "a part")):
                count = getattr(self.train, name)
                most, items = max(1, size // 2), f"{size} {words.get(size_of, size_of)}"
                allowed = f"at most {most}: two of the {items} {part}, or more"
                require(size == 0 or size >= 2 * count or count == 1, f"train.{name}", count, allowed)

    def _check_interventions(self) -> None:
        flow, learns = self.flow, self.weight("mlm") > 0 and self.data.texts > 0
        for name in flow.anchored:
            start = (
                "0 without a warm start of the language encoder, from which it is measured: name the recipe with "
                "+stage1, whose place --init-from then takes; in Python, set init_from in the same replace"
            )
            require("text" in self._started, f"flow.{name}", getattr(flow, name), start)
            trains = "0 where MLM is off: set objectives.mlm.weight and data.texts"
            require(name == "l2sp" or learns, f"flow.{name}", getattr(flow, name), trains)
        mlm = "another where MLM, which chooses the numbers to mask, is off: set objectives.mlm.weight and data.texts"
        require(flow.fusion_gradient != "masked" or learns, "flow.fusion_gradient", "masked", mlm)
        if name := flow.steers:
            whole = "at its default with train.strategy fsdp: no process has all weights (ddp has)"
            require(self.train.strategy == "ddp", f"flow.{name}", getattr(flow, name), whole)
        if flow.mim_target == "data2vec" and self.weight("mim") > 0:
            depth = self.model.vision.depth
            require(flow.top_layers <= depth, "flow.top_layers", flow.top_layers, f"at most {depth}, the layers")
        for size in ("pairs", "region_images") if flow.fusion_gradient == "shuffled" else ():
            least = "0 or at least 2 with flow.fusion_gradient shuffled: a text needs another's picture"
            require(getattr(self.data, size) != 1, f"data.{size}", 1, least)

    def replace(self, changes: Mapping[str, Any]) -> RunConfig:
        """A config with dotted fields changed: `replace({"train.steps": 500, "flow.text_gradient.itm": 1.0})`.

        Raises ConfigError for an unknown field (naming the nearest) and for a value of the wrong type or range.
        """
        new = {"objectives": to_tree(ObjectiveConfig(weight=0.0)), "flow.text_gradient": 0.0, "seed_of": self.seed}
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
        """Twelve hex digits that two configs share exactly when they train the same weights (the name is no part);
        `checkpoint_activations`, which is none either, changes them in bf16, up to rounding."""
        tree = from_dict(self.to_dict()).to_dict()  # 1 is 1.0 where the field is a float
        del tree["name"], tree["data"]["workers"], tree["data"]["unreadable"]
        tree["seed_of"] = {source: seed for source, seed in self.seed_of.items() if seed != self.seed}
        if not tree["seed_of"]:
            del tree["seed_of"]
        groups = {"model": ModelConfig, "flow": FlowConfig, "data": DataConfig, "train": TrainConfig}
        defaults = {name: to_tree(group()) for name, group in groups.items()}
        for path, fields in LATER.items():
            group, default = tree, defaults
            for part in path.split("."):
                group, default = group[part], default[part]
            for later in fields:
                if group[later] == default[later]:
                    del group[later]
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
