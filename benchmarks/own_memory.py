"""What 100,000 own pictures take of time and memory before the first batch.

    python benchmarks/own_memory.py

A table of 100,000 rows, a caption and a picture each; the pictures are distinct PNG files of 8 x 8 pixels, as opening
and memory do not depend on their size. Opened in a process of its own: first without what the cache folder keeps of
pictures, then with it. Memory is resident, above that of the process after its imports; the loader process's is its own
alone (USS), after 40 batches of 64 pictures.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from measuring import options, write
from PIL import Image

from xfm import recipes
from xfm.data import dataset
from xfm.data.batch_loader import loader
from xfm.data.streams import Streams
from xfm.files.file_source import FileSource

COUNT, BATCHES = 100_000, 40
FEW = {"model.text.vocabulary": 512, "data.pairs": 64, "data.regions": 0, "data.images": 0, "data.texts": 0}


def write_pictures(folder: Path) -> str:
    """COUNT pictures with captions; the path of their table."""
    lines = ["image,caption"]
    for i in range(COUNT):
        (folder / f"{i // 1000:03}").mkdir(exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i // 1000:03}/{i:06}.png", compress_level=1)
        lines.append(f"{i // 1000:03}/{i:06}.png,a caption of picture number {i} that is some ten words long")
    (folder / "captions.csv").write_text("\n".join(lines), "utf-8")
    return str(folder / "captions.csv")


def resident() -> int:
    return psutil.Process().memory_info().rss


def opened(spec: str) -> dict[str, float]:
    """Of this process: seconds to open the source, and bytes that it then has more."""
    before, began = resident(), time.perf_counter()
    source = FileSource(spec, 48)
    seconds, kept = time.perf_counter() - began, resident() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return {"seconds": round(seconds, 2), "kept": kept, "peak": peak, "rows": len(source.records)}


def loading(spec: str) -> dict[str, float]:
    """Of a training's process and its one loader process, with batches under way: bytes above the imports'."""
    config = recipes.smoke().replace({**FEW, "data.sources": [spec], "data.workers": 1, "train.steps": 2 * BATCHES})
    before = resident()
    batches = loader(Streams(config, dataset(config).tokenizer()))
    list(islice(batches, BATCHES))
    (worker,) = psutil.Process().children()
    return {"trainer": resident() - before, "loader_process": worker.memory_full_info().uss}


def alone(what: str, spec: str) -> dict[str, float]:
    """`what` in a new process."""
    done = subprocess.run([sys.executable, __file__, what, spec], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main() -> None:
    asked = options(__doc__)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XFM_CACHE"] = f"{name}/cache"
        (folder := Path(name) / "pictures").mkdir()
        spec = write_pictures(folder)
        first, again, training = (alone(what, spec) for what in ("opened", "opened", "loading"))
    opening = {"first": first["seconds"], "again": again["seconds"]}
    size = {"kept": again["kept"], "peak": again["peak"], **training}
    write(asked, opening_seconds=opening, bytes=size, bytes_per_row=round(again["kept"] / COUNT), pictures=COUNT)


if __name__ == "__main__":
    if sys.argv[1:2] in (["opened"], ["loading"]):
        print(json.dumps({"opened": opened, "loading": loading}[sys.argv[1]](sys.argv[2])))
    else:
        main()
