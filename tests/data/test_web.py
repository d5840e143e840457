"""Remote shards: streamed, split by name, and nothing that a shell or another scheme would run."""

import io
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, product
from pathlib import Path
from typing import ClassVar

import pytest
from data.formats import tar_of
from photographs import photograph

from xfm import recipes
from xfm.config import AugmentConfig, ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.batch_loader import loader
from xfm.data.source import Split, allow
from xfm.data.streams import Streams
from xfm.data.tokenizer import train
from xfm.files.web import WebShards, split_by_name
from xfm.lab import load
from xfm.objectives import build
from xfm.runs.weights import packed
from xfm.tasks import evaluate_run
from xfm.train import Run
from xfm.train.requirements import require_startable


@pytest.mark.parametrize("spec", [
    "pipe://cat /etc/passwd", "http://x/a.tar'; touch owned; '", "http://x/$(touch owned).tar", "http://x/`id`.tar",
    "http://x/a.tar|id", "http://x/a b.tar", "s3://x/a.tar", "file:///etc/passwd",
])  # fmt: skip
def test_what_is_no_plain_url_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="must be an http or https URL in plain characters"):
        dataset(recipes.smoke().replace({"data.sources": [spec]}))


class Quiet(SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        self.asked.append(self.path)


def encoded(number: int) -> bytes:
    photograph(number).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def sample_files(numbers: Iterable[int]) -> dict[str, bytes]:
    return dict(file for i in numbers for file in ((f"{i}.png", encoded(i)), (f"{i}.txt", f"picture {i}".encode())))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    Quiet.asked.clear()
    for shard in range(2):
        files = sample_files(range(30 * shard, 30 * shard + 30))
        tar_of(tmp_path / f"{shard}.tar", files | ({"3.png": b"damaged"} if shard == 0 else {}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{{0..1}}.tar"
    server.shutdown()


def test_shards_are_streamed_split_by_name_and_varied_anew_on_each_pass_and_by_each_worker(served: str) -> None:
    allow([served])
    source = WebShards(served, 48, 0.1)
    usable = [i for i in range(60) if i != 3]
    wanted = {s: {f"picture {i}" for i in usable if split_by_name(str(i)) == s} for s in ("train", "test")}
    for split, texts in wanted.items():
        assert {source.example(split, i).text for i in range(len(texts))} == texts
    assert set(source.corpus()) >= wanted["train"]
    source = WebShards(served, 48, 0.1, AugmentConfig(crop=0.5, colour=0.2))

    def passes(split: Split, worker: int) -> list[dict[str, bytes]]:
        drawn = source._examples(split, worker)
        return [{e.text: e.image.tobytes() for e in islice(drawn, len(wanted[split]))} for _ in range(2)]

    (first, second), (other, _) = passes("train", -1), passes("train", 0)
    assert first.keys() == second.keys() == other.keys()
    assert all(len({first[text], second[text], other[text]}) == 3 for text in first)
    assert passes("train", -1) == [first, second]
    first, second = passes("test", -1)
    assert first == second


def test_several_processes_and_more_loaders_than_shards_make_nothing_twice(served: str, tmp_path, monkeypatch) -> None:
    """Each process has samples of its own, with all of which an epoch is whole."""
    allow([served, url := served.replace("{0..1}", "0")])
    texts = []
    for rank, size in (("0", "2"), ("1", "2"), ("0", "1")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", size)
        texts.append({text for _, text, _ in WebShards(served, 32)._samples("train", -1)})
    first, second, whole = texts
    assert first and second and not first & second and first | second == whole
    changes = {"data.sources": [url], "data.workers": 3, "data.unreadable": 0.1, "data.pairs": 5, "data.images": 0,
               "data.tokenizer": str(tmp_path / "tokenizer.json"), "train.steps": 3}  # fmt: skip
    config = recipes.smoke().replace(changes)
    (tmp_path / "tokenizer.json").write_text(words(config), "utf-8")
    batches = [batch["pairs"].image for batch in loader(Streams(config, dataset(config).tokenizer()))]
    assert len({picture.numpy().tobytes() for batch in batches for picture in batch}) == 15


def test_samples_that_cannot_be_used_are_counted_each_once_and_warned_of(served: str, tmp_path: Path) -> None:
    faults = {"d.txt": b"no picture", "e.txt": b"\xff\xfe", "e.png": encoded(7), "f.seg.png": encoded(9)}
    for name in "abcf":
        faults |= {f"{name}.png": encoded(8) if name == "f" else b"damaged", f"{name}.txt": b"a text"}
    tar_of(tmp_path / "0.tar", dict(sorted(faults.items())) | sample_files(range(90)))
    allow([url := served.replace("{0..1}", "0")])
    source = WebShards(url, 48, unreadable=0.2)
    with pytest.warns(UserWarning, match=r"[124] samples cannot be used so far, the last: 0.tar:") as warned:
        for split, _ in product(("train", "validation", "test"), range(200)):
            source.example(split, 0)
    assert len([w for w in warned if "so far" in str(w.message)]) == 3
    assert sorted(source.skipped) == [f"0.tar:{name}" for name in "abcdef"] and source.missed() == source.skipped
    said = [source.skipped[f"0.tar:{name}"] for name in "dfe"]
    assert said == ["has no picture", "has 2 pictures", "has no caption that can be read"]


@pytest.mark.filterwarnings("ignore:.*so far")
def test_above_a_share_of_what_was_seen_they_end_it(served: str, tmp_path: Path) -> None:
    def reads(source: WebShards, split: Split, count: int) -> list[object]:
        return [source.example(split, 0) for _ in range(count)]

    allow([served])
    split = split_by_name("3")
    reads(WebShards(served, 48, 0.05), split, 396)  # one of the 60 is damaged: nothing is said before 100 are seen
    reads(source := WebShards(served, 48, 0.005), split, 96)
    with pytest.raises(ConfigError, match=r"of 1\d\d samples cannot be used, more than data.unreadable = .*0.tar:3"):
        reads(source, split, 120)
    (tmp_path / "1.tar").write_bytes((tmp_path / "1.tar").read_bytes()[:20_000])
    with pytest.raises(ConfigError, match=r"source 'http://127.*: cannot be read to its end \("):
        reads(WebShards(served, 48), "train", 100)


def test_nothing_is_fetched_for_a_config_that_came_with_a_run_folder(served: str, tmp_path: Path) -> None:
    """Its evaluation, its tokenizer, a picture of it; until the user asks, by a training or by name."""
    config = recipes.smoke().replace({"name": "foreign", "data.sources": [served]})
    (run := Run.of(config, tmp_path)).make()
    run.claim()
    run.write({"model.safetensors": packed(build(config).state_dict()), "tokenizer.json": words(config), "DONE": ""})
    for ask in (lambda: evaluate_run(run.folder, "retrieval"), lambda: load(run.folder).scene(0)):
        with pytest.raises(ConfigError, match=r"is not fetched for a config that came with a run folder.*--fetch"):
            ask()
    assert Quiet.asked == []
    require_startable(run)  # as `pretrain` does with the config that it is given
    assert dataset(config).sources[0].example("train", 0).text.startswith("picture ")
    assert {*Quiet.asked} <= {"/0.tar", "/1.tar"} and Quiet.asked


def words(config: RunConfig) -> str:
    return train((f"picture {i} of some thing" for i in range(3000)), config.model.text.vocabulary).backend.to_str()
