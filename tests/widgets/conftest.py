"""Whatever a test here does to a view: what it sends then has the shape that payloads.d.ts declares."""

from collections.abc import Iterator
from typing import Any

import conforming
import pytest
from explain.conftest import inputs, model  # noqa: F401  fixtures

import xfm
from xfm_widgets.view import View


@pytest.fixture(scope="session")
def lab() -> xfm.Lab:
    return xfm.load("demo")


@pytest.fixture(autouse=True)
def conforming_views(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    views: list[View] = []
    initialise = View.__init__

    def remembering(self: View, *args: Any, **traits: Any) -> None:
        initialise(self, *args, **traits)
        views.append(self)

    monkeypatch.setattr(View, "__init__", remembering)
    yield
    for view in views:
        name = type(view).__name__
        for trait, kind in conforming.declared().get(f"{name}Traits", {}).items():
            assert conforming.problems(getattr(view, trait), kind, f"{name}.{trait}") == []
