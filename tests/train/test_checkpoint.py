"""The authors' file becomes a run folder and comes back bit for bit; what does not fit is refused."""

import errno
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from reference import published_file, tiny
from reference.encoders import beit, bert
from reference.published_file import TINY
from safetensors.torch import load_file, save_file
from torch import Tensor
from train.conftest import equal

import xfm
from xfm import recipes
from xfm.base.files import FileError
from xfm.cli import main, parse
from xfm.config import ConfigError, TextConfig, VisionConfig
from xfm.interop.checkpoint_file import CheckpointError
from xfm.interop.resolution import resize_table
from xfm.objectives import build
from xfm.published.export_checkpoint import export_checkpoint
from xfm.published.import_checkpoint import import_checkpoint
from xfm.runs.weights import packed
from xfm.train import Run

BESIDE = {"config": {"image_res": 64, "schedular": {"lr": 1e-4, "warmup": 0.1}, "names": ["a", None]}, "epoch": 3}
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def words(place):
    return published_file.tokenizer(place / "roberta")


@pytest.fixture(scope="module")
def state():
    return published_file.state()


@pytest.fixture(scope="module")
def file(place, state):
    torch.save({"model": state, **BESIDE}, place / "xfm.th")
    return place / "xfm.th"


@pytest.fixture(scope="module")
def run(place, file, words):
    return import_checkpoint(file, words, place / "runs" / "tiny" / "seed7", text_heads=4).run


