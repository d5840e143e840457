"""What is trained: recipes return whole configs; ablations and levels change named fields of them; `+` composes.

recipes.get("demo+no_stop_gradient")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..base.fields import nearest, require
from ..base.strings import shown
from ..config import ConfigError, DataConfig, RunConfig, TrainConfig
from .ablations import changes
from .specialists import SPECIALISTS


def scratch_std(width: int) -> float:
    """Standard deviation of initial weights: the paper's 0.02, scaled from width 768 by 1/sqrt(width)."""
    return round(0.02 * (768 / width) ** 0.5, 4)


def _of(group: str, **fields: Any) -> dict[str, Any]:
    """Changes of one group's fields, by dotted name."""
    return {f"{group}.{field}": value for field, value in fields.items()}


def _joining_at(share: float) -> dict[str, Any]:
    """The fusion losses start after this share of the steps."""
    return {f"objectives.{loss}.start": share for loss in ("itm", "imlm", "bbp")}


def demo() -> RunConfig:
    """Demo: every objective on 100 concepts, scenes of one to four objects, 48 px; four to eight minutes on two cores.
    Muon needs half of AdamW's steps (docs/results.md); `+adamw` is the paper's optimizer.
    """
    return base().replace(
        {
            "name": "demo",
            **_of("model.vision", image_size=48, patch_size=8, width=96, depth=3, heads=3, drop_path=0.0),
            **_of("model.vision", layer_scale=1.0, absolute_positions=True),
            **_of(
                "model.text", vocabulary=4096, positions=64, width=96, depth=3, heads=3, intermediate=384, dropout=0.0
            ),
            **_of("model", fusion_depth=2, embed_dim=96, init_std=scratch_std(96)),
            **_of("objectives.mim", weight=0.5, start=0.5),
            **_joining_at(0.3) | {"objectives.imlm.weight": 1.5, "objectives.bbp.weight": 4.0},
            **_of("data", concepts=100, pairs=64, fusion_batch=24, regions=48, region_images=16, images=8, texts=64),
            **_of("data", caption_tokens=20, text_tokens=32, single_until=0.45, full_from=0.6),
            **_of("data.mask", image_patches=14, smallest_block=4),
            **_of("train", steps=750, lr=9e-4, muon_lr=4e-3, warmup=40, save_every=200, validate_every=200),
            **_of("train", precision="native", threads=1, shards=2),
        }
    )


def pretrained() -> RunConfig:
    """Recipe of the bundled checkpoint: a wider demo at 96 px, phrases in three forms, captions in many words; five
    hours of one thread beside other work. The language encoder is trained alone first (AdamW); joint training is
    seven times as long, with that encoder at a tenth of the rate so that it forgets less."""
    return demo().replace(
        {
            **{"name": "pretrained", "init_from": "stage1:text", "stage1_steps": 40_000},
            **_of("model.vision", image_size=96, width=128, heads=4),
            **_of("model.text", width=128, heads=4, intermediate=512),
            **_of("model", embed_dim=128, init_std=scratch_std(128)),
            **_joining_at(0.06),
            **_of("data", fusion_batch=32, single_until=0.15, full_from=0.3, caption_tokens=26),
            **_of("data.captions", paraphrase=0.3, articles=0.67),
            **_of("data.mask", image_patches=56, smallest_block=12),
            **_of("train", steps=5000, lr=8e-4, text_lr_scale=0.1, warmup=150, save_every=500, validate_every=500),
            **_of("train", threads=1, shards=1),
        }
    )


def small() -> RunConfig:
    """Recipe for one GPU: twice the demo's width and pairs, all pairs fused, 400 concepts, 64 px, bf16 where available.

    `xfm pretrain small --dry-run` prints its cost.
    """
    return demo().replace(
        {
            "name": "small",
            **_of("model.vision", image_size=64, width=192, depth=4, heads=6, drop_path=0.1),
            **_of(
                "model.text", vocabulary=8192, positions=66, width=192, depth=4, heads=6, intermediate=768, dropout=0.1
            ),
            **_of("model", fusion_depth=3, embed_dim=192, init_std=scratch_std(192)),
            "objectives.mim.start": 0.3,
            **_of("data", concepts=400, pairs=128, fusion_batch=0, regions=96, region_images=32, images=64, workers=4),
            **_of("data", caption_tokens=30, text_tokens=64),
            **_of("data.mask", image_patches=24, smallest_block=6),
            **_of("train", steps=6000, lr=1e-3, muon_lr=0.0, warmup=300, save_every=500, validate_every=500),
            **_of("train", precision="auto", compile=True, threads=0, shards=1),
        }
    )


