"""A lower-cased byte-level BPE in RoBERTa's order: <s> 0, <pad> 1, </s> 2, <unk> 3, words, <mask> last; and the
tokenizers of others, a folder with RoBERTa's or BERT's files, in this order of ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer
from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer
from torch import Tensor

from ..base.strings import brief, parse_json, shown
from ..config import ConfigError
from ..model.batch import END, PAD, START, UNKNOWN
from . import cache
from .source import Source

SPECIAL = {START: "<s>", PAD: "<pad>", END: "</s>", UNKNOWN: "<unk>"}
MASK = "<mask>"
LETTERS = "A small black cat."  # that a tokenizer must be able to encode
FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))  # the first that are all there are read
BERTS = {START: "[CLS]", PAD: "[PAD]", END: "[SEP]", UNKNOWN: "[UNK]"}
BERTS_MASK = "[MASK]"
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
            raise ValueError("it cuts, pads or frames by itself: its truncation, padding, post_processor must be null")
        for i, token in {**SPECIAL, self.mask_id: MASK}.items():
            if (there := backend.id_to_token(i)) != token:
                raise ValueError(f"token {i} of {self.vocabulary} is {shown(there)}: must be {token!r}")

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
        with _explained(ValueError, f"{path}: not a tokenizer of this toolkit", "; delete it if cached"):
            return _that_encodes(Path(path).read_text("utf-8"))


def _that_encodes(text: str) -> Tokenizer:
    """The tokenizer of a file's text."""
    tokenizer = Tokenizer(tokenizers.Tokenizer.from_str(text))
    tokenizer.encode(LETTERS, longest=4)
    return tokenizer


@contextmanager
def _explained(kind: type[ValueError], what: str, then: str = "") -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # tokenizers raises bare Exception, and a BaseException where its Rust panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{what} ({brief(error)}){then}") from error


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


def read_pretrained(folder: str | Path) -> tuple[Tokenizer, list[int]]:
    """The tokenizer in a folder, and `order`: the id that each of our ids has there.

    RoBERTa's ids are ours. BERT's special tokens get RoBERTa's names and places, and the other tokens keep their order:
    a table of BERT's is ours as `table[order]`. Cutting, padding and framing are left out: the toolkit does it itself.
    ConfigError for a folder without such files, and for files that are no such tokenizer.
    """
    folder = Path(folder)
    files = next((names for names in FILES if all((folder / name).is_file() for name in names)), None)
    if files is None:
        kinds = ", or ".join(" and ".join(names) for names in FILES)
        raise ConfigError(f"tokenizer = {brief(folder)}: must be a folder with {kinds}")
    with _explained(ConfigError, f"{folder / files[0]}: no tokenizer of RoBERTa's or BERT's kind"):
        tree, order = _renumbered(_tree(folder, files))
        return _that_encodes(json.dumps(tree)), order


def _tree(folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    """The tokenizer as tokenizer.json has it, without what the toolkit does itself."""
    text = (folder / files[0]).read_text("utf-8") if files == FILES[0] else _of_vocabulary(folder, files)
    return parse_json(text) | {"truncation": None, "padding": None, "post_processor": None}


def _of_vocabulary(folder: Path, files: tuple[str, ...]) -> str:
    """RoBERTa's byte-level BPE, no space before the first word; or BERT's word pieces, lower-cased unless
    tokenizer_config.json says otherwise."""
    paths = [str(folder / name) for name in files]
    if files == FILES[1]:
        backend = ByteLevelBPETokenizer.from_file(*paths)
        backend.add_special_tokens([*SPECIAL.values(), AddedToken(MASK, lstrip=True, normalized=False)])
        return backend.to_str()
    settings = folder / "tokenizer_config.json"
    options = parse_json(settings.read_text("utf-8")) if settings.is_file() else {}
    backend = BertWordPieceTokenizer.from_file(*paths, lowercase=options.get("do_lower_case", True))
    backend.add_special_tokens([*BERTS.values(), BERTS_MASK])
    return backend.to_str()


def _renumbered(tree: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The tree with the special tokens named and numbered as here, and the order. KeyError for one that lacks."""
    model, added = tree["model"], tree.get("added_tokens") or []
    ids = dict(model["vocab"]) | {token["content"]: token["id"] for token in added}
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError(f"the ids of its {len(ids)} tokens are not 0 to {len(ids) - 1}")
    berts = BERTS[START] in ids
    theirs, mask = (BERTS, BERTS_MASK) if berts else (SPECIAL, MASK)
    if lacking := [token for token in (*theirs.values(), mask) if token not in ids]:
        raise ValueError(f"it has no token {', '.join(lacking)}")
    special = [theirs[i] for i in sorted(theirs)]
    words = [token for token in sorted(ids, key=lambda token: ids[token]) if token not in (*special, mask)]
    ordered = [*special, *words, mask]
    if clash := [token for token in words if token in (*SPECIAL.values(), MASK)]:
        raise ValueError(f"{clash[0]} is an ordinary token of it")
    renamed = {theirs[i]: SPECIAL[i] for i in theirs} | {mask: MASK}
    new = {renamed.get(token, token): i for i, token in enumerate(ordered)}
    order = [ids[token] for token in ordered]
    vocabulary = {renamed.get(token, token) for token in model["vocab"]}
    model["vocab"] = {token: i for token, i in new.items() if token in vocabulary}
    if model.get("unk_token"):
        model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    for token in added:
        token["content"] = renamed.get(token["content"], token["content"])
        token["id"] = new[token["content"]]
    return tree | {"added_tokens": sorted(added, key=lambda token: token["id"])}, order
