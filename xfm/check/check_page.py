"""What a check has found as one HTML file, without scripts and network: text is escaped, pictures are inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from ..base.files import write_atomically
from ..base.strings import printable
from .source_check import Check

MOST = 500  # findings of a kind that are listed


def write_page(found: Check, path: Path) -> Path:
    """Raises FileError where it cannot be written."""
    jinja = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    jinja.filters["printable"] = printable
    groups = [
        (kind, count, [finding for finding in found.findings if finding.kind == kind][:MOST])
        for kind, count in found.kinds.most_common()
    ]
    sheet = [(_inline(thumbnail), text) for thumbnail, text in found.sheet]
    page = jinja.get_template("check_page.html.jinja").render(found=found, groups=groups, sheet=sheet)
    write_atomically(path, page)
    return path


def _inline(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
