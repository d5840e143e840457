"""No network: connections and look-ups that would leave this machine are refused, and noted in the file that the
environment's XFM_TESTS_NETWORK names. Python runs this at the start of every process that has this folder on its path.
"""

import ipaddress
import os
import socket
import sys
import traceback
from typing import Any

NOTES = "XFM_TESTS_NETWORK"
LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname"}
SENDING = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}  # where the address is


def _is_local(host: Any) -> bool:
    """This machine by address or by name; None and "" are every address of it, to listen at."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name in ("localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(event: str, arguments: tuple) -> None:
    if event in LOOK_UPS:
        host = arguments[0]
    elif event in SENDING and isinstance(arguments[1], tuple):  # a Unix socket's address is no tuple
        host = arguments[1][0]
    else:
        return
    if not _is_local(host):
        caller = "".join(traceback.format_stack(limit=12)[:-1])
        if path := os.environ.get(NOTES):
            with open(path, "a", encoding="utf-8") as notes:
                notes.write(f"{event} {host!r}\n{caller}\n")
        raise ConnectionRefusedError(f"{event} {host!r}: tests have no network")


sys.addaudithook(_refuse)