def saved(folder: Path, content: object, name: str = "file.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def test_it_is_the_published_model_and_a_run_like_any_other(run, place):
    """The weights of `tests/test_parity.py`, whose outputs were recorded from the published code."""
    model = Run.open(run.folder).model().double()
    assert (model.config, run.config.name, run.config.seed) == (tiny.CONFIG.model, "tiny", 7)
    own = dict(tiny.pretraining().model.named_parameters())
    assert all(torch.equal(p, own[n]) for n, p in model.named_parameters())
    lab = xfm.load(run.folder)
    assert lab.run.done and lab.tokenizer.vocabulary == TINY.vocabulary and run.damaged() == []
    onwards = lab.config.replace({"name": "onwards", "init_from": str(run.folder), "train.steps": 1, "data.pairs": 0,
        "data.regions": 0, "data.images": 0, "data.texts": 2, "data.workers": 0})  # fmt: skip
    assert len([*xfm.pretrain(onwards, place / "runs")]) == 1


def test_nothing_is_dropped_unsaid_and_tied_tensors_are_one_in_the_file(place, words, state, tmp_path):
    file = saved(place, {"model": state, "optimizer": {"state": {0: torch.zeros(2)}}}, "again.pt")
    report = import_checkpoint(file, words, place / "again", text_heads=4)
    unused = {fate: {n for n, f in report.unused.items() if f == fate} for fate in report.unused.values()}
    assert unused.keys() == {"captioning", "alias", "derived", "unknown here"}
    assert all(n.startswith("fusion_encoder.roberta.embeddings.") for n in unused["unknown here"])
    assert str(report).count("captioning") == 1 and "left out: optimizer" in str(report)
    back = tmp_path / "back.th"
    export_checkpoint(place / "again", back)
    assert back.stat().st_size < 1.02 * file.stat().st_size, "tied tensors are one in the file"
    before = torch.load(file)["model"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in torch.load(back)["model"].items())


def without(*parts: str) -> Callable[[State], State]:
    return lambda state: {n: t for n, t in state.items() if not any(p in n for p in parts)}


EXTRAS = {"vqkd.weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(5), "empty": torch.zeros(0, 3)}
UNTIED = {"text_encoder.lm_head.decoder.weight": torch.ones(TINY.vocabulary, TINY.width),
          "text_encoder.roberta.embeddings.position_ids": torch.arange(3)}  # fmt: skip
FORMS: dict[str, Callable[[State], object]] = {
    "module": lambda state: {"module": state},
    "half": lambda state: {n: t.half() if t.is_floating_point() else t for n, t in state.items()},
    "several processes, older names": lambda state: {
        f"module.{n.replace('vision_encoder', 'visual_encoder')}": t for n, t in reversed(state.items())},
    "more": lambda state: state | EXTRAS,
    "untied": lambda state: state | UNTIED,
    "no aliases": without("decoder.weight", "decoder.bias", "lm_cap_head", "position_ids", "_index"),
}  # fmt: skip


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_every_form_brings_the_same_weights(form, run, state, words, tmp_path):
    file = saved(tmp_path, FORMS[form](state)) if form != "safetensors" else tmp_path / "xfm.safetensors"
    if form == "safetensors":
        save_file({name: tensor.clone() for name, tensor in state.items()}, file)
    weights = import_checkpoint(file, words, tmp_path / "run", text_heads=4).run.model().state_dict()
    for name, tensor in run.model().state_dict().items():
        assert torch.equal(weights[name], tensor.half().to(tensor.dtype) if form == "half" else tensor)


def test_what_the_published_model_cannot_be_is_not_exported(run, tmp_path):
    other = Run(tmp_path / "run", run.config.replace({"model.text.encoder": "bert"}))  # another epsilon
    other.make()
    weights = packed(build(other.config).state_dict())
    other.write({"config.json": other.config.to_json(), "model.safetensors": weights, "DONE": ""})
    with pytest.raises(CheckpointError, match=r"model\.text\.encoder = 'bert': must be one of 'roberta'"):
        export_checkpoint(other.folder, tmp_path / "other.th")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_heads_that_a_fine_tuned_file_lacks_start_fresh(state, words, tmp_path):
    tuned = without("text_encoder.lm", "bbox_head", "itm_head")(state)
    tuned = {name.replace("text_encoder.roberta.", "text_encoder."): t for name, t in tuned.items()}
    report = import_checkpoint(saved(tmp_path, tuned), words, tmp_path / "run", text_heads=4)
    assert {name.split(".")[0] for name in report.missing} == {"text_encoder", "bbox_head", "itm_head"}
    assert "missing, fresh: text_encoder.lm_head." in str(report)
    export_checkpoint(tmp_path / "run", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt")["model"]
    assert all(torch.equal(back[n], t) for n, t in without("lm_cap_head")(state).items() if n in tuned and n in back)


@pytest.mark.parametrize("pixels", [96, 48])
def test_tables_are_interpolated_to_another_resolution(pixels, state, words, tmp_path):
    report = import_checkpoint(saved(tmp_path, state), words, tmp_path / "run", pixels, text_heads=4)
    assert "interpolated: vision_encoder.blocks.*.attn.relative_position_bias_table (2)" in str(report)
    model = report.run.model()
    table = state["vision_encoder.blocks.1.attn.relative_position_bias_table"]
    assert torch.equal(model.vision.relative_bias[1], resize_table(table, pixels // 16))
    assert model.vision(torch.zeros(1, 3, pixels, pixels)).shape == (1, (pixels // 16) ** 2, 64)
    export_checkpoint(tmp_path / "run", tmp_path / "back.pt")  # at the new resolution, with its buffers
    again = import_checkpoint(tmp_path / "back.pt", words, tmp_path / "again")
    assert not again.resized and not again.missing and {*again.unused.values()} == {"alias", "derived"}
    assert again.run.config.model == report.run.config.model, "with heads, which no shape tells"
    assert equal(*(load_file(tmp_path / name / "model.safetensors") for name in ("run", "again")))


def test_both_forms_of_a_tokenizer_are_one_and_load_opens_the_file_itself(words, file, run, tmp_path):
    files = published_file.tokenizer(tmp_path / "files", form="vocab.json")
    other = import_checkpoint(file, files, tmp_path / "run", text_heads=4).run.tokenizer()
    for text in ("A small black cat.", "a cat and a dog", " or qxq"):
        assert other.encode(text, 99) == run.tokenizer().encode(text, 99)
        assert other.decode(other.encode(text, 99)) == text.strip()
    lab = xfm.load(f"xfm:{file}", tokenizer=words, text_heads=4)
    own = dict(run.model().named_parameters())
    assert all(torch.equal(p, own[n]) for n, p in lab.model.named_parameters())
    with pytest.raises(ConfigError, match="tokenizer = None: must be RoBERTa's folder"):
        xfm.load(f"xfm:{file}")
    with pytest.raises(ConfigError, match=r"tokenizer = .*: must be left out"):
        xfm.load("demo", tokenizer=words)


class Code:
    def __reduce__(self) -> tuple:
        return (open, ("executed", "w"))


def refused(file: Path, words: Path, folder: Path, said: str, kind: type = CheckpointError, **options) -> None:
    before = set(folder.rglob("*"))
    with pytest.raises(kind, match=said) as error:
        import_checkpoint(file, words, folder / "runs" / "run", **({"text_heads": 4} | options))
    assert len(str(error.value)) < 4000
    assert not {p for p in set(folder.rglob("*")) - before if p.name != "runs"}, "nothing half-written is left"


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run(zipped, state, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": state, "config": Code()}, tmp_path / "bad.th", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "bad.th", words, tmp_path, r"bad\.th: refused, and nothing of it was run: it asks for .*open")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("share", [0.0, 0.999])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_truncated_file_is_refused(form, share, state, words, tmp_path):
    path = tmp_path / "cut.th"
    if form == "safetensors":
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path, words, tmp_path, r"cut\.th: no whole .*file")


FOREIGN: dict[str, dict[str, tuple[int, ...]]] = {
    "ViT, DeiT": {"cls_token": (1, 1, 2), "pos_embed": (1, 5, 2), "blocks.0.attn.qkv.weight": (6, 2)},
    "X-VLM or ALBEF": {"text_encoder.bert.encoder.layer.6.crossattention.self.key.weight": (2, 2)},
    "a run of this toolkit": {"objectives.itc.temperature": ()}, "is no model that is known": {"w1": (2, 2)},
}  # fmt: skip
LAYER = "text_encoder.roberta.encoder.layer.1.output.dense.weight"
WIDTH = "text_encoder.roberta.embeddings.LayerNorm.weight"
BIAS = "vision_proj.bias"
WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "a layer lacks": (without(LAYER), r"lacks text_encoder\.\S+\.layer\.\*\.output\.dense\.weight;"),
    "width": (lambda state: state | {WIDTH: torch.ones(32)}, r"LayerNorm\.weight has \(32,\), not \(64,\)"),
    "not finite": (lambda state: state | {BIAS: torch.full((32,), torch.nan)}, r"'vision_proj\.bias' is not finite"),
    "float64": (lambda state: state | {BIAS: torch.zeros(32).double()}, r"is torch\.float64; save it as float32"),
    "sparse": (lambda state: state | {BIAS: torch.zeros(32).to_sparse()}, "sparse or quantised"),
    "no tensor": (lambda state: {"model": state | {"temp": 0.07}}, "'temp' is a float, not a tensor"),
    "a list": (lambda state: [*state.values()], "holds a list"),
    "nothing": (lambda state: {"model": {}}, "holds no tensors"),
    **{f"of {model}": (
        lambda _, of=of: {"state_dict": {f"module.{n}": torch.zeros(shape) for n, shape in of.items()}},
        rf"is .*{model.removeprefix('is ')}.*not X-FM's") for model, of in FOREIGN.items()},
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_is_not_whole_is_refused_with_every_name(wrong, state, words, tmp_path):
    change, said = WRONG[wrong]
    refused(saved(tmp_path, change(state)), words, tmp_path, rf"file\.pt: .*{said}")


def test_tokenizers_sizes_and_places_that_do_not_fit_are_refused(file, words, run, tmp_path):
    short, none = published_file.tokenizer(tmp_path / "short", 199), tmp_path / "none"
    refused(file, short, tmp_path, r"short: has 199 tokens, and .*xfm\.th a word table of 200", ConfigError)
    none.mkdir()
    refused(file, none, tmp_path, r"must be a folder with tokenizer\.json, or vocab\.json and", ConfigError)
    (none / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    refused(file, none, tmp_path, r"tokenizer\.json: no tokenizer of RoBERTa's or BERT's", ConfigError)
    refused(file, words, tmp_path, "model.text.heads = 3", ConfigError, text_heads=3)
    refused(file, words, tmp_path, "image_size = 65: must be a multiple of patch_size", ConfigError, image_size=65)
    refused(tmp_path / "nowhere.th", words, tmp_path, r"nowhere\.th: cannot be read")
    with pytest.raises(ConfigError, match=r"out = .*: must be a folder that is not there yet"):
        import_checkpoint(file, words, run.folder)
    with pytest.raises(ConfigError, match=r"out = .*: must be a file that is not there yet"):
        export_checkpoint(run.folder, file)


def test_a_write_that_fails_leaves_no_folder(file, words, run, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("xfm.base.files.os.fsync", full)
        refused(file, words, tmp_path, "cannot be written .*No space left", RuntimeError)
    with pytest.raises(FileError, match=r"pub\.th: cannot be written \(No such file or directory"):
        export_checkpoint(run.folder, tmp_path / "nowhere" / "pub.th")


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "published-model.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": published_file.state(), "config": {}}, "xfm_1b3.th")
    published_file.tokenizer(Path("roberta-base"))
    bert(Path("bert-base-uncased"), max_position_embeddings=80)
    beit(Path("beit")).rename("beitv2_base_patch16_224_pt1k.pth")
    Image.new("RGB", (90, 60), "orange").save("cat.png")
    return tmp_path


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
def test_an_example_runs(language, code, files, capsys):
    if language == "python":
        exec(code.replace('"base"', '"smoke"'), {})
        assert capsys.readouterr().out
    for line in code.splitlines() if language == "sh" else ():
        command, *words = shlex.split(line)
        assert command == "xfm"
        if words[0] == "pretrain":  # of the paper's size: the encoders' sizes are the recipe's
            config = parse(words).config
            assert config.init_from.startswith("roberta:") and config.model == recipes.base().model
            assert (config.model.vision, config.model.text) == (VisionConfig(), TextConfig())
        else:
            main(words)
    assert "import-checkpoint" not in code or torch.load("again.th").keys() == {"model", "config"}
