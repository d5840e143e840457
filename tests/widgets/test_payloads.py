"""The payloads' types: complete, and those of the views. What views really send, conftest.py checks in every test."""

from typing import Any, cast

import conforming
import pytest
import traitlets

import xfm_widgets as xw

VIEWS = [getattr(xw, name) for name in xw.__all__ if name not in ("View", "figures")]
STANDARD = {"layout", "tooltip", "tabbable"}  # of every widget
PLAIN = {traitlets.Unicode: "string", traitlets.Bool: "boolean", traitlets.Int: "Int", traitlets.Float: "number",
         traitlets.Bytes: "DataView"}  # fmt: skip


def declared(trait: traitlets.TraitType[Any, Any], written: str) -> str:
    if isinstance(trait, traitlets.Dict):
        kinds = conforming.declared()
        return written if written.startswith("Record<") or isinstance(kinds.get(written), dict) else "an interface"
    if isinstance(trait, traitlets.Enum):
        return " | ".join(f'"{value}"' for value in trait.values or ())
    if isinstance(trait, traitlets.List):
        return f"{declared(cast(Any, trait._trait), written)}[]"
    return next(kind for trait_type, kind in PLAIN.items() if isinstance(trait, trait_type))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_synced_trait_of_a_view_has_its_type(view: type[xw.View]) -> None:
    written = conforming.declared()[f"{view.__name__}Traits"]
    traits = {n: t for n, t in view.class_traits(sync=True).items() if n[0] != "_" and n not in STANDARD}
    assert {name: declared(trait, written.get(name, "")) for name, trait in traits.items()} == written