def base() -> RunConfig:
    """Sizes, batch and optimizer of the paper's 4M configuration, on this project's data."""
    return RunConfig(
        name="base",
        data=DataConfig(concepts=800, pairs=96, regions=96, region_images=32, images=96, texts=256),
        train=TrainConfig(steps=200_000, lr=1e-4, warmup=2500, save_every=2000, validate_every=2000),
    )


def smoke() -> RunConfig:
    """Smoke test: the demo's code paths in seconds, too small to learn."""
    return demo().replace(
        {
            **{"name": "smoke", "stage1_steps": 4},
            **_of("model.vision", width=32, heads=2, depth=2),
            **_of("model.text", width=32, heads=2, depth=2, intermediate=64, vocabulary=1024),
            **_of("model", fusion_depth=1, init_std=scratch_std(32)),
            **_of("data", pairs=8, fusion_batch=4, regions=6, region_images=3, images=4, texts=4),
            **_of("data", caption_tokens=40, workers=0),
            **_of("train", steps=12, warmup=3, save_every=5, validate_every=6, precision="auto", shards=1),
        }
    )


def styles() -> RunConfig:
    """Demo on three drawing styles, one per object; the fourth, Fluent, is held out for evaluation."""
    return demo().replace({"name": "styles", "data.styles": "openmoji+noto+twemoji"})


def study() -> RunConfig:
    """Regime of the studies, chosen on the validation split (studies/README.md): the demo from a warm start of the
    language encoder, with fusion losses from 6 % and MIM from 50 % of the steps. Nine minutes of one core, after nine
    of the warm start."""
    return demo().replace(
        {
            **{"name": "study", "init_from": "stage1:text", "stage1_steps": 10_000},
            **_joining_at(0.06),
            **_of("data", texts=32, single_until=0.25, full_from=0.4),
            **_of("train", steps=1200, muon_lr=0.0, shards=1, save_every=300, validate_every=1200),
        }
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    f.__name__: f for f in (demo, pretrained, small, base, smoke, styles, study)
}


def get(name: str) -> RunConfig:
    """Config of "recipe" or "recipe+change+...". Changes are ablations, levels and SPECIALISTS, which apply first.
    ConfigError for an unknown name, with the nearest one."""
    require(isinstance(name, str), "recipe", name, "a name, as 'demo' or 'demo+no_stop_gradient'")
    recipe, *names = name.split("+")
    return with_changes(_look_up(RECIPES, recipe, "recipe")(), names).replace({"name": name})


def with_changes(config: RunConfig, names: list[str]) -> RunConfig:
    """Applies named changes to a config: first the specialists, then all others at once. ConfigError as `get`, for two
    changes that set a field to different values, and for two that each fix the seeds which the other varies."""
    if not names:
        return config
    merged: dict[str, Any] = {}
    known: dict[str, Any] = changes() | SPECIALISTS
    chosen = {name_of_change: _look_up(known, name_of_change, "change") for name_of_change in names}
    for specialist in (n for n in chosen if n in SPECIALISTS):
        config = SPECIALISTS[specialist](config)
    by_field: dict[str, str] = {}
    for name, fields in ((n, of_config(config, f)) for n, f in chosen.items() if n not in SPECIALISTS):
        for field in (f for f in fields if f in merged and (merged[f] != fields[f] or f.startswith("seed_of."))):
            values = f"{field} = {shown(merged[field])} and {shown(fields[field])}"
            raise ConfigError(f"+{by_field[field]} and +{name} contradict each other: {values}; leave one of them out")
        merged |= fields
        by_field |= dict.fromkeys(fields, name)
    return config.replace(merged)


def of_config(config: RunConfig, fields: dict[str, Any]) -> dict[str, Any]:
    """Changes of fields without those of losses that the config lacks: ablations add no loss."""
    groups = ("objectives.", "flow.text_gradient.")
    lost = {f for f in fields for g in groups if f.startswith(g) and f[len(g) :].split(".")[0] not in config.objectives}
    return {field: value for field, value in fields.items() if field not in lost}


def current() -> RunConfig:
    """Recipe of the notebooks, by the environment variable XFM_SCALE = smoke | demo (default) | full."""
    scales = {"smoke": smoke, "demo": demo, "full": small}
    return _look_up(scales, os.environ.get("XFM_SCALE", "demo"), "XFM_SCALE")()


def _look_up(table: dict[str, Any], name: str, kind: str) -> Any:
    if name in table:
        return table[name]
    hint = nearest(name, table, after=" ")
    raise ConfigError(f"{kind} {shown(name)} is unknown; {hint}there are {', '.join(table)}")
