"""One untrained model of the smoke recipe, its tokenizer, and questions in small number."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from xfm import recipes, seeding
from xfm.config import RunConfig
from xfm.data import DATASETS, Dataset, dataset
from xfm.data.source import PairSource, Region
from xfm.data.tokenizer import Tokenizer
from xfm.evaluation import EvalContext, finetuning
from xfm.evaluation.context import reproducibly
from xfm.evaluation.tasks import (
    grounding,
    hard_negatives,
    language,
    lexnames,
    masked_words,
    recognition,
    retrieval,
    sentence_pairs,
    styles,
)
from xfm.model import XFM
from xfm.objectives import build


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return recipes.smoke()


@pytest.fixture(scope="session")
def tokenizer(config: RunConfig) -> Tokenizer:
    return dataset(config).tokenizer()


@pytest.fixture(scope="session")
def model(config: RunConfig) -> XFM:
    return build(config)


@pytest.fixture
def context(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Iterator[EvalContext]:
    with reproducibly(model):
        yield EvalContext(model, config, tokenizer)


@pytest.fixture
def add_pictures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds the dataset "pictures" of twenty pictures with captions and, if wanted, boxes; nothing else is known."""

    def add(boxes: bool = False) -> None:
        rng = seeding.rng("pictures")
        images = [rng.integers(256, size=(40, 60, 3), dtype=np.uint8) for _ in range(20)]
        captions = [f"picture number {i} of the set" for i in range(20)]
        regions = (
            [[Region("left", (0.2, 0.5, 0.4, 1.0)), Region("right", (0.8, 0.5, 0.4, 1.0))]] * 20 if boxes else None
        )
        source = PairSource(images, captions, 48, regions, name="twenty")
        monkeypatch.setitem(DATASETS, "pictures", lambda config: Dataset(config, [source]))

    return add


FEW = {
    retrieval: {"SIZE": 24},
    grounding: {"SCENES": 24, "HARD_SCENES": 8},
    hard_negatives: {"SCENES": 40},
    masked_words: {"SCENES": 40},
    language: {"SENTENCES": 40, "COUNTED": 200},
    lexnames: {"TRAIN": 400, "TEST": 100},
    sentence_pairs: {"TRAIN": 100, "TEST": 60},
    finetuning: {"STEPS": 3},
    styles: {"SCENES": 12},
    recognition: {"TRAIN": 3, "TRAIN_UNSEEN": 3, "TEST": 2, "SCENES_TRAIN": 1, "SCENES_TEST": 40,
             "SCENES_PATCHES": 40},
}  # fmt: skip


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer questions: for tests of what does not depend on their number."""
    for module, sizes in FEW.items():
        for name, n in sizes.items():
            monkeypatch.setattr(module, name, n)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
