"""Looking inside a model: traces, attributions and their faithfulness, interventions.

    from xfm import explain
    inputs = explain.make_inputs(model, tokenizer, image, text, target="itm")
    attribution = explain.attribute(inputs, "integrated gradients")

`__init__.pyi` lists the names; each is loaded when it is first used, so `from xfm import explain` loads no captum.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
_HOME = {  # name -> its module; None: it is a module
    alias.name: node.module for node in _STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(f".{_HOME[name] or name}", __name__)
    globals()[name] = value = getattr(module, name) if _HOME[name] else module
    return value


def __dir__() -> list[str]:
    return __all__
