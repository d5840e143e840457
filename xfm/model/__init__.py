from .fusion import FusionEncoder, ImageTokens
from .text import TextEncoder
from .vision import VisionEncoder
from .xfm import TEXT_ENCODERS, VISION_ENCODERS, XFM, initialise

__all__ = ["TEXT_ENCODERS", "VISION_ENCODERS", "XFM", "FusionEncoder", "ImageTokens", "TextEncoder", "VisionEncoder",
           "initialise"]  # fmt: skip
