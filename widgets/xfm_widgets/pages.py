"""A view outside a notebook: in a page, a module or a frame of its own."""

from __future__ import annotations

import base64
import html
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from xfm.base.fields import ConfigError
from xfm.plots.palette import PALETTE, TOKENS

from . import esm
from .choices import Choice
from .json_values import encodable

STATIC = Path(__file__).parent / "static"
MEASURES = re.sub(r":root \{.*?\n\}\n", "", TOKENS, flags=re.S)  # in a page of others a view names no colour of its own
OFFLINE = STATIC / "offline.js"  # shows a view in a page of its own
PAGE_KERNEL = STATIC / "page_model" / "page_kernel.js"  # answers it there
COLOURS = {"own-ink": "text", "own-soft": "dark", "own-line": "light", "own-ground": "paper", "own-raised": "shade",
           **{name: name for name in ("blue", "orange", "green", "purple", "gold", "grey")}}  # fmt: skip

# Of `dense`: no letter ends a script or needs an escape in JSON but the backslash. The last, which an attribute
# spells out, is in hardly any upper digit.
LETTERS = np.frombuffer(bytes(sorted({*range(32, 127)} - {*b"<&\"'>"})) + b">'", np.uint8)
LOW = 90  # letters of a lower digit
SCRIPT = 2**17  # letters of one

MARIMO_MOST = 8_000_000  # bytes of one output that marimo shows, unless it is configured to show more

PROTOTYPE = re.compile('(?<=[{ ])"__proto__":')  # a key, which an expression would not take as one
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'{wasm}; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>body {{ margin: clamp(0px, 2vw, 1rem); }}
body > header {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }}
{css}</style>
<header><h1>{title}</h1></header>
<main id="view"></main>
<script>
"use strict"; {{
{modules}
{call}({view}, {state}, {limits}, document.getElementById("view"){kernel});
}}
</script>{behind}
</html>
"""
# the model, behind the view, which waits neither for its bytes nor for its code
BEHIND = """
<script type="application/json" id="xfm-model">{rest}</script>
{weights}
<script>
"use strict"; {{
{modules}
globalThis.xfmKernel = {answers};
}}
</script>"""
MODULE = """// {title}, for: import {{ mount }} from "./{name}"; see docs/hosts.md of X-FM Lab
{modules}
export const mount = (element, state = {{}}) =>
  {call}({view}, {state}, {limits}, {css}, element, state{kernel});
