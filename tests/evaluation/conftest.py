"""One untrained model of the smoke recipe, its tokenizer, and questions in small number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from few import ask_few

from xfm import recipes
from xfm.base import seeding
from xfm.config import RunConfig
from xfm.data import DATASETS, Dataset, dataset
from xfm.data.pair_source import PairSource
from xfm.data.source import Region
from xfm.data.tokenizer import Tokenizer
from xfm.model import XFM
from xfm.objectives import build
from xfm.tasks import EvalContext
from xfm.tasks.context import reproducibly

CAPTIONS = tuple(f"picture number {i} of the set" for i in range(20))


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
def add_pictures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PairSource]:
    """Adds the dataset "pictures" of twenty pictures with captions and, if wanted, regions; nothing else is known."""

    def add(regions: list[list[Region]] | None = None, captions: Sequence[str] = CAPTIONS) -> PairSource:
        images = list(seeding.rng("pictures").integers(256, size=(20, 40, 60, 3), dtype=np.uint8))
        source = PairSource(images, captions, 48, name="twenty")
        if regions:
            source.provides |= {"regions", "boxes"}
            examples = zip(source._examples, regions, strict=True)
            source._examples = [replace(example, regions=tuple(own)) for example, own in examples]
        monkeypatch.setitem(DATASETS, "pictures", lambda config: Dataset(config, [source]))
        return source

    return add


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_few(monkeypatch.setattr)
