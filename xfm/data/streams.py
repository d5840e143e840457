"""The four streams of a step as one batch: a pure function of (seed, step), whatever the config switches on or off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ..base import seeding
from ..base.fields import require
from ..config import RunConfig
from ..model.batch import IGNORE, PAD, Batch, Images, Pairs, Regions, Texts, TokenBatch
from . import Dataset, dataset
from .masking import block_mask, mask_tokens
from .source import Box, Example, ItemKey, Source, Split
from .tokenizer import Tokenizer
from .world.hard_negatives import hard_negative
from .world.scenes import Scene, World

CAPTIONED = 0.5  # probability that the region stream has a picture's caption too, as an item without a box ...
FEW = 2  # ... if there are so few regions: texts of a batch are padded to the longest, and phrases are short
WHOLE: Box = (0.5, 0.5, 1.0, 1.0)


class Streams(TorchDataset):
    """`streams[step]` is the step's batch; a stream of size 0, or that no source provides, is left out.

    Every draw is keyed by (seed, split, step, stream, purpose): dropping or resizing a stream leaves the others as they
    are, and larger pairs, images or texts begin with the items of smaller ones. Of several processes, process `rank`
    has the items that follow those of the ones before it, with draws of its own: no two share an item, where a source
    has enough for all. What is held out is drawn by the source `rest` alone.
    """

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        split: Split = "train",
        source: Dataset | None = None,
        rank: int = 0,
    ) -> None:
        """`source`: the data of the config, where they are open already. Raises ConfigError for an unknown dataset and
        one that can feed no stream, ValueError for a tokenizer of another size than the config's."""
        if tokenizer.vocabulary != config.model.text.vocabulary:
            wanted = config.model.text.vocabulary
            raise ValueError(f"the tokenizer has {tokenizer.vocabulary} ids, model.text.vocabulary is {wanted}")
        self.config, self.tokenizer, self.rank = config, tokenizer, rank
        self.seed = self.of_rank(config.drawn_by("rest"))  # of a step's draws beyond the batch
        self.split: Split = split
        if source is not None:
            self.source = source
        _ = self.source.feasible  # refused here and not in a loader process
        share, has_objects = config.data.relation_negatives, "objects" in self.source.provides
        names = " and ".join(source.name for source in self.source.sources)
        allowed = f"0: {names} provides no objects, of which a relation is known to be false"
        require(has_objects or not share, "data.relation_negatives", share, allowed)

    @cached_property
    def source(self) -> Dataset:
        return dataset(self.config)

    def __getstate__(self) -> dict:  # a loader process makes its own sources
        fields = ("config", "tokenizer", "rank", "seed", "split")
        return {name: getattr(self, name) for name in fields}

    def __len__(self) -> int:
        return self.config.train.steps

    def __getitem__(self, step: int) -> Batch:
        streams = {"pairs": self.pairs, "regions": self.regions, "images": self.images, "texts": self.texts}
        sizes = self.source.feasible.data
        return {name: stream(step) for name, stream in streams.items() if getattr(sizes, name)}

    def pairs(self, step: int) -> Pairs:
        examples = [source.pair(key) for source, key in self.items("pairs", step, self.config.data.pairs)]
        tokens, false_ids = self.tokens([e.text for e in examples], step, "pairs"), None
        if share := self.config.data.relation_negatives:
            rng = self.rng(step, "pairs", "relation negatives", "data")
            false = false_captions(self.source.world, examples, share, rng)
            tokens, false_ids = joined(tokens, false, self.tokenizer, self.config.data.caption_tokens)
        images = self.varied([e.image for e in examples], step, "pairs")
        return Pairs(images, tokens, self.image_mask(step, "pairs", len(examples)), false_ids)

    def images(self, step: int) -> Images:
        images = [source.image(key) for source, key in self.items("images", step, self.config.data.images)]
        return Images(self.varied(images, step, "images"), self.image_mask(step, "images", len(images)))

    def texts(self, step: int) -> Texts:
        texts = [source.text(key) for source, key in self.items("texts", step, self.config.data.texts)]
        return Texts(self.tokens(texts, step, "texts"))

    def regions(self, step: int) -> Regions:
        """Of each picture all phrases and sometimes its caption; of these `regions`, some twice if they are fewer."""
        wanted, vision = self.config.data.regions, self.config.model.vision
        rng = self.rng(step, "regions", "choice", "data")
        examples = [s.regions(key) for s, key in self.items("regions", step, self.config.data.region_images)]
        items: list[tuple[int, str, Box | None]] = []  # picture, text, box (None: the whole)
        for n, example in enumerate(examples):
            captioned = rng.random() < CAPTIONED and len(example.regions) <= FEW
            if example.text and (captioned or not example.regions):
                items.append((n, example.text, None))
            items += [(n, region.text, region.box) for region in example.regions]
        extra = rng.integers(len(items), size=max(0, wanted - len(items)))
        chosen = np.sort(np.concatenate([rng.permutation(len(items))[:wanted], extra]))
        owners, texts, boxes = zip(*(items[i] for i in chosen), strict=True)
        shares = np.array([box or WHOLE for box in boxes])
        edges = np.concatenate([shares[:, :2] - shares[:, 2:] / 2, shares[:, 2:]], 1) * vision.image_size
        return Regions(
            self.varied([e.image for e in examples], step, "regions"),
            torch.tensor(owners),
            torch.from_numpy(region_patches(edges.round(6), vision.grid, vision.patch_size)),  # whole pixels stay whole
            self.tokens(texts, step, "regions"),
            torch.from_numpy(shares.astype(np.float32)),
            torch.tensor([box is None for box in boxes]),
        )

    def items(self, stream: str, step: int, count: int) -> Iterator[tuple[Source, ItemKey]]:
        """The source and the key of each item of a stream's batch."""
        for index in range(self.rank * count, (self.rank + 1) * count):
            key = ItemKey(self.split, self.seed_of("data"), step, index, step / self.config.train.steps)
            yield self.source.source_of(stream, key), key

    def varied(self, images: Sequence[np.ndarray], step: int, stream: str) -> Tensor:
        """n pictures -> (n, 3, H, W) uint8, their colours varied in training where the config asks for it."""
        most, rng = self.config.data.augment.colour, self.rng(step, stream, "colours", "data")
        return pixels([vary_colours(x, most, rng) for x in images] if most and self.split == "train" else images)

    def image_mask(self, step: int, stream: str, count: int) -> Tensor:
        """(count, P) bool."""
        rule, rng = self.config.data.mask, self.rng(step, stream, "image mask")
        grid = self.config.model.vision.grid
        masks = [block_mask(grid, rule.image_patches, rule.smallest_block, rng) for _ in range(count)]
        return torch.from_numpy(np.stack(masks))

    def tokens(self, texts: Sequence[str], step: int, stream: str) -> TokenBatch:
        data, rule, rng = self.config.data, self.config.data.mask, self.rng(step, stream, "text mask")
        longest, share, most = data.caption_tokens, rule.caption_share, rule.caption_most
        if stream == "texts":
            longest, share, most = data.text_tokens, rule.text_share, rule.text_most
        ids = [self.tokenizer.encode(text, longest) for text in texts]
        hidden = [mask_tokens(text, self.tokenizer.vocabulary, share, most, rule.span_share, rng) for text in ids]
        masked, positions, labels = zip(*hidden, strict=True)
        padded, mask = self.tokenizer.pad(ids)
        return TokenBatch(padded, mask, self.tokenizer.pad(masked)[0], filled(positions, 0), filled(labels, IGNORE))

    def rng(self, step: int, stream: str, purpose: str, source: str = "masks") -> np.random.Generator:
        return seeding.rng(self.of_rank(self.seed_of(source)), self.split, step, stream, purpose)

    def of_rank(self, seed: int) -> int:
        return seeding.seed(seed, self.rank) if self.rank else seed

    def seed_of(self, source: str) -> int:
        return self.config.drawn_by(source if self.split == "train" else "rest")


