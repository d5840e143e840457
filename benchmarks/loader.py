"""How fast own pictures become batches: images a second of one loader process.

    python benchmarks/loader.py

224 px from JPEG files of 640 x 480 pixels (smooth noise with grain, quality 90), one thread. Cold: the operating system
was asked to forget the files (posix_fadvise); warm: they were in memory. `opening_seconds`: what is done once, without
what the cache folder keeps of the pictures, and with it. `small` takes 224 pictures a step.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
from measuring import options, seconds, write
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


def forget(folder: Path) -> None:
    """Asks the system to drop the files from its memory, where it can."""
    os.sync()
    for path in folder.glob("*.jpg"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(source: FileSource, seed: int) -> dict[str, float]:
    """Pictures a second, each of the training split once: by the clock, and by this process's own time, which other
    work on the machine leaves as it is."""
    count = source.size("train")
    began, spent = time.perf_counter(), time.process_time()
    for i in range(count):
        source.pair(ItemKey("train", seed, 0, i))
    wall, own = time.perf_counter() - began, time.process_time() - spent
    return {"by_the_clock": round(count / wall, 1), "of_its_own_time": round(count / own, 1)}


if __name__ == "__main__":
    asked = options(__doc__)
    with tempfile.TemporaryDirectory() as name:
        os.environ["XFM_CACHE"] = f"{name}/cache"
        (folder := Path(name) / "pictures").mkdir()
        spec = write_pictures(folder)
        opening = {kind: round(seconds(lambda: FileSource(spec, SIDE)), 3) for kind in ("first", "again")}
        source = FileSource(spec, SIDE)
        forget(folder)
        speeds = {"cold": rate(source, 0), "warm": rate(source, 1)}
        size = sum(path.stat().st_size for path in folder.glob("*.jpg")) / COUNT
    pictures = {"count": COUNT, "width": SIZE[0], "height": SIZE[1], "bytes": round(size), "side": SIDE}
    found = {"images_per_second_and_worker": speeds, "opening_seconds": opening, "pictures": pictures}
    write(asked, {"pillow": PIL.__version__}, **found)
