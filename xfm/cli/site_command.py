"""The site for a class: `xfm site`."""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Site:
    """Write ten screens on how the model learns into a folder, with the bundled model, and open them in the browser.
    The folder works from disk and on any static host; nothing is fetched."""

    folder: tyro.conf.Positional[Path] = Path("xfm-site")
    open: bool = True
    """Open the browser."""

    def run(self) -> None:
        site = import_module("xfm_widgets.site")  # late: the views stand above this package, in the same wheel
        address = site.write_site(self.folder).resolve().as_uri()
        print(address)
        if self.open:
            webbrowser.open_new_tab(address)
