"""One untrained model of the smoke recipe, its tokenizer, and questions in small number."""

from collections.abc import Iterator

import pytest
import torch

from xfm import recipes
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.evaluation import Subject, grounding, imlm, language, matching, retrieval
from xfm.evaluation.subject import examining
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
def subject(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Iterator[Subject]:
    with examining(model):
        yield Subject(model, config, tokenizer)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer questions: for tests of what does not depend on their number."""
    monkeypatch.setattr(retrieval, "GALLERY", 24)
    monkeypatch.setattr(grounding, "SCENES", 24)
    monkeypatch.setattr(grounding, "HARD_SCENES", 8)
    monkeypatch.setattr(matching, "SCENES", 40)
    monkeypatch.setattr(imlm, "SCENES", 40)
    monkeypatch.setattr(language, "SENTENCES", 40)
    monkeypatch.setattr(language, "COUNTED", 200)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
