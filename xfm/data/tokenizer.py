"""A lower-cased byte-level BPE in RoBERTa's order: <s> 0, <pad> 1, </s> 2, <unk> 3, words, <mask> last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import tokenizers
import torch
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ..base.strings import brief, shown
from ..config import ConfigError
from ..model.batch import END, PAD, START, UNKNOWN
from . import cache
from .source import Source

SPECIAL = {START: "<s>", PAD: "<pad>", END: "</s>", UNKNOWN: "<unk>"}
MASK = "<mask>"
LETTERS = "A small black cat."  # that a tokenizer must be able to encode
LEAST = 256 + len(SPECIAL) + 1  # bytes, special tokens, <mask>


class Tokenizer:
    """Texts to ids and back. Wraps a `tokenizers.Tokenizer`, which a run folder keeps as tokenizer.json."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        """Raises ValueError where the ids are not 0, 1, 2, ..., the special tokens not RoBERTa's, or texts changed by
        itself."""
        self.backend = backend
        self.vocabulary = backend.get_vocab_size()
        self.mask_id = self.vocabulary - 1
        if sorted(backend.get_vocab().values()) != list(range(self.vocabulary)):
            raise ValueError(f"the ids of its {self.vocabulary} tokens are not 0 to {self.vocabulary - 1}")
        if backend.truncation or backend.padding or backend.post_processor:
            raise ValueError(
                "it cuts, pads or frames texts by itself: its truncation, padding, post_processor must be null"
            )
        for i, token in {**SPECIAL, self.mask_id: MASK}.items():
            if backend.id_to_token(i) != token:
                raise ValueError(
                    f"token {i} of {self.vocabulary} is {shown(backend.id_to_token(i))}: must be {token!r}"
                )

    def encode(self, text: str, longest: int) -> list[int]:
        """`<s>` tokens `</s>`, the tokens cut so that at most `longest` ids come out.

        Raises ConfigError for what is no text."""
        return [START, *self._encoded(text).ids[: longest - 2], END]

    def encode_with_spans(
        self, text: str, spans: Sequence[tuple[int, int, str]], longest: int = 1 << 30
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids, and for each span of characters [start, end) its range of positions in them; empty where cut off.

        Raises ConfigError for what is no text."""
        encoding = self._encoded(text)
        offsets = encoding.offsets[: longest - 2]
        ranges = []
        for start, end, _ in spans:
            inside = [i for i, (a, b) in enumerate(offsets, 1) if a < end and b > start]
            ranges.append((inside[0], inside[-1] + 1) if inside else (len(offsets) + 1,) * 2)
        return [START, *encoding.ids[: longest - 2], END], ranges

    def _encoded(self, text: str) -> tokenizers.Encoding:
        try:
            return self.backend.encode(text)
        except (TypeError, UnicodeEncodeError):  # a lone surrogate has no bytes
            raise ConfigError(f"text = {shown(text)}: must be a string that UTF-8 can write") from None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids; of the special tokens only `<mask>` is shown."""
        shown = [i for i in ids if i > UNKNOWN]
        return self.backend.decode(shown, skip_special_tokens=False).strip()

    def pad(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """ids (B, L) int64 padded to the longest, mask (B, L) bool, True where a token is."""
        longest = max(map(len, texts))
        ids = torch.tensor([[*text, *[PAD] * (longest - len(text))] for text in texts])
        lengths = torch.tensor([len(text) for text in texts])
        return ids, torch.arange(longest) < lengths[:, None]

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """Raises FileNotFoundError, or ValueError for a file that is not such a tokenizer; both name it."""
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such tokenizer file")
        try:
            loaded = cls(tokenizers.Tokenizer.from_str(Path(path).read_text("utf-8")))
            loaded.encode(LETTERS, longest=4)
            return loaded
        except BaseException as error:  # tokenizers raises bare Exception, and a BaseException where its Rust panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise ValueError(
                f"{path}: not a tokenizer of this toolkit ({brief(error)}); delete it if cached"
            ) from error


def train(corpus: Iterator[str], vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly `vocabulary` ids; the same corpus gives the same one.

    Raises ConfigError where the vocabulary is too small for the bytes or too large for the corpus.
    """
    backend = _trained(corpus, vocabulary)
    if backend.get_vocab_size() != vocabulary - 1:
        most = backend.get_vocab_size() + 1
        raise ConfigError(f"model.text.vocabulary = {vocabulary}: must be at most {most}, which the corpus gives")
    backend.add_special_tokens([AddedToken(MASK, lstrip=True, normalized=False)])
    return Tokenizer(backend)


def largest(corpus: Iterator[str], wanted: int) -> int:
    """The largest vocabulary up to `wanted` that the corpus gives."""
    return _trained(corpus, wanted).get_vocab_size() + 1


def _trained(corpus: Iterator[str], vocabulary: int) -> tokenizers.Tokenizer:
    """Without <mask>, and of fewer ids where the corpus gives no more."""
    if vocabulary < LEAST:
        raise ConfigError(f"model.text.vocabulary = {vocabulary}: must be at least {LEAST} (bytes and special tokens)")
    backend = tokenizers.Tokenizer(models.BPE())
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        special_tokens=[SPECIAL[i] for i in sorted(SPECIAL)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    return backend


def for_sources(sources: Sequence[Source], vocabulary: int) -> Tokenizer:
    """The tokenizer of the sources' corpora, one after the other; trained in seconds once and cached by content.

    Raises ConfigError as `train`.
    """
    content = [*(source.fingerprint.encode() for source in sources), Path(__file__).read_bytes()]
    digest = hashlib.blake2b(b"/".join(content), digest_size=6).hexdigest()
    corpus = chain.from_iterable(source.corpus() for source in sources)
    name = f"tokenizer-{vocabulary}-{digest}.json"
    return Tokenizer.load(cache.cached(name, lambda: train(corpus, vocabulary).backend.to_str(pretty=True)))
