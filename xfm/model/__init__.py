from .fusion import FusionEncoder, ImageTokens
from .text import TextEncoder
from .vision import VisionEncoder
from .xfm import TEXT_ENCODERS, VISION_ENCODERS, XFM, encoders, initialise

__all__ = ["TEXT_ENCODERS", "VISION_ENCODERS", "XFM", "FusionEncoder", "ImageTokens", "TextEncoder", "VisionEncoder",
           "encoders", "initialise"]  # fmt: skip
