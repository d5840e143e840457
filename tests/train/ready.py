"""Imported by the tests' fork server: the slow imports, and the data, so that each process has them in memory."""

from xfm import recipes
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.train import loop

__all__ = ["loop"]
config = recipes.get("smoke")
Streams(config, dataset(config).tokenizer())[0]
