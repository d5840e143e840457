"""No test leaves this machine: what every test runs under."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("attempt", [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1), lambda: socket.gethostbyname("huggingface.co"),
    lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    lambda: socket.getaddrinfo("huggingface.co", 443),
])  # fmt: skip
def test_what_leaves_this_machine_is_refused_and_noted(attempt: Callable, refused: Path) -> None:
    with pytest.raises(ConnectionRefusedError, match="tests have no network"):
        attempt()
    assert refused.read_text("utf-8").startswith("socket.") and "test_offline.py" in refused.read_text("utf-8")


def test_processes_that_tests_start_are_no_exception(refused: Path) -> None:
    code = "import socket; socket.socket().connect(('192.0.2.2', 80))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "ConnectionRefusedError: socket.connect '192.0.2.2': tests have no network\n" in said
    assert "socket.connect '192.0.2.2'" in refused.read_text("utf-8")


def test_this_machine_is_reached_as_ever() -> None:
    for host in ("127.0.0.1", "localhost"):
        with socket.create_server((host, 0)) as server, socket.create_connection(server.getsockname()):
            server.accept()[0].close()
