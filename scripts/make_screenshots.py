"""Draws every view, of the checkpoint that comes with the package, in Chromium: docs/gallery.jpg.

python scripts/make_screenshots.py
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import xfm
import xfm_widgets as xw
from xfm.base.files import write_atomically
from xfm.study import Study
from xfm.tasks.retrieval_set import retrieval_set

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "docs" / "gallery.jpg"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZE, TALLEST = (1000, 760), 640  # pixels of a page; how much of its height the gallery shows: all on one screen
DECODED = 1500  # ms: a view shows pixels until a picture of the screen's resolution is decoded
SHOWN = 0.64  # of a page's size: of its picture in the gallery
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
COLUMNS, GAP = 3, 10  # of the gallery, and pixels between its pictures


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


def shown(page: Page, file: Path) -> Image.Image:
    """The top of the page, once its pictures are decoded, as the gallery has it."""
    page.goto(file.resolve().as_uri())
    page.locator(".xfm-view").wait_for()
    page.wait_for_timeout(DECODED)
    whole = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
    sharp = whole.width / SIZE[0]
    top = whole.crop((0, 0, whole.width, min(whole.height, round(TALLEST * sharp))))
    by = SHOWN / sharp
    return top.resize((round(top.width * by), round(top.height * by)), Image.Resampling.LANCZOS)


def sheet(shots: list[Image.Image]) -> Image.Image:
    """The pictures, of one width, each under the shortest column so far."""
    width, heights = shots[0].width, [0] * COLUMNS
    places = []
    for shot in shots:
        column = heights.index(min(heights))
        places.append((column * (width + GAP), heights[column]))
        heights[column] += shot.height + GAP
    whole = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, max(heights) - GAP), "#888888")
    for shot, place in zip(shots, places, strict=True):
        whole.paste(shot, place)
    return whole


if __name__ == "__main__":
    if not CHROMIUM:
        sys.exit("no Chromium on the PATH (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, device_scale_factor=1.5)
        pages = [make().to_html(Path(folder) / f"{name}.html") for name, make in views().items()]
        gallery = sheet([shown(page, file) for file in pages])
        browser.close()
    gallery.save(buffer := BytesIO(), "JPEG", quality=88, optimize=True)
    write_atomically(GALLERY, buffer.getvalue())
    print(GALLERY)
