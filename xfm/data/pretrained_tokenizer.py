"""Tokenizers of others: a folder with RoBERTa's or BERT's files -> this toolkit's tokenizer, with its order of ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from ..base.strings import brief, parse_json
from ..config import ConfigError
from ..model.batch import END, PAD, START, UNKNOWN
from .tokenizer import LETTERS, MASK, SPECIAL, Tokenizer

FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))  # the first that are all there are read
BERTS = {START: "[CLS]", PAD: "[PAD]", END: "[SEP]", UNKNOWN: "[UNK]"}
BERTS_MASK = "[MASK]"


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
    try:
        tree, order = _renumbered(_tree(folder, files))
        tokenizer = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(tree)))
        tokenizer.encode(LETTERS, longest=4)
        return tokenizer, order
    except BaseException as error:  # tokenizers raises bare Exception, and a BaseException where its Rust panics
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ConfigError(f"{folder / files[0]}: no tokenizer of RoBERTa's or BERT's kind ({brief(error)})") from error


def _tree(folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    """The tokenizer as tokenizer.json has it, without what the toolkit does itself."""
    if files == FILES[0]:
        tree = parse_json((folder / files[0]).read_text("utf-8"))
    else:
        build = _bpe if files == FILES[1] else _wordpiece
        tree = parse_json(build(folder, *(folder / name for name in files)).to_str())
    return tree | {"truncation": None, "padding": None, "post_processor": None}


def _bpe(folder: Path, vocabulary: Path, merges: Path) -> tokenizers.Tokenizer:
    """RoBERTa's byte-level BPE: as it is, not lower-cased, no space before the first word."""
    backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([*SPECIAL.values(), AddedToken(MASK, lstrip=True, normalized=False)])
    return backend


def _wordpiece(folder: Path, vocabulary: Path) -> tokenizers.Tokenizer:
    """BERT's; lower-cased unless tokenizer_config.json says otherwise."""
    settings = folder / "tokenizer_config.json"
    options = parse_json(settings.read_text("utf-8")) if settings.is_file() else {}
    backend = tokenizers.Tokenizer(models.WordPiece.from_file(str(vocabulary), unk_token=BERTS[UNKNOWN]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=options.get("do_lower_case", True))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens([*BERTS.values(), BERTS_MASK])
    return backend


def _renumbered(tree: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The tree with the special tokens named and numbered as here, and the order. KeyError for one that lacks."""
    model, added = tree["model"], tree.get("added_tokens") or []
    listed = isinstance(model["vocab"], list)  # a unigram model's: [token, score], numbered by place
    ids = {pair[0]: i for i, pair in enumerate(model["vocab"])} if listed else dict(model["vocab"])
    ids |= {token["content"]: token["id"] for token in added}
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
    if listed:
        if order != list(range(len(order))):
            raise ValueError("a unigram model whose ids are not RoBERTa's")
    else:
        vocabulary = {renamed.get(token, token) for token in model["vocab"]}
        model["vocab"] = {token: i for token, i in new.items() if token in vocabulary}
        if model.get("unk_token"):
            model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
    for token in added:
        token["content"] = renamed.get(token["content"], token["content"])
        token["id"] = new[token["content"]]
    return tree | {"added_tokens": sorted(added, key=lambda token: token["id"])}, order
