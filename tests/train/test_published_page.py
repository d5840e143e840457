"""Every example of docs/published-model.md runs: on files of the names it has, at a small size."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from make_language_control import language_control
from PIL import Image
from reference import published_file
from reference.encoders import beit, bert

from xfm import recipes
from xfm.cli import main, parse
from xfm.config import TextConfig, VisionConfig
from xfm.tasks.world import lexnames, sentence_pairs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "published-model.md").read_text("utf-8")
PROBED = ("lexicographer files", "same synset", "hypernym")  # what the probes of a language encoder ask
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


def test_the_control_asks_the_probes_of_another_encoder(files, monkeypatch):
    for module in (lexnames, sentence_pairs):
        monkeypatch.setattr(module, "TRAIN", 120)
        monkeypatch.setattr(module, "TEST", 30)
    monkeypatch.setattr("xfm.tasks.language_finetuning.STEPS", 1)
    config, encoder = recipes.get("smoke").replace({"data.text_tokens": 20, "data.caption_tokens": 20}), Path("bert")
    rows = language_control(config, f"bert:{bert(encoder, max_position_embeddings=80)}")
    asked = [(task, f"{probe} of bert") for task in PROBED for probe in ("linear probe", "fine-tuned")]
    assert [(row.task, row.condition) for row in rows] == asked and {row.n for row in rows[:2]} == {30}
    assert all(row.baseline_name == "bag of words" and row.low <= row.value <= row.high for row in rows)
    with pytest.raises(ValueError, match=r"encoder = .*: must be bert:DIR or roberta:DIR"):
        language_control(config, "bert:a,beit:b")
    with pytest.raises(ValueError, match="task = 'grounding': must be one of"):
        language_control(config, "bert:bert", ["grounding"])
