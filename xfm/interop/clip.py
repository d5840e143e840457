"""open_clip's image towers as teachers of masked image modelling. Nothing is fetched: a config may be another's."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base.fields import require
from ..base.strings import printable, shown
from ..config import ConfigError, VisionConfig
from ..model.batch import MEAN, STD

_QUICK, _PICTURES = "-quickgelu", ("mean", "std", "interpolation", "resize_mode")
FETCH = "open_clip.download_pretrained(open_clip.get_pretrained_cfg({!r}, TAG))"


def teacher_width(name: str) -> int:
    """Token width of an open_clip model's image tower, which must be a transformer of open_clip's own (not timm's).

    ConfigError, with the nearest that are, for any other name; so for "hf-hub:..." and "local-dir:...", which open_clip
    would look up elsewhere, and for models whose text tower it would fetch from a hub."""
    import open_clip

    built_in = open_clip.list_models()

    def width(model: str) -> int:
        config = (open_clip.get_model_config(model) if model in built_in else None) or {}
        tower, fetched = config.get("vision_cfg", {}), "hf_model_name" in config.get("text_cfg", {})
        patches = tower.get("patch_size") and not tower.get("attentional_pool")  # no ResNet; no CoCa, whose norm pools
        return tower.get("width", 0) if patches and not fetched else 0

    if size := width(name):
        return size
    near = ", ".join(difflib.get_close_matches(name[:100], filter(width, built_in), cutoff=0))
    hint = f"no open_clip model with a transformer image tower of open_clip's own; there are {near} ..."
    raise ConfigError(f"flow.teacher = {shown(name)}: {hint}")


def tagged(name: str, given: str) -> tuple[str, list[str]]:
    """Of "TAG=FILE", or a file: the file, and whose weights it may have, that tag's, or any of the model's."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(name)
    tag, named, file = given.partition("=")
    return (file, [tag]) if named and tag in tags and os.path.isfile(file) else (given, tags)


def preprocessing(name: str, tags: Sequence[str], field: str) -> dict[str, Any]:
    """What these tags of a model say of how pictures are prepared: open_clip asks that of a tag alone, and takes
    OpenAI's for a file. ConfigError, naming the field that gave it, where they differ, or are of another activation
    than the model."""
    import open_clip

    model: Any = open_clip.get_model_config(name)
    quick = bool(model.get("quick_gelu"))
    configs: dict[str, Any] = {tag: open_clip.get_pretrained_cfg(name, tag) for tag in tags}
    fitting = {tag: of for tag, of in configs.items() if bool(of.get("quick_gelu")) == quick}
    if configs and not fitting:
        other = name.removesuffix(_QUICK) if quick else name + _QUICK
        raise ConfigError(f"{field}: {', '.join(tags)} is of another activation than {name}; name {other}")
    kinds = {tag: {key: of[key] for key in _PICTURES if of.get(key) is not None} for tag, of in fitting.items()}
    first = next(iter(kinds.values()), {})
    if differing := [tag for tag, kind in kinds.items() if kind != first]:
        wanted = f"as {field}='{differing[0]}=FILE' (there are {', '.join(fitting)})"
        several = f"open_clip's weights of {name} want pictures prepared in several ways; say whose the file's are"
        raise ConfigError(f"{field}: {several}, {wanted}")
    return first


def teacher(name: str, weights: str, vision: VisionConfig, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A frozen tower as a function: our normalised pictures (B, 3, H, W) -> its last tokens (B, P, C), on our grid.

    Pictures are resized to the tower's own size, its tokens' grid to ours, both bilinearly, and normalised as the
    weights' tag says. `weights`: a local file, or TAG=FILE; ConfigError if it is not there or does not fit."""
    import open_clip

    teacher_width(name)
    fetch = f"the path of a local file; open_clip fetches one of its own, and says where: {FETCH.format(name)}"
    file, tags = tagged(name, weights)
    require(os.path.isfile(file), "flow.teacher_weights", weights, fetch)
    pictures = preprocessing(name, tags, "flow.teacher_weights")
    try:  # absolute: never one of open_clip's tags
        options: Any = {"pretrained": os.path.abspath(file), "device": device, "force_preprocess_cfg": pictures}
        tower: Any = open_clip.create_model(name, **options).visual
    except Exception as error:  # a foreign, truncated or hostile file: open_clip raises as many kinds
        wrong = f"open_clip cannot load them into {name} ({printable(error)})"
        raise ConfigError(f"flow.teacher_weights = {shown(weights)}: {wrong}") from error
    tower.eval().requires_grad_(False)
    size = tower.image_size if isinstance(tower.image_size, tuple) else (tower.image_size,) * 2
    colours = torch.tensor([MEAN, STD, tower.image_mean or MEAN, tower.image_std or STD], device=device)
    mean, std, their_mean, their_std = colours.view(4, 3, 1, 1)

    @torch.no_grad()
    def tokens(pictures: Tensor) -> Tensor:
        pictures = (pictures * std + mean - their_mean) / their_std
        pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
        last = tower.forward_intermediates(pictures, indices=1, normalize_intermediates=True, intermediates_only=True)
        grid = F.interpolate(last["image_intermediates"][0], (vision.grid,) * 2, mode="bilinear")
        return grid.flatten(2).transpose(1, 2)

    return tokens
