"""Writes the types of all payloads and traits for `tsc`: xfm_widgets/static/payloads.d.ts, of xfm_widgets/payloads.py.

python widgets/payload_types.py            # after a change of payloads.py, or of a view's traits
python widgets/payload_types.py --check    # fails where the committed file is another
"""

from __future__ import annotations

import argparse
import sys
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Union

import traitlets

import xfm_widgets as xw
from xfm.base.files import write_atomically
from xfm_widgets import payloads
from xfm_widgets.view import STATIC, View

TARGET = STATIC / "payloads.d.ts"
HEAD = "// Made by widgets/payload_types.py of xfm_widgets/payloads.py and of the views' traits: change those.\n"
PLAIN = {bytes: "DataView", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
TRAITS = {traitlets.Unicode: "string", traitlets.Bool: "boolean", traitlets.Int: "number", traitlets.Float: "number",
          traitlets.Bytes: "DataView"}  # fmt: skip


def aliases() -> dict[Any, str]:
    """Names of types: `Side = Literal["words", "patches"]`"""
    return {kind: name for name, kind in vars(payloads).items() if typing.get_origin(kind) in (Literal, dict, tuple)}


def typescript(annotation: Any) -> str:
    return aliases().get(annotation) or structure(annotation)


def structure(annotation: Any) -> str:
    """TypeError for a type that has no name in TypeScript yet."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    if typing.is_typeddict(annotation):
        return annotation.__name__
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return union(inner)
    if origin in (Union, types.UnionType):
        return " | ".join(map(typescript, inner))
    if origin is list:
        one = typescript(inner[0])
        return f"({one})[]" if "|" in one else f"{one}[]"
    if origin is tuple:
        return f"[{', '.join(map(typescript, inner))}]"
    if origin is dict:
        return f"Record<{typescript(inner[0])}, {typescript(inner[1])}>"
    raise TypeError(f"{annotation}: give it a name in TypeScript")


def union(values: Iterable[str]) -> str:
    return " | ".join(f'"{value}"' for value in values)


def interface(name: str, fields: dict[str, str]) -> str:
    return "\n".join([f"export interface {name} {{", *(f"  {key}: {kind};" for key, kind in fields.items()), "}\n"])


def of_dictionary(kind: Any) -> str:
    hints = typing.get_type_hints(kind)
    return interface(
        kind.__name__, {name + "?" * (name in kind.__optional_keys__): typescript(hint) for name, hint in hints.items()}
    )


def of_trait(view: str, name: str, trait: traitlets.TraitType[Any, Any]) -> str:
    if isinstance(trait, traitlets.Dict):
        return typescript(payloads.DICTIONARIES[view][name])
    if isinstance(trait, traitlets.Enum):
        return union(trait.values or ())
    if isinstance(trait, traitlets.List):
        return f"{of_trait(view, name, typing.cast(Any, trait._trait))}[]"
    return next(kind for trait_type, kind in TRAITS.items() if isinstance(trait, trait_type))


def of_view(view: type[View]) -> str:
    standard = {"layout", "tooltip", "tabbable"}  # of every widget
    own = {
        name: trait
        for name, trait in sorted(view.class_traits(sync=True).items())
        if not name.startswith("_") and name not in standard
    }
    return interface(f"{view.__name__}Traits", {name: of_trait(view.__name__, name, t) for name, t in own.items()})


def declarations() -> str:
    dictionaries = [kind for kind in vars(payloads).values() if typing.is_typeddict(kind)]
    views = [getattr(xw, name) for name in payloads.DICTIONARIES]
    names = [f"export type {name} = {structure(kind)};\n" for kind, name in aliases().items()]
    return "\n".join([HEAD, *names, *map(of_dictionary, dictionaries), *map(of_view, views)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    made = declarations()
    if not parser.parse_args().check:
        write_atomically(TARGET, made)
        print(Path(TARGET).name)
    elif TARGET.read_text("utf-8") != made:
        sys.exit(f"{TARGET.name} is not what the payloads are now: python widgets/payload_types.py")
