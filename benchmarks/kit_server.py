"""What a request costs the testing kit's server, in CPU of its own process.

The client is a process of its own, which sends bytes and reads until the answer ends; the time
other programs take from the machine is no part of the figure.
"""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import sys

from benchmarks.report import Claim, Result, Table, versions

NAME = "kit_server"

HELLO = [{"role": "user", "content": "hello"}]
REQUESTS = {
    "chat": ("chat/completions", {"messages": HELLO}),
    "chat_stream": ("chat/completions", {"messages": HELLO, "stream": True}),
    "responses": ("responses", {"input": "hello"}),
    "responses_stream": ("responses", {"input": "hello", "stream": True}),
}
PER_SECOND = 5_000


def run(*, quick: bool) -> Result:
    """Measure each kind of request by turns."""
    from agentinfra.testing import OpenAIServer

    rounds, requests = (3, 1_000) if quick else (9, 3_000)
    taken: dict[str, list[float]] = {name: [] for name in REQUESTS}
    with OpenAIServer() as server:
        address = server.root_url.removeprefix("http://")
        for number in range(rounds + 1):
            for name, (path, body) in REQUESTS.items():
                cost = _cost(address, path, json.dumps({"model": "gpt-4o-mini", **body}), requests)
                if number:  # the first round warms up
                    taken[name].append(cost)
    rows = tuple(
        (name, f"{statistics.median(costs) * 1e6:.0f}", f"{min(costs) * 1e6:.0f}")
        for name, costs in taken.items()
    )
    table = Table(
        title="CPU of the server a request, microseconds",
        columns=("request", "median", "least"),
        rows=rows,
    )
    claims = tuple(
        Claim(f"{name}_a_cpu_second", 1 / statistics.median(costs), ">=", PER_SECOND)
        for name, costs in taken.items()
    )
    return Result(name=NAME, versions=versions("aiohttp"), tables=(table,), claims=claims)


def _cost(address: str, path: str, body: str, requests: int) -> float:
    """Return the seconds of CPU that this process spent on each request."""
    before = _cpu()
    client = [sys.executable, "-m", "benchmarks.kit_server", address, path, body, str(requests)]
    subprocess.run(client, check=True)
    return (_cpu() - before) / requests


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _send(address: str, path: str, body: str, requests: int) -> None:
    """Send requests one after the other, and read each answer to its end."""
    host, _, port = address.partition(":")
    raw = body.encode()
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    whole = f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(requests):
            connection.sendall(whole)
            received = b""
            while not _is_whole(received):
                received += connection.recv(1 << 18)


def _is_whole(received: bytes) -> bool:
    head, ended, body = received.partition(b"\r\n\r\n")
    if not ended:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {received[:200]!r}")
    _, told, length = head.partition(b"Content-Length: ")
    if told:
        return len(body) >= int(length.partition(b"\r")[0])
    return body.endswith(b"0\r\n\r\n")


if __name__ == "__main__":
    _send(*sys.argv[1:4], int(sys.argv[4]))