def vary_colours(image: np.ndarray, most: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 with brightness, contrast and saturation each multiplied by 1 - most to 1 + most."""
    picture = Image.fromarray(image)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(rng.uniform(1 - most, 1 + most))
    return np.array(picture)


def pixels(images: Sequence[np.ndarray]) -> Tensor:
    """n pictures (H, W, 3) -> (n, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def filled(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """B rows -> (B, M) int64, padded to the longest with `value`."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


def region_patches(edges: np.ndarray, grid: int, patch: int) -> np.ndarray:
    """Boxes (R, 4) as x, y, width, height in pixels -> (R, P) bool, the patches that each overlaps: columns
    floor(x / patch) to ceil((x + width) / patch) - 1, at least one; rows likewise (as published)."""
    start = edges[:, :2] // patch
    end = np.maximum(-(-(edges[:, :2] + edges[:, 2:]) // patch), start + 1)
    places = np.arange(grid)
    inside = (places >= start[..., None]) & (places < end[..., None])  # (R, 2, grid): columns, rows
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).reshape(len(edges), grid * grid)


def false_captions(world: World, examples: Sequence[Example], share: float, rng: np.random.Generator) -> list[str]:
    """Of each example, with this probability, its caption with one relation exchanged for another that makes it false;
    else, and where it states none, the caption itself."""
    texts = []
    for example in examples:
        false = None
        if rng.random() < share and isinstance(example, Scene):
            false = hard_negative(example.caption, example, "relation", world, rng)
        texts.append(false.text if false else example.text)
    return texts


def joined(tokens: TokenBatch, texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> tuple[TokenBatch, Tensor]:
    """B texts' tokens, and the ids (B, L) of B other texts, both padded to one length."""
    ids, _ = tokenizer.pad([tokenizer.encode(text, longest) for text in texts])
    length = max(ids.shape[1], tokens.ids.shape[1])

    def padded(t: Tensor, value: int | bool) -> Tensor:
        return F.pad(t, (0, length - t.shape[1]), value=value)

    longer = replace(
        tokens,
        ids=padded(tokens.ids, PAD),
        masked_ids=padded(tokens.masked_ids, PAD),
        mask=padded(tokens.mask, False),
    )
    return longer, padded(ids, PAD)
