"""How fast own pictures become batches: images a second of one loader process.

    python benchmarks/loader.py

224 px from JPEG files of 640 x 480 pixels (smooth noise with grain, quality 90), one thread, the files in the operating
system's memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
from measuring import options, write
from PIL import Image

from xfm.data.source import ItemKey
from xfm.files.file_source import FileSource

COUNT, SIDE, SIZE = 1000, 224, (640, 480)


def write_pictures(folder: Path) -> str:
    """COUNT pictures with captions; the path of their table."""
    lines = ["image,caption"]
    for i in range(COUNT):
        noise = np.random.default_rng(i).integers(0, 256, (24, 32, 3), np.uint8)
        grain = np.random.default_rng(-i % 997).normal(0, 6, (SIZE[1], SIZE[0], 3))
        smooth = np.asarray(Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC), float) + grain
        Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.jpg", quality=90)
        lines.append(f"{i}.jpg,picture number {i}")
    (folder / "captions.csv").write_text("\n".join(lines), "utf-8")
    return str(folder / "captions.csv")


def rate(source: FileSource) -> dict[str, float]:
    """Pictures a second, each of the training split once: by the clock, and by this process's own time, which other
    work on the machine leaves as it is."""
    count = source.size("train")
    began, spent = time.perf_counter(), time.process_time()
    for i in range(count):
        source.pair(ItemKey("train", 0, 0, i))
    wall, own = time.perf_counter() - began, time.process_time() - spent
    return {"by_the_clock": round(count / wall, 1), "of_its_own_time": round(count / own, 1)}


if __name__ == "__main__":
    asked = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XFM_CACHE"] = f"{folder}/cache"
        source = FileSource(write_pictures(Path(folder)), SIDE)
        rate(source)
        speed = rate(source)
    write(asked, {"pillow": PIL.__version__}, images_per_second_and_worker={"warm": speed})
