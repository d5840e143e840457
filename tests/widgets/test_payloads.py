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
TYPES = conforming.parse("""
export type Known = Record<string, Inner | null>;
export interface Base {
  kind: "a" | "b"; // which
}
/** A comment */
export interface Outer extends Base {
  inner: Known;
  pairs: ([string, Int])[];
  array: DataView;
}
export interface Inner {
  size: number;
  name?: string;
}
""")
GOOD: dict[str, Any] = {
    "kind": "a",
    "inner": {"x": {"size": 1}, "y": None},
    "pairs": [["a", 1], ("b", 2)],
    "array": b"",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"kind": "c"}, [""".kind is 'c', not "a\""""]),
        ({"inner": {"x": {"size": "1"}}}, [".inner.x.size is str, not number"]),
        ({"inner": {"x": {"size": True}}}, [".inner.x.size is bool, not number"]),
        ({"inner": {"x": {"size": 1.5, "nane": "a"}}}, [".inner.x.nane is not in Inner"]),
        ({"inner": {"x": {}}}, [".inner.x.size is missing"]),
        ({"pairs": [["a"]]}, [".pairs[0] is ['a'], not 2 values"]),
        ({"pairs": [["a", 1.0]]}, [".pairs[0][1] is float, not Int"]),
        ({"array": [1, 2]}, [".array is list, not DataView"]),
    ],
)
def test_a_wrong_shape_is_seen(change: dict[str, Any], expected: list[str]) -> None:
    assert conforming.problems(GOOD | change, "Outer", "", TYPES) == expected


def declared(trait: traitlets.TraitType[Any, Any], written: str) -> str:
    """The type that a trait must have in payloads.d.ts; of a dictionary any that is an object."""
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
