"""Draws every view, of the checkpoint that comes with the package, in Chromium: docs/gallery.jpg, and in docs/gallery a
sheet of all for each width of a screen, on a light and on a dark page.

    python scripts/make_screenshots.py [--out docs/gallery.jpg] [--keep FOLDER]

`--keep` leaves each view as one file that works without a kernel and without a network, and its pictures.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

import xfm
import xfm_widgets as xw
from xfm.base.files import write_atomically
from xfm.study import Study
from xfm.tasks.retrieval_set import retrieval_set

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZE, TALLEST = (1000, 760), 640  # pixels of a page; how much of its height the gallery shows: all on one screen
DECODED = 1500  # ms: a view shows pixels until a picture of the screen's resolution is decoded
SHOWN = 0.64  # of a page's size: of its picture in the gallery
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
SCREENS = {390: 8, 1024: 4, 1920: 2}  # pixels: how many views stand side by side on the sheet
WIDEST = 1920  # pixels of a sheet


def views() -> dict[str, Callable[[], xw.View]]:
    lab, study = xfm.load("demo"), Study.load(ROOT / "studies" / "insulation")
    scene, probes = lab.scene(3, objects=(2, 3)), study.probes()["xfm"][0]
    of, given = (lab.model, lab.tokenizer), (scene.image, scene.text)
    inputs, name = lab.inputs(scene), scene.caption.things[0].name
    piece = inputs.words.owner.index(inputs.words.words.index(name))
    covered = next(patches for phrase, patches in inputs.object_patches().items() if name in phrase)
    hidden = {"hidden_patches": covered.nonzero().flatten().tolist(), "hidden_pieces": [piece], "credit": scene.credit}
    scenes, few = [scene, lab.scene(5), lab.scene(9)], (lab.model, lab.config, lab.tokenizer)
    return {
        "GradientFlow": lambda: xw.GradientFlow(probes, step=len(probes) - 1),
        "GroundingPad": lambda: xw.GroundingPad.of(*of, scenes, lab.data),
        "AttributionLab": lambda: xw.AttributionLab.of(inputs),
        "AblationExplorer": lambda: xw.AblationExplorer(study, variant="no stop"),
        "MaskPlayground": lambda: xw.MaskPlayground.of(*of, *given, lab.config.data.mask, **hidden),
        "TraceExplorer": lambda: xw.TraceExplorer(
            lab.trace(*given), layer=1, heads="mean", token=piece, credit=scene.credit
        ),
        "RetrievalExplorer": lambda: xw.RetrievalExplorer.of(*few, retrieval_set(*few, 48)),
        "TaskExplorer": lambda: xw.TaskExplorer.of(lab.task("vqa"), item=3),
        "TrainingMonitor": lambda: xw.TrainingMonitor(lab.run),
    }


def picture(page: bytes) -> Image.Image:
    return Image.open(BytesIO(page)).convert("RGB")


def scaled(image: Image.Image, by: float) -> Image.Image:
    return image.resize((round(image.width * by), round(image.height * by)), Image.Resampling.LANCZOS)


def sheet(shots: list[Image.Image], columns: int, gap: int = 10) -> Image.Image:
    """The pictures, of one width, each under the shortest column so far."""
    width, heights = shots[0].width, [0] * columns
    places = []
    for shot in shots:
        column = heights.index(min(heights))
        places.append((column * (width + gap), heights[column]))
        heights[column] += shot.height + gap
    whole = Image.new("RGB", (columns * (width + gap) - gap, max(heights) - gap), "#888888")
    for shot, place in zip(shots, places, strict=True):
        whole.paste(shot, place)
    return whole


def save(image: Image.Image, path: Path) -> None:
    buffer = BytesIO()
    image.save(buffer, Image.registered_extensions()[path.suffix.lower()], quality=88, optimize=True)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, buffer.getvalue())
    print(path)


def shown(page: Page, file: Path, **options: Any) -> Image.Image:
    """The whole page, once its pictures are decoded."""
    page.goto(file.resolve().as_uri())
    page.locator(".xfm-view").wait_for()
    page.wait_for_timeout(DECODED)
    return picture(page.screenshot(full_page=True, **options))


def screens(browser: Browser, pages: dict[str, Path], folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """A sheet of all views for each width and theme, by name."""
    for (width, columns), theme in product(SCREENS.items(), ("light", "dark")):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
        shots = []
        for name, file in pages.items():
            shot = shown(page, file, path=folder / f"{name}-{width}-{theme}.png")
            scale = min(1.0, (WIDEST / columns) / width)
            shots.append(scaled(shot, scale))
        page.close()
        yield f"{width}-{theme}", sheet(shots, columns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery.jpg")
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    if not CHROMIUM:
        parser.error("no Chromium on the PATH (apt-get install chromium)")
    if chosen.out.suffix.lower() not in Image.registered_extensions():
        parser.error(f"--out {chosen.out}: must end in the name of a format of pictures, as .jpg or .png")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, device_scale_factor=1.5)
        pages = {name: make().to_html(folder / f"{name}.html") for name, make in views().items()}
        shots = []
        for file in pages.values():
            shot = shown(page, file)
            sharp = shot.width / SIZE[0]
            shots.append(scaled(shot.crop((0, 0, shot.width, min(shot.height, round(TALLEST * sharp)))), SHOWN / sharp))
        save(sheet(shots, 3), chosen.out)
        for name, whole in screens(browser, pages, folder):
            save(whole, chosen.out.with_suffix("") / f"{name}.jpg")
        browser.close()
