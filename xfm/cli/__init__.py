"""The command `xfm`: pretrain, finetune, study, evaluate, runs, site, data check, import and export."""

from __future__ import annotations

import io
import signal
import sys

from ..config import ConfigError
from ..runs.signals import Terminated
from .arguments import parse
from .results import lines

__all__ = ["main", "parse"]

SAVED = "what was saved stays"


def main(argv: list[str] | None = None) -> None:
    """The command `xfm`. Errors that a user can mend end it with a line, not a traceback, and exit status 1; a signal
    ends it with 128 and its number, as shells have it."""
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no dash and no umlaut
    try:
        parse(argv).run()
    except (ConfigError, RuntimeError, OSError) as error:
        sys.exit(f"xfm: {lines(error)}")
    except KeyboardInterrupt as interrupt:
        print(f"xfm: interrupted; {lines(interrupt) or SAVED}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Terminated as terminated:
        print(f"xfm: terminated; {lines(terminated.said) or SAVED}", file=sys.stderr)
        raise
