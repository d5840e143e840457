"""The model in a page, in a headless Chromium: one JSON under benchmarks/results/.

    python benchmarks/page.py [--repeats 200]

One file as an export is, with the shipped checkpoint in it, opened from disk. Measured: its bytes; milliseconds from
navigation to the first answer (fresh browsers); milliseconds of one question, a new picture and a new sentence -> ITC,
ITM and the box, and of its parts. The machine may be busy: the least and the median are both told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

import xfm
from xfm_widgets import esm
from xfm_widgets.page_model import page_model
from xfm_widgets.pages import PAGE, STATIC, script_json

SENTENCE = "two big dogs and a small car below the tree on the left"
CALL = """
((payload, rgb) => {{
  const given = {decoded}(payload);
  const model = {create}(given);
  const began = (name, act) => {{ const start = performance.now(); act(); return [name, performance.now() - start]; }};
  const bytes = {decoded}(rgb);
  const picture = new Uint8Array(bytes.buffer);
  window.ask = () => {{
    picture[0]++;
    let given, text, patches, fused;
    const parts = [
      began("embedding", () => {{ given = model.inputs(picture, {sentence}); }}),
      began("language encoder", () => {{ text = model.encodeText(given.pieces); }}),
      began("vision encoder", () => {{ patches = model.encodeImage(given.patches); }}),
      began("fusion encoder", () => {{ fused = model.fuse(text, patches); }}),
      began("heads", () => {{
        const out = {{ text, patches, fused }};
        window.answer = [model.itc(out), model.itm(out), ...model.box(out)];
      }}),
    ];
    return Object.fromEntries([...parts, ["question", parts.reduce((sum, [, time]) => sum + time, 0)]]);
  }};
  window.ask();
  window.first = performance.now();
}})"""


def page(lab: Any) -> str:
    """The model and a picture in a file of its own."""
    model, offline = STATIC / "page_model" / "page_xfm.js", STATIC / "offline.js"
    call = CALL.format(
        decoded=esm.export(offline, "decoded"),
        create=esm.export(model, "createModel"),
        sentence=json.dumps(SENTENCE),
    )
    # the template calls with four values: the last two are not read
    return PAGE.format(
        title="The model in the page",
        css="",
        modules=esm.join(model, offline),
        call=call,
        view=script_json(page_model(lab.model, lab.tokenizer)),
        state=script_json(lab.scene(0).image.tobytes()),
        limits="null",
        kernel="",
    )


def spread(values: list[float]) -> dict[str, float]:
    return {"least": round(min(values), 2), "median": round(statistics.median(values), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--openings", type=int, default=9)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "page.json")
    args = parser.parse_args()
    lab: Any = xfm.load("demo")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        path.write_text(page(lab), "utf-8")
        first, questions, chromium = [], [], ""
        for opening in range(args.openings):
            browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
            chromium, tab = browser.version, browser.new_page(bypass_csp=True)
            tab.goto(path.as_uri(), wait_until="commit")
            tab.wait_for_function("window.first", polling=20)
            first.append(tab.evaluate("window.first"))
            if opening == 0:
                questions = [tab.evaluate("window.ask()") for _ in range(args.repeats)]
                answer = tab.evaluate("window.answer")
            browser.close()
        result = {
            "command": f"python benchmarks/page.py --repeats {args.repeats}",
            "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
            "load": [round(load, 1) for load in os.getloadavg()],  # processes that wanted a core
            "versions": {"python": platform.python_version(), "chromium": chromium},
            "bytes": path.stat().st_size,
            "milliseconds_first_answer": spread(first),
            "milliseconds": {name: spread([q[name] for q in questions]) for name in questions[0]},
            "tokens": len(lab.tokenizer.encode(SENTENCE, 64)),
            "answer": answer,
        }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
