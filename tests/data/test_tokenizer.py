"""Ids, spans, padding, files."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xfm.config import CaptionConfig, SceneConfig
from xfm.data import cache
from xfm.data.synthetic.grammar import plural
from xfm.data.synthetic.scenes import CORPUS_SCENES, World
from xfm.data.tokenizer import Tokenizer, for_sources, train
from xfm.data.wordnet import sentences

CORPUS = """
import itertools
from xfm.data.tokenizer import train
from xfm.data.wordnet import sentences
made = train((s.text for s in sentences("test")), 600).backend.to_str()
"""


def test_special_ids(tokenizer: Tokenizer) -> None:
    assert [tokenizer.backend.token_to_id(t) for t in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")] == [0, 1, 2, 3, 4095]
    assert (tokenizer.vocabulary, tokenizer.mask_id) == (4096, 4095)
    assert tokenizer.encode("a <mask> dog", 9)[2] == 4095


def test_names_are_single_tokens(tokenizer: Tokenizer, world: World) -> None:
    for name in (*world.names, *map(plural, world.names)):
        ids = tokenizer.encode(f"a {name}", 9)
        assert len(ids) == 4 and tokenizer.decode(ids[2:3]) == name
        assert tokenizer.encode(name, 9)[1] == ids[2]  # also where a text begins


def test_the_corpus_is_of_the_worlds_own_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = World(), World(captions=CaptionConfig(0.5, 0.5, 0.5)), World(scenes=SceneConfig(clutter=9))
    plain, rich, cluttered = (list(world.corpus()) for world in worlds)
    assert plain == cluttered != rich
    assert all(worlds[1].scene("train", i).caption.text in rich[: 5 * CORPUS_SCENES] for i in range(50))
    known, spoken = ({word for text in some[: 2 * CORPUS_SCENES] for word in text.split()} for some in (plain, rich))
    assert {"beside", "near", "without", "beneath", "couple", "drawing", "red", "grey"} <= spoken - known
    named: list[str] = []
    monkeypatch.setattr(cache, "cached", lambda name, write: named.append(name))
    monkeypatch.setattr(Tokenizer, "load", lambda path: None)
    for world in worlds[:2]:
        for_sources([world], 4096)
    assert len(set(named)) == 2  # else a world would open another's


def test_sentences_come_back(tokenizer: Tokenizer) -> None:
    for sentence in sentences("test")[::40]:
        assert tokenizer.decode(tokenizer.encode(sentence.text, 512)) == sentence.text


@given(st.text(max_size=40))
def test_any_text_comes_back_lower_cased(tokenizer: Tokenizer, text: str) -> None:
    text = "x " + "".join(c for c in text if c not in "<>")
    ids = tokenizer.encode(text, 512)
    assert ids[0] == 0 and ids[-1] == 2 and min(ids[1:-1]) > 3
    assert tokenizer.decode(ids) == "".join(c.lower() for c in text).strip()


def test_long_texts_are_cut(tokenizer: Tokenizer) -> None:
    whole = tokenizer.encode("a dog and a cat and a fish", 512)
    assert tokenizer.encode("a dog and a cat and a fish", 5) == [*whole[:4], 2]


def test_spans_find_their_tokens(tokenizer: Tokenizer, world: World) -> None:
    for i in range(50):
        caption = world.scene("train", i).caption
        ids, ranges = tokenizer.encode_with_spans(caption.text, caption.spans)
        assert ids == tokenizer.encode(caption.text, 512)
        for (start, end, _), (a, b) in zip(caption.spans, ranges, strict=True):
            assert tokenizer.decode(ids[a:b]) == caption.text[start:end]
    ids, ranges = tokenizer.encode_with_spans("a hedgehog and a dog", [(2, 10, "noun"), (17, 20, "noun")], longest=5)
    assert len(ids) == 5 and ranges[0][0] == 2 and ranges[1][0] == ranges[1][1]  # the dog was cut off


def test_padding(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer.pad([[0, 5, 2], [0, 5, 6, 7, 2]])
    assert ids.tolist() == [[0, 5, 2, 1, 1], [0, 5, 6, 7, 2]] and ids.dtype == torch.int64
    assert mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_files(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(tokenizer.backend.to_str(), encoding="utf-8")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.encode("two big apples", 9) == tokenizer.encode("two big apples", 9)
    with pytest.raises(FileNotFoundError, match=r"missing.json"):
        Tokenizer.load(tmp_path / "missing.json")
    for content in ("{", '{"version": "1.0"}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match=r"bad.json: not a tokenizer"):
            Tokenizer.load(tmp_path / "bad.json")
    text = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "bad.json").write_text(text.replace('"<pad>"', '"<gap>"'))
    with pytest.raises(ValueError, match=r"bad.json.*'<gap>': must be '<pad>'"):
        Tokenizer.load(tmp_path / "bad.json")


def test_training_is_deterministic_and_refuses_bad_sizes() -> None:
    names: dict[str, str] = {}
    exec(CORPUS, names)
    run = [sys.executable, "-c", CORPUS + "print(made)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == names["made"].strip()
    with pytest.raises(ValueError, match=r"model.text.vocabulary = 200: must be at least 261"):
        train(iter(["a dog"]), 200)
    with pytest.raises(ValueError, match=r"model.text.vocabulary = 500: must be at most 265, which the corpus gives"):
        train(iter(["a dog"]), 500)
