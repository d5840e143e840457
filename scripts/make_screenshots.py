"""Draws every view, of the checkpoint that comes with the package, in Chromium: docs/gallery.jpg.

    python scripts/make_screenshots.py [--out docs/gallery.jpg] [--keep FOLDER]

`--keep` leaves each view as one file that works without a kernel and without a network.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import xfm
import xfm_widgets as xw
from xfm.evaluation.retrieval_set import retrieval_set
from xfm.files import write_atomically
from xfm.study import Study

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SIZE, SHOWN = (1000, 760), (640, 486)  # pixels of a page, and of its picture in the gallery
FLAGS = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


def views() -> dict[str, xw.View]:
    lab = xfm.load("demo")
    model, tokenizer, scene = lab.model, lab.tokenizer, lab.scene(3, objects=(2, 3))
    image, text, credit = scene.image, scene.text, {"credit": scene.credit}
    study = Study.load(ROOT / "studies" / "two-by-two")
    probes = study.probes()["xfm"][0]
    hidden = {"hidden_patches": [13, 14, 15, 19, 20, 21], "hidden_pieces": [2]}
    pairs = retrieval_set(model, lab.config, tokenizer, 48)
    return {
        "GradientFlow": xw.GradientFlow(probes, step=len(probes) - 1),
        "TraceExplorer": xw.TraceExplorer(lab.trace(image, text), layer=1, heads="mean", token=2, **credit),
        "TrainingMonitor": xw.TrainingMonitor(lab.run),
        "AttributionLab": xw.AttributionLab.of(lab.inputs(scene)),
        "AblationExplorer": xw.AblationExplorer(study),
        "MaskPlayground": xw.MaskPlayground.of(model, tokenizer, image, text, lab.config.data.mask, **hidden, **credit),
        "RetrievalExplorer": xw.RetrievalExplorer.of(model, lab.config, tokenizer, pairs),
        "GroundingPad": xw.GroundingPad.of(model, tokenizer, [scene, lab.scene(5), lab.scene(9)], lab.data),
    }


def picture(page: bytes) -> Image.Image:
    return Image.open(BytesIO(page)).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)


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
        shots = []
        for name, view in views().items():
            page.goto(view.to_html(folder / f"{name}.html").resolve().as_uri())
            page.locator(".xfm-view").wait_for()
            shots.append(picture(page.screenshot()))
        browser.close()
    rows = -(-len(shots) // 2)
    whole = Image.new("RGB", (2 * SHOWN[0] + 10, rows * (SHOWN[1] + 10) - 10), "#888888")
    for i, shot in enumerate(shots):
        whole.paste(shot, (i % 2 * (SHOWN[0] + 10), i // 2 * (SHOWN[1] + 10)))
    buffer = BytesIO()
    whole.save(buffer, Image.registered_extensions()[chosen.out.suffix.lower()], quality=88, optimize=True)
    write_atomically(chosen.out, buffer.getvalue())
    print(chosen.out)
