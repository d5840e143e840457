"""The model in a page, in a headless Chromium, and a view's answer there beside a kernel's.

    python benchmarks/page.py [--repeats 200] [--openings 9] [--chromium /usr/bin/chromium]

One file as an export is, with the shipped checkpoint in it, opened from disk. page.json: its bytes; milliseconds from
navigation to the first answer (fresh browsers); milliseconds of one question, a new picture and a new sentence -> ITC,
ITM and the box, and of its parts. page_beside.json: MaskPlayground's guesses with one patch and one word hidden, in the
page, and from the message that asks a kernel to the one that answers; a browser, its server and above all a cell that
runs come on top of the latter. The machine may be busy: the least and the median are both told.
"""

from __future__ import annotations

import json
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel
from measuring import options, spread, write
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
  const picture = new Uint8Array({decoded}(rgb).buffer);
  const began = (name, act) => {{ const start = performance.now(); act(); return [name, performance.now() - start]; }};
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
  window.guess = (patch) => {{
    const given = model.inputs(picture, {sentence});
    return began("guess", () => {guess}(model, given, {{ patches: [patch], pieces: [2] }}))[1];
  }};
  window.ask();
  window.first = performance.now();
}})"""
KERNEL = f"""
import xfm, xfm_widgets as xw
lab = xfm.load("demo")
view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(0).image, {SENTENCE!r}, hidden_pieces=[2])
print(view.comm.comm_id)
"""


def page(lab: Any) -> str:
    """The model and a picture in a file of its own."""
    model, questions = (STATIC / "page_model" / f"page_{name}.js" for name in ("xfm", "questions"))
    offline = STATIC / "offline.js"
    names = {"decoded": (offline, "decoded"), "create": (model, "createModel"), "guess": (questions, "guess")}
    call = CALL.format(sentence=json.dumps(SENTENCE), **{name: esm.export(*of) for name, of in names.items()})
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


def in_page(path: Path, asked: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"first": []}
    with sync_playwright() as playwright:
        for opening in range(asked.openings):
            browser = playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
            tab = browser.new_page(bypass_csp=True)
            tab.goto(path.as_uri(), wait_until="commit")
            tab.wait_for_function("window.first", polling=20)
            found["first"].append(tab.evaluate("window.first"))
            if opening == 0:
                found["questions"] = [tab.evaluate("window.ask()") for _ in range(asked.repeats)]
                found |= {"answer": tab.evaluate("window.answer"), "chromium": browser.version}
                guesses = (tab.evaluate("(i) => window.guess(i)", i % PATCHES) for i in range(asked.repeats + 1))
                found["guesses"] = [*guesses][1:]
            browser.close()
    return found


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


if __name__ == "__main__":
    asked = options(__doc__, repeats=200, openings=9, chromium="/usr/bin/chromium")
    lab = xfm.load("demo")
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "page.html").write_text(page(lab), "utf-8")
        found, size = in_page(path, asked), path.stat().st_size
    versions, parts = {"chromium": found["chromium"]}, found["questions"]
    milliseconds = {name: spread([part[name] for part in parts]) for name in parts[0]}
    tokens, first = len(lab.tokenizer.encode(SENTENCE, 64)), spread(found["first"])
    write(asked, versions, bytes=size, milliseconds_first_answer=first, milliseconds=milliseconds, tokens=tokens,
          answer=found["answer"])  # fmt: skip
    times = {"page": spread(found["guesses"]), "kernel": spread(kernel_times(asked.repeats))}
    asked.out = asked.out.with_stem("page_beside")
    ratio = {which: round(times["page"][which] / times["kernel"][which], 2) for which in times["page"]}
    write(asked, versions, milliseconds=times, **{"page / kernel": ratio})
