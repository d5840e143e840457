"""Remote shards: streamed, split by name, and nothing that a shell or another scheme would run."""

import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from photographs import photograph

from xfm import recipes
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.web import WebShards, is_remote, split_by_name


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
    def log_message(self, *_: object) -> None:
        pass


def test_shards_are_streamed_and_split_by_name(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
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
    try:
        source = WebShards(f"http://127.0.0.1:{server.server_address[1]}/{{0..1}}.tar", 48)
        wanted = {
            s: {f"picture {i}" for i in range(60) if split_by_name(str(i)) == s and i != 3} for s in ("train", "test")
        }
        for split, texts in wanted.items():
            assert {source.example(split, i).text for i in range(len(texts))} == texts
            assert source.example(split, 0).text in texts  # from the start again
        assert set(source.corpus()) >= wanted["train"]
    finally:
        server.shutdown()
