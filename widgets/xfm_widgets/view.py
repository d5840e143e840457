"""A view: a widget of joined modules, which shows its figure where there is no kernel and writes itself into a file.

A view takes data (arrays, traces, run folders, tables), never a model. Its Python state is traits: choose with the
mouse, the keyboard, or `view.head = 2`; `observe` and `traitlets.link` connect views, and so does `jslink` where the
host has ipywidgets.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import anywidget
import traitlets
from IPython.display import display

from xfm.base.fields import ConfigError, unknown_field
from xfm.base.files import write_atomically
from xfm.base.strings import printable

from . import esm
from .choices import Choice, ChoiceError, Text, possible_choices, read_choices, told
from .glossary import terms_of
from .json_values import encodable
from .pages import STATIC, Embedded, module_of, page_of, styles_of, warn_of_size

if TYPE_CHECKING:
    import pandas as pd

    from xfm.plots import Figure

LONGEST = 2000  # characters of an error, in the view


class View(anywidget.AnyWidget):
    """The base of all views. A subclass in `name.py` has `static/name.js`, whose default export is `{ render }`, and
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
            cls._css = styles_of(name)
        super().__init_subclass__(**kwargs)

    def __init__(self, payload: Mapping[str, Any] | None = None, message: str = "", **traits: Any) -> None:
        """Sets traits by name. ConfigError for a trait that does not exist, or cannot have this value."""
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
        """What is shown, as a table."""
        raise NotImplementedError

    def to_html(self, path: str | Path, model: bool = False) -> Path:
        """Writes one file that shows this view without a kernel and without a network, and returns its path. What needs
        a model is absent there, and says so, unless the file holds the `model` (8 MB for the shipped checkpoint), which
        then answers as Python would. FileError where the system refuses the file; an old one is kept then. ConfigError
        for the model of a view that has none, or one that no page can run (see docs/page-model.md). Warns of more
        than marimo shows of an output."""
        path, page = Path(path), page_of(self, model)
        warn_of_size(page, type(self).__name__)
        write_atomically(path, page)
        return path

    def to_js(self, path: str | Path, model: bool = False) -> Path:
        """Writes this view as an ES module for a page of your own, which exports `mount(element, state)`; see
        docs/hosts.md. Returns its path. `model` and errors as `to_html`."""
        path = Path(path)
        write_atomically(path, module_of(self, path.name, model))
        return path

    def embed(self, height: int = 640, model: bool = False) -> Embedded:
        """The page of `to_html` in a frame of `height` pixels, for wherever HTML is shown, and which may do no more.
        Warns as `to_html`."""
        embedded = Embedded(page_of(self, model), type(self).__name__, height)
        warn_of_size(str(embedded), type(self).__name__)
        return embedded

    def _without_model(self) -> str:
        """Why no file of the view can hold its model."""
        return f"{type(self).__name__} has no model to embed. Leave model out."

    def _brings(self) -> tuple[str, dict[str, Any], Any] | None:
        """What answers the view in a file with the model: a function of page_kernel.js, a `PageModelPayload`, and what
        else the function needs; None where nothing can."""
        return None

    def _complete(self) -> None:
        """Before an export: tells what a page asks Python for otherwise."""

    # ---- what comes from Python and from the page

    @classmethod
    def choices(cls) -> list[str]:
        """The names of the traits that a page may set."""
        return [
            n for n, t in cls.class_traits(sync=True).items() if isinstance(t, Choice) and not t.metadata.get("told")
        ]

    def tell(self, **traits: Any) -> None:
        """Sets traits that are told."""
        for name, value in traits.items():
            self.set_trait(name, value)

    @property
    def drawn(self) -> dict[str, Any]:
        """The payload."""
        return cast(dict[str, Any], self.payload)

    def redraw(self, **fields: Any) -> None:
        """Tells a payload with these fields in place of its own."""
        self.tell(payload=self.drawn | fields)

    @classmethod
    def _tools(cls) -> dict[str, Any]:
        """What the frame needs, with the choices that a state holds and that are undone: those of what is seen."""
        name, traits = cls.__name__, cls.class_traits()
        kept = [choice for choice in cls.choices() if traits[choice].metadata.get("kept", True)]
        return {"view": name, "choices": kept, "terms": terms_of(name), "figure": f"xfm-figure-{secrets.token_hex(4)}"}

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
        with self.reporting(clear=False):  # the page says what the view says
            self.send({"page": page_of(self)})

    def _open(self, text: str) -> None:
        """A state that the tools of a view have copied."""
        try:
            choices = read_choices(self, text)
        except ConfigError as error:
            self.message = f"{error}: nothing was changed"
            return
        self.message = self._standing
        self._prepare(choices)
        possible, lost = possible_choices(self, choices)
        self.set_state(possible)
        rest = f"Not restored: {'; '.join(map(shorten, lost))}." if lost else ""
        self.message = " ".join(filter(None, [str(self.message), rest]))

    def _prepare(self, choices: Mapping[str, Any]) -> None:
        """Before a state is opened: computes what it shows and the view has not yet."""

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
        """Texts can be encoded: a lone surrogate, which no page could be sent, is a question mark."""
        return encodable(super().get_state(key, drop_defaults))

    @contextmanager
    def reporting(self, clear: bool = True) -> Iterator[None]:
        """What a callable raises stands in the view; the view stays as it was. Without an error there stands what is
        true of the view all the time; not `clear`: the message that there is."""
        self.message = "" if clear else self.message
        try:
            yield
            self.message = self._standing if clear else self.message
        except Exception as error:
            self.message = ""  # so that the page hears of an error that is the one before
            self.message = f"{type(error).__name__}: {shorten(error)}"

    def _ipython_display_(self) -> None:
        """The view, and behind it its figure, which shows where there is no kernel; the stylesheet hides it else."""
        if (bundle := super()._repr_mimebundle_()) is not None:
            display(bundle[0], metadata=bundle[1], raw=True)
            display(self._still(), raw=True)

    def _still(self) -> dict[str, str]:
        """The figure, as HTML that the view in the same page hides, and as a picture."""
        content, size = self.figure()._repr_png_()
        png = base64.b64encode(content).decode()
        image = f'<img class="{self.tools["figure"]}" src="data:image/png;base64,{png}" alt="{type(self).__name__}"'
        return {"text/html": f'{image} width="{size["width"]}" style="max-width: 100%">', "image/png": png}


def shorten(error: BaseException | str) -> str:
    """What an error says, cut where it is long."""
    text = "\n".join(printable(line) for line in str(error)[: LONGEST + 1].split("\n"))
    return text[:LONGEST] + "..." * (len(text) > LONGEST)
