"""Refuses every connection that leaves this machine: what the tests run, notebooks above all, needs no network."""

import sys


def refuse(event, arguments):
    """An audit hook of Python, which calls it before anything of note happens. Kernels are spoken to over 127.0.0.1."""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # the name of a file, where it is a Unix socket
        if isinstance(host, str) and not host.startswith(("127.", "::1", "localhost")):
            raise RuntimeError(f"The tests work without a network, but this wants to reach {host}.")


def install():
    sys.addaudithook(refuse)
