"""The losses by name. A new one is a file in this folder and a line here."""

from .base import Objective
from .bbp import BBP
from .imlm import IMLM
from .itc import ITC
from .itm import ITM
from .mim import MIM
from .mlm import MLM

OBJECTIVES: dict[str, type[Objective]] = {"mlm": MLM, "mim": MIM, "itc": ITC, "itm": ITM, "imlm": IMLM, "bbp": BBP}
