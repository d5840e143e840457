"""Guests are opened from files and folders alone, and whatever lacks is named, with a word on how to get it."""

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
from safetensors.torch import load_file, save_file

import xfm
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


def test_it_is_explained_as_any_guest(lab: GuestLab, picture: np.ndarray) -> None:
    for method in ("generic attention", "integrated gradients"):
        found = lab.attribute(picture, TEXT, method)
        assert {"A", "photo", "of", "a", "RED", "lion"} <= set(found.by_word()) and found.patches.shape == (16,)
    assert lab.inputs(picture, TEXT, "word RED").left_out.nonzero().flatten().tolist() == [4]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["x_y <b>lion</b>", "  LION's   ", "a &amp; b", "lion 🦁 é"])
def test_cleaning_leaves_pieces_and_characters_in_order(lab: GuestLab, text: str) -> None:
    ids, pieces, spans, _ = lab.model.tokenise(text)
    assert ids == lab.tokenizer([text])[0].tolist() and len(pieces) == len(spans) == len(ids)
    named = [span for span, piece in zip(spans, pieces, strict=True) if piece != "<pad>"]
    assert named == sorted(named) and all(0 <= a <= b <= len(text) for a, b in named)


def test_a_tokenizer_that_is_not_there_says_which_files_and_where_to_put_them(siglip: tuple[Path, Path]) -> None:
    said = rf"^model = 'small-siglip': .* tokenizer\.json .*https://huggingface.co/{small_guests.HUB}.*tokenizer=DIR"
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


def test_nothing_is_fetched_unless_a_tag_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    xfm.load("open_clip:small-clip", pretrained=files["small-clip"])
    (tmp_path / "foreign.pt").write_bytes(b"no weights")
    wanted = {
        ("open_clip:ViT-B-32", ""): "a tag, which is then fetched: .*laion2b",
        ("open_clip:ViT-B-33", "openai"): "near are .*ViT-B-32",
        ("open_clip:small-clip", tmp_path / "foreign.pt"): "cannot load it.*saved of this model",
        ("open_clip:coca_ViT-B-32", files["small-clip"]): "no CoCa",
        ("open_clip:ViT-B-32", "laion2b_s34b_b79k"): "offline: fetch its file of weights from https://huggingface.co/",
        ("hf_clip:openai/clip-vit-base-patch32", ""): "hf download", (f"hf_clip:{tmp_path}", ""): "holds no CLIP",
        ("demo", files["small-clip"]): "pretrained",
    }  # fmt: skip
    for (name, weights), message in wanted.items():
        with pytest.raises(ConfigError, match=message):
            xfm.load(name, pretrained=weights)
    for field, value in (("image_size", 96), ("text_heads", 8)):
        with pytest.raises(ConfigError, match=rf"{field} = .*: must be left out but for xfm:FILE"):
            xfm.load("demo", **{field: value})


def test_a_file_has_its_pictures_prepared_as_its_tags_say(files, monkeypatch) -> None:
    """open_clip asks that of a tag alone: a file would have OpenAI's."""
    half = (0.5, 0.5, 0.5)
    tags = {"old": {"mean": half, "std": half, "interpolation": "bilinear", "resize_mode": "squash"},
            "quick": {"mean": (0.1, 0.2, 0.3), "quick_gelu": True}}  # fmt: skip
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: [*tags])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda _, tag: tags[tag])
    weights = files["small-clip"]
    white = np.full((20, 40, 3), 255, np.uint8)
    for given in (weights, f"old={weights}"):
        prepared = xfm.load("open_clip:small-clip", pretrained=given).model.prepare(white)
        assert torch.equal(prepared, torch.ones_like(prepared)), "(1 - .5) / .5"
    with pytest.raises(ConfigError, match="quick is of another activation than small-clip; name small-clip-quickgelu"):
        xfm.load("open_clip:small-clip", pretrained=f"quick={weights}")
    tags["new"] = {"mean": (0.4, 0.4, 0.4)}
    with pytest.raises(ConfigError, match=r"say whose the file's are, as pretrained='new=FILE' \(there are old, new\)"):
        xfm.load("open_clip:small-clip", pretrained=weights)
    assert xfm.load("open_clip:small-clip", pretrained=f"new={weights}").model.mean == (0.4, 0.4, 0.4)


@pytest.mark.parametrize(("gone", "said"), [
    ("text_model.", r"its weights lack text_model\..* more"),
    ("preprocessor_config.json", "lacks the image processor's preprocessor_config.json, or processor_config.json"),
    ("tokenizer.json vocab.json", "lacks the tokenizer's tokenizer.json, or vocab.json and merges.txt"),
])  # fmt: skip
def test_a_folder_that_is_not_whole_is_refused(gone: str, said: str, hugging_face: Path, tmp_path: Path) -> None:
    """Without a tokenizer's files transformers makes one by which every word is the end of the text."""
    folder = shutil.copytree(hugging_face, tmp_path / "part")
    if gone.endswith("json"):
        for name in gone.split():
            (folder / name).unlink()
    else:
        kept = {n: t for n, t in load_file(folder / "model.safetensors").items() if not n.startswith(gone)}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=said):
        xfm.load(f"hf_clip:{folder}")
