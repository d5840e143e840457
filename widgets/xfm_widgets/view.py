"""What every view is: a widget whose modules are joined into one for the browser, that shows its figure where there is
no kernel, and that writes itself into one file.

A view takes data (arrays, traces, run folders, tables), never a model. Its Python state is traits: choose with the
mouse, the keyboard, or `view.head = 2`; `observe` and `traitlets.link` connect views, and so does `jslink` where the
host has ipywidgets.
"""

from __future__ import annotations

import base64
import html
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import anywidget
import traitlets
from IPython.display import display

from xfm.base.fields import ConfigError, require, unknown_field
from xfm.base.files import write_atomically
from xfm.base.strings import parse_json, printable, shown
from xfm.plots.palette import PALETTE

from . import esm
from .choices import Choice, ChoiceError, Place, Text, told
from .glossary import terms_of
from .pages import MODULE, PAGE, Embedded, script_json, warn_of_size

if TYPE_CHECKING:
    import pandas as pd

    from xfm.plots import Figure

__all__ = ["View"]

LONGEST = 2000  # characters of an error, in the view
STATIC = Path(__file__).parent / "static"
OFFLINE = STATIC / "offline.js"  # shows a view in a page of its own
PAGE_KERNEL = STATIC / "page_model" / "page_kernel.js"  # answers it there
COLOURS = {"own-ink": "text", "own-soft": "dark", "own-line": "light", "own-ground": "paper", "own-raised": "shade",
           **{name: name for name in ("blue", "orange", "green", "purple", "gold", "grey")}}  # fmt: skip


