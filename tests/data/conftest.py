"""One small config and its tokenizer for all tests of the data."""

import pytest

from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer

SMALL = {"model.vision.image_size": 48, "model.vision.patch_size": 8, "model.text.vocabulary": 4096,
         "data.mask.image_patches": 14, "data.mask.smallest_block": 4, "data.pairs": 6, "data.regions": 8,
         "data.region_images": 3, "data.images": 4, "data.texts": 5, "train.steps": 100}  # fmt: skip


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return RunConfig().replace(SMALL)


@pytest.fixture(scope="session")
def tokenizer(config: RunConfig) -> Tokenizer:
    return dataset(config).tokenizer()
