"""Servers that tests start."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers. AssertionError, with its log, where it ends before."""
    end = time.monotonic() + 90
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text('utf-8', errors='replace')[-3000:]}")
