"""Keeps a block on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import weakref
from collections.abc import Iterator
from typing import Any

__all__ = ["NetworkRefusedError", "no_network"]


class NetworkRefusedError(AssertionError):
    """Something wanted to connect to another machine; the message names it."""


class _Refusal:
    """A block in which nothing leaves this machine."""


_ACTIVE: weakref.WeakSet[_Refusal] = weakref.WeakSet()
_HOOKED: list[bool] = []
_LOCAL = ("localhost", "ip6-localhost", "", "0.0.0.0", "::")  # noqa: S104 - nothing is bound
_ASKED = frozenset(("socket.connect", "socket.sendto", "socket.getaddrinfo"))


@contextlib.contextmanager
def no_network() -> Iterator[None]:
    """Refuse, in the block and whatever thread, to look up or connect to other machines.

    Loopback and Unix sockets are let through. It works at the interpreter's own events, so that
    it holds for every Python library; C code that opens sockets by itself is not seen.

    Raises:
        NetworkRefusedError: Raised where it was tried; the message names the address.
    """
    if not _HOOKED:
        # A hook of the interpreter stays for its life; it is quick while no block is active.
        _HOOKED.append(True)
        sys.addaudithook(_hook)
    refusal = _Refusal()
    _ACTIVE.add(refusal)
    try:
        yield
    finally:
        _ACTIVE.discard(refusal)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _ASKED or not _ACTIVE:
        return
    target = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host, port = target[:2] if isinstance(target, tuple) else (target, None)
    if event == "socket.getaddrinfo":
        port = arguments[1]
    elif not isinstance(target, tuple):
        return  # a Unix socket
    if not _is_local(host):
        shown = host.decode(errors="replace") if isinstance(host, bytes) else host
        raise NetworkRefusedError(
            f"no_network: {shown}:{port} is not on this machine; serve it locally, as "
            "openai_server and postgres_url do, or take the fixture away"
        )


def _is_local(host: Any) -> bool:
    name = host.decode(errors="replace") if isinstance(host, bytes) else host
    if name is None or name in _LOCAL or not isinstance(name, str):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    return name.endswith(".localhost")
