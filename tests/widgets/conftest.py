"""Whatever a test here does to a view: what it sends then has the shape that payloads.py says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import conforming
import pytest

from xfm_widgets import payloads
from xfm_widgets.view import View


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
        for trait, annotation in payloads.DICTIONARIES.get(name, {}).items():
            assert conforming.problems(getattr(view, trait), annotation, f"{name}.{trait}") == []
