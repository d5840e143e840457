from .fusion import FusionEncoder, ImageTokens
from .text import TextEncoder
from .vision import VisionEncoder
from .xfm import XFM, initialise

__all__ = ["XFM", "FusionEncoder", "ImageTokens", "TextEncoder", "VisionEncoder", "initialise"]
