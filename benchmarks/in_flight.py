"""What calls take of memory while a server thinks about them, beside other clients."""

from __future__ import annotations

import statistics

from benchmarks.fleet import PEERS, fleet
from benchmarks.report import Claim, Result, Table

NAME = "in_flight"

CALLS = 1000
"""Calls in flight at once: as many as the openai package's pool has connections."""


def run(*, quick: bool) -> Result:
    """Measure the growth of the resident memory, in fresh processes each time."""
    rounds = 1 if quick else 3
    names = ("openai", "raw aiohttp", "agentinfra", *(() if quick else PEERS))
    seen: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        with fleet(names) as clients:
            for client in clients.clients:
                # Warm, and far enough that a client that feels its way sends all of them.
                client.measure(task="chat", seconds=0, calls=CALLS, messages=2, concurrency=32)
                seen[client.name].append(client.measure(task="hold", calls=CALLS)["bytes"])
            versions = clients.versions
    each = {name: statistics.median(values) for name, values in seen.items()}
    table = Table(
        title=f"MiB for 10,000 calls in flight (from {CALLS}, medians of {rounds} processes)",
        columns=("client", "MiB", "of bare openai"),
        rows=tuple(
            (name, f"{size * 10_000 / 2**20:.0f}", f"{size / each['openai']:.3f}")
            for name, size in sorted(each.items(), key=lambda item: item[1])
        ),
    )
    claim = Claim("memory_of_bare_openai", each["agentinfra"] / each["openai"], "<=", 1)
    return Result(name=NAME, versions=versions, tables=(table,), claims=(claim,))
