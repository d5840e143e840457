"""What a run is: frozen, nested dataclasses. No torch here.

A config is data: it goes to JSON and back, is changed by dotted names (`config.replace({"train.steps": 500})`), and two
configs with the same `fingerprint` are the same run.
"""

from __future__ import annotations

from ..base.fields import ConfigError as ConfigError  # everybody has it from here
from .data import STREAMS, AugmentConfig, CaptionConfig, DataConfig, MaskConfig, SceneConfig
from .encoders import AttentionFunction, ModelConfig, TextConfig, VisionConfig
from .losses import ANCHORS, AVERAGED, PAPER, SCRATCH, FlowConfig, FusionGradient, MimTarget, ObjectiveConfig
from .run_config import LATER, SOURCES, RunConfig, from_dict, from_json
from .training import TrainConfig

__all__ = ["ANCHORS", "AVERAGED", "LATER", "PAPER", "SCRATCH", "SOURCES", "STREAMS", "AttentionFunction",
           "AugmentConfig", "CaptionConfig", "ConfigError", "DataConfig", "FlowConfig", "FusionGradient", "MaskConfig",
           "MimTarget", "ModelConfig", "ObjectiveConfig", "RunConfig", "SceneConfig", "TextConfig", "TrainConfig",
           "VisionConfig", "from_dict", "from_json"]  # fmt: skip
