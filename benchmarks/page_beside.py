"""A view's answer in the page beside a kernel, against the kernel's: one JSON under benchmarks/results/.

    python benchmarks/page_beside.py [--repeats 100]

MaskPlayground's guesses with one patch and one word hidden, by the same model in one run: milliseconds in a headless
Chromium, and milliseconds of a kernel from the message that asks to the one that answers. A browser, its server and
above all a cell that runs come on top of the latter.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel
from playwright.sync_api import sync_playwright

import xfm
from xfm_widgets import esm
from xfm_widgets.page_model import page_model
from xfm_widgets.pages import PAGE, STATIC, script_json

PATCHES = 36  # of a picture
SENTENCE = "two big dogs and a small car below the tree on the left"
CALL = """
((payload, rgb) => {{
  const model = {create}({decoded}(payload));
  const given = model.inputs(new Uint8Array({decoded}(rgb).buffer), {sentence});
  window.guess = (patch) => {{
    const start = performance.now();
    {guess}(model, given, {{ patches: [patch], pieces: [2] }});
    return performance.now() - start;
  }};
}})"""
KERNEL = f"""
import xfm, xfm_widgets as xw
lab = xfm.load("demo")
view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(0).image, {SENTENCE!r}, hidden_pieces=[2])
print(view.comm.comm_id)
"""


def page(lab: Any) -> str:
    """The model, a picture and a text in a file of its own."""
    model, questions = (STATIC / "page_model" / f"page_{name}.js" for name in ("xfm", "questions"))
    offline = STATIC / "offline.js"
    call = CALL.format(
        decoded=esm.export(offline, "decoded"),
        create=esm.export(model, "createModel"),
        guess=esm.export(questions, "guess"),
        sentence=json.dumps(SENTENCE),
    )
    # the template calls with four values: the last two are not read
    return PAGE.format(
        title="The model in the page",
        css="",
        modules=esm.join(model, offline, questions),
        call=call,
        view=script_json(page_model(lab.model, lab.tokenizer)),
        state=script_json(lab.scene(0).image.tobytes()),
        limits="null",
        kernel="",
    )


def page_times(repeats: int, chromium: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        path.write_text(page(xfm.load("demo")), "utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(bypass_csp=True)
        tab.goto(path.as_uri())
        tab.wait_for_function("window.guess")
        return [tab.evaluate("(i) => window.guess(i)", i % PATCHES) for i in range(repeats + 1)][1:]


def kernel_times(repeats: int) -> list[float]:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        said: list[str] = []
        client.execute_interactive(KERNEL, output_hook=lambda m: said.append(m["content"].get("text", "").strip()))
        comm, times = next(filter(None, said)), []
        for i in range(repeats + 1):
            data = {"method": "update", "state": {"hidden_patches": [i % PATCHES]}, "buffer_paths": []}
            start = time.perf_counter()
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm, "data": data}))
            while "answer" not in client.get_iopub_msg(60)["content"].get("data", {}).get("state", {}):
                pass
            times.append(1000 * (time.perf_counter() - start))
        return times[1:]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def spread(values: list[float]) -> dict[str, float]:
    return {"least": round(min(values), 1), "median": round(statistics.median(values), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "page_beside.json")
    args = parser.parse_args()
    in_page, in_kernel = spread(page_times(args.repeats, args.chromium)), spread(kernel_times(args.repeats))
    result = {
        "command": f"python benchmarks/page_beside.py --repeats {args.repeats}",
        "load": [round(load, 1) for load in os.getloadavg()],  # processes that wanted a core
        "milliseconds": {"page": in_page, "kernel": in_kernel},
        "page / kernel": {which: round(in_page[which] / in_kernel[which], 2) for which in in_page},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
