from .fusion import FusionEncoder, ImageTokens
from .pairings import of_pairings
from .text import TextEncoder
from .vision import VisionEncoder
from .xfm import TEXT_ENCODERS, VISION_ENCODERS, XFM, encoders, initialise

__all__ = ["TEXT_ENCODERS", "VISION_ENCODERS", "XFM", "FusionEncoder", "ImageTokens", "TextEncoder", "VisionEncoder",
           "encoders", "initialise", "of_pairings"]  # fmt: skip
