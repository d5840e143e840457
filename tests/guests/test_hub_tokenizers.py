"""Guests whose tokenizer is Hugging Face's hub's: from a folder, with open_clip's own cleaning, or a word on how to get
it."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import small_guests
import torch
import torch.nn.functional as F
import transformers

import xfm
from xfm import explain
from xfm.base.fields import ConfigError
from xfm.guests.handle import GuestLab

pytestmark = pytest.mark.usefixtures("offline")
TEXT = "A photo of a RED lion!"


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return small_guests.save_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def lab(siglip: tuple[Path, Path]) -> GuestLab:
    return xfm.load("open_clip:small-siglip", pretrained=siglip[0], tokenizer=siglip[1])


def test_a_folders_tokenizer_reads_texts_as_open_clip_cleans_them(lab: GuestLab, picture: np.ndarray) -> None:
    ids, pieces, spans, read = lab.model.tokenise(TEXT)
    assert isinstance(lab.tokenizer, open_clip.tokenizer.HFTokenizer)
    assert torch.equal(torch.tensor(ids), lab.tokenizer([TEXT])[0])
    assert ids == lab.tokenizer(["a photo of a red lion"])[0].tolist(), "no capitals, no punctuation"
    assert pieces[:7] == ["a", "photo", "of", "a", "red", "li", "on"] and set(pieces[7:]) == {"<pad>"}
    assert [TEXT[a:b] for a, b in spans[:7]] == ["A", "photo", "of", "a", "RED", "li", "on"]
    assert len(ids) == 16 and read == 15, "SigLIP reads the last place, whatever pads it"
    with pytest.raises(ConfigError, match=r"^text = .*\(19 tokens\).* at most 16"):
        lab.model.tokenise("a " * 18)
    traced = lab.trace(picture, TEXT, "itc")
    net: Any = lab.model.net
    with torch.no_grad():
        text = F.normalize(net.encode_text(lab.tokenizer([TEXT])), dim=-1)
        image = F.normalize(net.encode_image(lab.model.prepare(picture)[None]), dim=-1)
    assert traced.scores["itc"] == pytest.approx((image * text).sum().item(), abs=1e-5)


@pytest.mark.parametrize("method", ["generic attention", "integrated gradients", "occlusion", "grad-cam"])
def test_it_is_explained_as_any_guest(lab: GuestLab, picture: np.ndarray, method: str) -> None:
    found = lab.attribute(picture, TEXT, method)
    assert {"A", "photo", "of", "a", "RED", "lion"} <= set(found.by_word()) and found.patches.shape == (16,)
    assert lab.inputs(picture, TEXT, "word RED").left_out.nonzero().flatten().tolist() == [4]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["x_y <b>lion</b>", "  lion   ", "a &amp; b", "LION's", "lion 🦁", "é"])
def test_cleaning_leaves_pieces_and_characters_in_order(lab: GuestLab, picture: np.ndarray, text: str) -> None:
    ids, pieces, spans, _ = lab.model.tokenise(text)
    assert ids == lab.tokenizer([text])[0].tolist() and len(pieces) == len(spans) == len(ids)
    named = [span for span, piece in zip(spans, pieces, strict=True) if piece != "<pad>"]
    assert named == sorted(named) and all(0 <= a <= b <= len(text) for a, b in named)
    assert explain.attribute(lab.inputs(picture, text), "saliency").text.isfinite().all()


def test_a_tokenizer_that_is_not_there_says_which_files_and_where_to_put_them(siglip: tuple[Path, Path]) -> None:
    url, give = f"https://huggingface.co/{small_guests.HUB}", "tokenizer=DIR"
    said = rf"^model = 'small-siglip': .*{small_guests.HUB}.* tokenizer\.json .*{url}.*{re.escape(give)}"
    with pytest.raises(ConfigError, match=said) as error:
        xfm.load("open_clip:small-siglip", pretrained=siglip[0])
    assert len(str(error.value)) < 1200
    with pytest.raises(ConfigError, match=r"'ViT-B-16-SigLIP': .*timm/ViT-B-16-SigLIP.* is not on this machine"):
        xfm.load("open_clip:ViT-B-16-SigLIP", pretrained=siglip[0])


def test_a_folder_that_holds_no_tokenizer_of_the_model_is_refused(siglip: tuple[Path, Path], tmp_path: Path) -> None:
    (weights, words), (empty, broken, larger) = siglip, (tmp_path / name for name in ("empty", "broken", "larger"))
    empty.mkdir()
    shutil.copytree(words, broken)
    (broken / "tokenizer.json").write_text("{")
    more = transformers.AutoTokenizer.from_pretrained(words)
    more.add_tokens(["zebra"])
    more.save_pretrained(larger)
    refused = {tmp_path / "nothing": "no such folder; fetch tokenizer.json", words / "tokenizer.json": "no such folder",
               empty: "holds none that can be read", broken: "holds none that can be read",
               larger: r"it has ids to (\d+), the table \1 rows"}  # fmt: skip
    for folder, message in refused.items():
        with pytest.raises(ConfigError, match=rf"^tokenizer = {re.escape(repr(str(folder)))}: .*{message}"):
            xfm.load("open_clip:small-siglip", pretrained=weights, tokenizer=folder)


def test_a_model_with_a_tokenizer_of_its_own_takes_none(files: dict[str, Path], tmp_path: Path) -> None:
    for what in ("open_clip:small-clip", f"hf_clip:{tmp_path}", "demo"):
        with pytest.raises(ConfigError, match=r"^tokenizer = .*left out"):
            xfm.load(what, pretrained=files["small-clip"] if what.startswith("open") else "", tokenizer=tmp_path)