"""


@dataclass(frozen=True)
class Embedded:
    """A page in a frame: shows itself in a notebook; `str(...)` is its HTML."""

    page: str
    title: str
    height: int  # pixels

    def __str__(self) -> str:
        # all that an attribute in single quotes must spell out; `"` is frequent in a page
        page = self.page.replace("&", "&amp;").replace("'", "&#x27;")
        text = (
            f'<iframe sandbox="allow-scripts" title="{html.escape(self.title)}" width="100%" height="{self.height}" '
            f"style=\"border: 0\" srcdoc='{page}'></iframe>"
        )
        # marimo counts Python's bytes, which are two or four for every character where one is not Latin
        return text.encode("ascii", "xmlcharrefreplace").decode("ascii")

    def _repr_html_(self) -> str:
        return str(self)


def styles_of(name: str) -> str:
    """The stylesheet of a view's file: the figures' colours, on a light and on a dark page, and what its sheets say."""
    light, dark = ("".join(f"--{css}: {PALETTE[name][i]}; " for css, name in COLOURS.items()) for i in (0, 1))
    page = f"body:has(> main > .xfm-view.xfm-dark) {{ background: {PALETTE['paper'][1]}; }}"
    colours = f".xfm-view {{ {light}}}\n.xfm-view.xfm-dark {{ {dark}}}\n{page}\n"
    sheets = (STATIC / f"{sheet}.css" for sheet in ("shared", "tools", name))
    return colours + MEASURES + "".join(sheet.read_text("utf-8") for sheet in sheets if sheet.exists())


def page_of(view: Any, model: bool = False) -> str:
    """A page that shows the view; with the `model` it answers there. ConfigError for a view that has none."""
    fields, kernel, behind = _parts(view, "offline", model), "", ""
    if model:
        name, payload, given = view._brings()
        rest = script_text(json.dumps([payload | {"weights": None}, given], default=encoded, ensure_ascii=False))
        code = {"modules": esm.join(PAGE_KERNEL), "answers": esm.export(PAGE_KERNEL, name)}
        behind = BEHIND.format(rest=rest, weights=_in_scripts(dense(payload["weights"])), **code)
        brought = esm.export(OFFLINE, "brought")
        parts = f'const parts = await {brought}("xfm-model", ".xfm-weights");'  # the kernel's code comes with them
        kernel = f", async () => {{ {parts} return globalThis.xfmKernel(...parts); }}"
    wasm = " 'wasm-unsafe-eval'" if model else ""
    return PAGE.format(css=str(view._css), kernel=kernel, behind=behind, wasm=wasm, modules=_modules(view), **fields)


def module_of(view: Any, name: str, model: bool = False) -> str:
    """An ES module of this file name, whose `mount` shows the view. Errors as `page_of`."""
    fields, kernel = _parts(view, "mount", model), ""
    if model:
        answers, *brought = view._brings()
        decoded = (f"{esm.export(OFFLINE, 'decoded')}({script_json(part)})" for part in brought)
        kernel = f", () => {esm.export(PAGE_KERNEL, answers)}({', '.join(decoded)})"
    modules = _modules(view, *([PAGE_KERNEL] if model else []))
    return MODULE.format(name=name, css=script_json(view._css), kernel=kernel, modules=modules, **fields)


def _modules(view: Any, *more: Path) -> str:
    return esm.join(view._script, OFFLINE, *more)


def _parts(view: Any, function: str, model: bool) -> dict[str, str]:
    """Of a page or a module: what calls a function of offline.js."""
    if model and view._brings() is None:
        raise ConfigError(f"model=True: {view._without_model()}")
    view._complete()
    standard, traits = ("layout", "tooltip", "tabbable"), view.traits()
    state = {n: v for n, v in view.get_state().items() if n not in standard and not n.startswith("_")}
    limits = {name: cast(Choice, traits[name]).limit(view) for name in view.choices()}
    return {
        "title": html.escape(type(view).__name__),
        "call": esm.export(OFFLINE, function),
        "view": esm.export(view._script),
        "state": script_json(state),
        "limits": script_json(encodable(limits)),
    }


def warn_of_size(html: str, view: str) -> None:
    """Warns of what marimo would replace by an error message; a file's own tab and other hosts show it."""
    size = len(html.encode())
    if size > MARIMO_MOST:
        warnings.warn(
            f"{view}: {size / 1e6:.1f} MB of HTML are above the {MARIMO_MOST / 1e6:.0f} MB of one output that marimo "
            "shows: open the file of to_html in a browser, or start marimo with MARIMO_OUTPUT_MAX_BYTES="
            f"{-(-size // 10**6) * 2_000_000}",
            stacklevel=3,
        )


def script_json(value: Any) -> str:
    """JSON as an expression in a <script>; bytes as {"$bytes": base64}."""
    text = json.dumps(value, default=encoded, ensure_ascii=False, allow_nan=False)
    return script_text(PROTOTYPE.sub('["__proto__"]:', text))


def dense(content: bytes) -> str:
    """Thirteen bits in two letters, the lower digit first: a twelfth shorter than base64. byte_text.js reads it."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
    bits = np.pad(bits, (0, -len(bits) % 13)).reshape(-1, 13)
    values = np.packbits(bits, axis=1, bitorder="little").view("<u2").ravel()
    return LETTERS[np.stack([values % LOW, values // LOW], 1)].tobytes().decode("ascii")


def _in_scripts(letters: str) -> str:
    """In several: a browser that reads a long one copies it again and again."""
    texts = (letters[i : i + SCRIPT] for i in range(0, len(letters), SCRIPT))
    return "".join(f'<script type="text/plain" class="xfm-weights">{text}</script>' for text in texts)


def script_text(text: str) -> str:
    """JSON that ends no <script> and no line of one."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def encoded(value: Any) -> dict[str, str]:
    if isinstance(value, (bytes, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} in a view's state: JSON and bytes only")