class View(anywidget.AnyWidget):
    """Base class of all views. A subclass in `name.py` has `static/name.js`, whose default export is `{ render }`, and
    may have `static/name.css`, whose rules all begin with the class that `frame` gives the view's root."""

    _script: ClassVar[Path]
    tools = told(traitlets.Dict())  # of the frame around the view: `Tools` of static/payloads.d.ts
    payload = told(traitlets.Dict())  # what is drawn: JSON, with bytes for arrays
    credit = Text().tag(told=True)  # of the pictures that the view shows
    message = Text().tag(told=True)  # what went wrong, or is missing, in words; shown above the view

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        if "_esm" not in vars(cls) and not abstract:  # traitlets makes a class for an instance, which has it already
            name = cls.__module__.rpartition(".")[2]
            cls._script = STATIC / f"{name}.js"
            cls._esm = cls._module()
            sheets = [STATIC / "shared.css", STATIC / "tools.css", STATIC / f"{name}.css"]
            cls._css = _palette() + "".join(sheet.read_text("utf-8") for sheet in sheets if sheet.exists())
        super().__init_subclass__(**kwargs)

    def __init__(self, payload: Mapping[str, Any] | None = None, message: str = "", **traits: Any) -> None:
        """ConfigError for an unknown trait, and for an invalid value."""
        if unknown := [name for name in traits if not self.has_trait(name)]:
            raise unknown_field(unknown[0], self.choices())
        self.tell(tools=self._tools())
        if payload is not None:  # before the page hears of the view
            self.tell(payload=dict(payload))
        try:
            super().__init__(**traits)
        except ChoiceError:
            raise
        except traitlets.TraitError as error:  # of a trait that the view itself writes, or of every widget
            raise ConfigError(shorten(error)) from error
        self._standing = message
        self.message = self.message or message
        self.on_msg(self._hear)

    @classmethod
    def _module(cls) -> str:
        """The ES module that the host is given."""
        return f"{esm.join(cls._script)}\nexport default {esm.export(cls._script)};\n"

    _standing = ""  # of the message: what is true of the view all the time

    def __repr__(self) -> str:
        return f"{type(self).__name__}: alive in JupyterLab with a kernel; as a figure:"

    def figure(self) -> Figure:
        """The current view as a matplotlib figure."""
        raise NotImplementedError

    def data(self) -> pd.DataFrame:
        """Table of what is on display."""
        raise NotImplementedError

    def to_html(self, path: str | Path, model: bool = False) -> Path:
        """Writes one file that shows this view without a kernel and without a network, and returns its path. What needs
        a model is absent there, and says so, unless the file holds the `model` (4 MB for the shipped checkpoint), which
        then answers as Python would. FileError where the system refuses the file; an old one is kept then. ConfigError
        for the model of a view that has none, or one that no page can run (see docs/page-model.md). Warns of more
        than marimo shows of an output."""
        path, page = Path(path), self._page(model)
        warn_of_size(page, type(self).__name__)
        write_atomically(path, page)
        return path

    def to_js(self, path: str | Path, model: bool = False) -> Path:
        """Writes this view as an ES module for a page of your own, which exports `mount(element, state)`; see
        docs/hosts.md. Returns its path. `model` and errors as `to_html`."""
        path = Path(path)
        write_atomically(path, MODULE.format(name=path.name, css=script_json(self._css), **self._parts("mount", model)))
        return path

    def embed(self, height: int = 640, model: bool = False) -> Embedded:
        """The page of `to_html` in a frame of `height` pixels, for wherever HTML is shown, and which may do no more.
        Warns as `to_html`."""
        embedded = Embedded(self._page(model), type(self).__name__, height)
        warn_of_size(str(embedded), type(self).__name__)
        return embedded

    def _page(self, model: bool = False) -> str:
        return PAGE.format(css=str(self._css), **self._parts("offline", model))

    def _parts(self, function: str, model: bool = False) -> dict[str, str]:
        """Of a page or a module: what calls a function of offline.js."""
        kernel = self._kernel() if model else ""
        require(bool(kernel) or not model, "model", model, f"False: {self._WITHOUT_MODEL}")
        self._complete()
        kept, traits = ("layout", "tooltip", "tabbable"), self.traits()
        state = {n: v for n, v in self.get_state().items() if n not in kept and not n.startswith("_")}
        limits = {name: cast(Choice, traits[name]).limit(self) for name in self.choices()}
        return {
            "title": html.escape(type(self).__name__),
            "modules": esm.join(self._script, OFFLINE, *([PAGE_KERNEL] if model else [])),
            "call": esm.export(OFFLINE, function),
            "view": esm.export(self._script),
            "state": script_json(state),
            "limits": script_json(limits),
            "kernel": kernel and f", {kernel}",
        }

    _WITHOUT_MODEL: ClassVar[str] = "this view asks no model"

    def _kernel(self) -> str:
        """What answers the view in a file with the model: an expression, of page_kernel.js; "" where nothing can."""
        return ""

    def _complete(self) -> None:
        """Before an export: tells what a page asks Python for otherwise."""

    # ---- what comes from Python and from the page

    @classmethod
    def choices(cls) -> list[str]:
        """Names of the traits that a page may set."""
        return [
            n for n, t in cls.class_traits(sync=True).items() if isinstance(t, Choice) and not t.metadata.get("told")
        ]

    @classmethod
    def _kept(cls) -> list[str]:
        """The choices that a state holds, and that are undone: those of what is seen."""
        traits = cls.class_traits()
        return [name for name in cls.choices() if traits[name].metadata.get("kept", True)]

    def tell(self, **traits: Any) -> None:
        """Sets traits that only Python sets."""
        for name, value in traits.items():
            self.set_trait(name, value)

    @classmethod
    def _tools(cls) -> dict[str, Any]:
        name = cls.__name__
        figure = f"xfm-figure-{secrets.token_hex(4)}"
        return {"view": name, "choices": cls._kept(), "terms": terms_of(name), "figure": figure}

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        """What the page may ask Python for, {"do": name, "of": text}: each is called with the text."""
        return {}

    def _acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"open": self._open, "page": self._send_page, **self.acts()}

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        asked = content if isinstance(content, dict) else {}
        name, of = asked.get("do"), asked.get("of", "")
        acts = self._acts()
        if isinstance(name, str) and isinstance(of, str) and name in acts:
            acts[name](of)

    def _send_page(self, _: str) -> None:
        with self._reporting_errors():  # alone: the page says what the view says
            self.send({"page": self._page()})

    def _open(self, text: str) -> None:
        """What the tools of a view have copied, {"view": its class's name, "choices": values by names}."""
        try:
            state = parse_json(text)
            name, choices = (state["view"], dict(state["choices"]))
        except (ValueError, KeyError, TypeError):
            self.message = f"{shown(text)} is no state, as “Copy state” gives it: nothing was changed"
            return
        if name != type(self).__name__:
            self.message = f"a state of {shown(name)}, not of {type(self).__name__}: nothing was changed"
        else:
            self.message = self._standing
            self._prepare(choices)
            kept, lost = self._possible(choices)
            self.set_state(kept)
            said = f"Not restored: {'; '.join(lost)}." if lost else ""
            self.message = " ".join(filter(None, [str(self.message), said]))

    def _prepare(self, choices: Mapping[str, Any]) -> None:
        """Before a state is opened: computes what it shows and the view has not yet."""

    def _possible(self, choices: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The choices that the view can have, of several items those that can be; and what it cannot, in words."""
        kept, lost = {}, []
        for name, value in choices.items():
            try:
                kept[name] = self._checked(name, value)
                if isinstance(self.traits()[name], Place) and value > kept[name]:
                    lost.append(f"{name} = {shown(value)}: the last there is, {kept[name]}, is shown")
            except ConfigError as error:
                lost.append(shorten(error))
                some = [one for one in value if self._can_be(name, [one])] if isinstance(value, list) else []
                if some and self._can_be(name, some):
                    kept[name] = self._checked(name, some)
        return kept, lost

    def _checked(self, name: str, value: Any) -> Any:
        require(name in self.choices(), "choice", name, f"one of {', '.join(self.choices())}")
        return self.traits()[name]._validate(self, value)

    def _can_be(self, name: str, value: Any) -> bool:
        with suppress(ConfigError):
            return bool(self._checked(name, value))
        return False

    def set_state(self, sync_data: Any) -> None:
        """What a page sends: its choices. It hears what holds instead of one that cannot be."""
        sent = sync_data if isinstance(sync_data, dict) else {}
        chosen = {name: value for name, value in sent.items() if name in self.choices()}
        try:
            super().set_state(chosen)
        except traitlets.TraitError as error:
            self.message = shorten(error)
            self.send_state(list(chosen))

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """State for the page, with lone surrogates, which cannot be encoded, replaced by question marks."""
        return encodable(super().get_state(key, drop_defaults))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Shows errors of callbacks in the view, which keeps its state; without an error, the view's constant
        message."""
        self.message = ""
        with self._reporting_errors():
            yield
            self.message = self._standing

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """The same; without an error the message stays."""
        try:
            yield
        except Exception as error:
            self.message = ""  # so that the page hears of an error that is the one before
            self.message = f"{type(error).__name__}: {shorten(error)}"

    def _ipython_display_(self) -> None:
        """The view, and behind it its figure: the stylesheet hides that while the view is alive, and a notebook that is
        opened without a kernel still shows it."""
        if (bundle := super()._repr_mimebundle_()) is not None:
            display(bundle[0], metadata=bundle[1], raw=True)
            display(self._still(), raw=True)

    def _still(self) -> dict[str, str]:
        """The figure, as HTML that the view in the same page hides, and as a picture."""
        content, size = self.figure()._repr_png_()
        png = base64.b64encode(content).decode()
        image = f'<img class="{self.tools["figure"]}" src="data:image/png;base64,{png}" alt="{type(self).__name__}"'
        return {"text/html": f'{image} width="{size["width"]}" style="max-width: 100%">', "image/png": png}


def _palette() -> str:
    """The stylesheet of the colours, on a light and on a dark page, that the figures have too."""
    light, dark = ("".join(f"--{css}: {PALETTE[name][i]}; " for css, name in COLOURS.items()) for i in (0, 1))
    page = f"body:has(> main > .xfm-view.xfm-dark) {{ background: {PALETTE['paper'][1]}; }}"
    return f".xfm-view {{ {light}}}\n.xfm-view.xfm-dark {{ {dark}}}\n{page}\n"


def shorten(error: BaseException) -> str:
    """What an error says, cut where it is long."""
    said = "\n".join(printable(line) for line in str(error)[: LONGEST + 1].split("\n"))
    return said[:LONGEST] + "..." * (len(said) > LONGEST)


def encodable(value: Any) -> Any:
    """The same JSON, texts in it with a question mark for each lone surrogate: neither a page nor an Arrow table, which
    pandas may use, can hold one."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    return [encodable(inner) for inner in value] if isinstance(value, list | tuple) else value
