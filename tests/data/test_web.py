"""Remote shards: streamed, split by name, and nothing that a shell or another scheme would run."""

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from photographs import photograph

from xfm import recipes
from xfm.cli import main
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import train
from xfm.data.web import WebShards, allow, is_remote, split_by_name
from xfm.evaluation import evaluate_run
from xfm.lab import load
from xfm.objectives import build
from xfm.train import Run
from xfm.train.setup import require_startable
from xfm.train.weights import packed


@pytest.mark.parametrize(
    "spec",
    [
        "pipe://cat /etc/passwd",
        "http://x/a.tar'; touch owned; '",
        "http://x/$(touch owned).tar",
        "http://x/`id`.tar",
        "http://x/a.tar|id",
        "http://x/a b.tar",
        "ftp://x/a.tar",
        "s3://x/a.tar",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_plain_url_is_refused(spec: str) -> None:
    assert is_remote(spec)
    config = recipes.smoke().replace({"data.sources": [spec]})
    with pytest.raises(ConfigError, match="must be an http or https URL in plain characters"):
        dataset(config)


class Quiet(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of two shards on this machine."""
    Quiet.asked.clear()
    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for i in range(30 * shard, 30 * shard + 30):
                file = io.BytesIO()
                photograph(i).save(file, "PNG")
                for name, data in ((f"{i}.png", file.getvalue()), (f"{i}.txt", f"picture {i}".encode())):
                    content = b"damaged" if i == 3 else data
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{{0..1}}.tar"
    server.shutdown()


def test_shards_are_streamed_and_split_by_name(served: str) -> None:
    allow([served])
    source = WebShards(served, 48)
    wanted = {
        s: {f"picture {i}" for i in range(60) if split_by_name(str(i)) == s and i != 3} for s in ("train", "test")
    }
    for split, texts in wanted.items():
        assert {source.example(split, i).text for i in range(len(texts))} == texts
        assert source.example(split, 0).text in texts  # from the start again
    assert set(source.corpus()) >= wanted["train"]


def test_nothing_is_fetched_for_a_config_that_came_with_a_run_folder(served: str, tmp_path: Path, capsys) -> None:
    """Its evaluation, its tokenizer, a picture of it; until the user asks, by a training or by name."""
    config = recipes.smoke().replace({"name": "foreign", "data.sources": [served]})
    run = Run.of(config, tmp_path)
    run.make()
    run.claim()
    run.write({"model.safetensors": packed(build(config)), "tokenizer.json": words(config), "DONE": ""})
    for ask in (
        lambda: evaluate_run(run.folder, "retrieval"),
        lambda: load(run.folder).scene(0),
        lambda: dataset(Run.open(run.folder).config).tokenizer(),
    ):
        with pytest.raises(ConfigError, match=r"is not fetched for a config that came with a run folder.*--fetch"):
            ask()
    with pytest.raises(SystemExit, match="is not fetched for a config"):
        main(["evaluate", str(run.folder), "--tasks", "retrieval"])
    assert Quiet.asked == []
    require_startable(run)  # as `pretrain` does with the config that it is given
    assert dataset(config).sources[0].example("train", 0).text.startswith("picture ")
    assert {*Quiet.asked} <= {"/0.tar", "/1.tar"} and Quiet.asked


def words(config: RunConfig) -> str:
    return train((f"picture {i} of some thing" for i in range(3000)), config.model.text.vocabulary).backend.to_str()
