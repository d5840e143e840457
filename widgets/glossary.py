"""Writes the words that views explain in place, as docs/glossary.md has them: xfm_widgets/glossary.json.

python widgets/glossary.py            # after a change of the glossary
python widgets/glossary.py --check    # fails where the committed file is another
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from xfm.base.files import write_atomically

HERE = Path(__file__).resolve().parent
SOURCE, TARGET = HERE.parent / "docs" / "glossary.md", HERE / "xfm_widgets" / "glossary.json"
ENTRY = re.compile(r"^\* \*\*(.+?)\*\*: (.+(?:\n  .+)*)", re.MULTILINE)


def terms(markdown: str) -> dict[str, str]:
    """Each term with its meaning, as plain text."""
    return {term: plain(meaning) for term, meaning in ENTRY.findall(markdown)}


def plain(markdown: str) -> str:
    """Without emphasis, code and links; on one line."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(re.sub(r"`([^`]*)`", r"\1", re.sub(r"(?<![\w.])\*([^*]+)\*", r"\1", text)).split())


if __name__ == "__main__":
    made = json.dumps(terms(SOURCE.read_text("utf-8")), ensure_ascii=False, indent=2) + "\n"
    if "--check" not in sys.argv[1:]:
        write_atomically(TARGET, made)
    elif TARGET.read_text("utf-8") != made:
        sys.exit(f"{TARGET.name} is not what docs/glossary.md is now: python widgets/glossary.py")
