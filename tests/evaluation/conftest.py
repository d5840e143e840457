"""One untrained model of the smoke recipe, its tokenizer, and questions in small number."""

from collections.abc import Iterator

import pytest
import torch

from xfm import recipes
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.evaluation import EvalContext, finetuning
from xfm.evaluation.context import inference_mode
from xfm.evaluation.tasks import (
    grounding,
    hard_negatives,
    language,
    lexnames,
    masked_words,
    recognition,
    retrieval,
    sentence_pairs,
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
def subject(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Iterator[EvalContext]:
    with inference_mode(model):
        yield EvalContext(model, config, tokenizer)


FEW = {
    retrieval: {"GALLERY": 24},
    grounding: {"SCENES": 24, "HARD_SCENES": 8},
    hard_negatives: {"SCENES": 40},
    masked_words: {"SCENES": 40},
    language: {"SENTENCES": 40, "COUNTED": 200},
    lexnames: {"TRAINED": 400, "TESTED": 100},
    sentence_pairs: {"TRAINED": 100, "TESTED": 60},
    finetuning: {"STEPS": 3},
    recognition: {"TRAINED": 3, "TRAINED_UNSEEN": 3, "TESTED": 2, "SCENES_TRAINED": 1, "SCENES_TESTED": 40,
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
