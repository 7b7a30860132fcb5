"""Clients side by side: each in a process of its own, measured in turn, round after round."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import environment
from benchmarks.report import Table

ROOT = Path(__file__).resolve().parent.parent

PEERS = {
    "instructor": ["instructor"],
    "langchain-openai": ["langchain-openai"],
    "litellm": ["litellm"],
    "pydantic-ai": ["pydantic-ai-slim[openai]"],
}
"""Clients that get an environment of their own: some pin an older openai."""


SECONDS = 0.5
"""How long a client is measured at a time."""


@dataclass
class Client:
    """A running worker process."""

    name: str
    process: subprocess.Popen
    versions: dict

    def measure(self, **order) -> dict:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.name} ended")
        return json.loads(line)


class Fleet:
    """The workers and their server."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients

    @property
    def versions(self) -> dict[str, str]:
        return {
            "python": sys.version.split()[0],
            **{name: value for client in self.clients for name, value in client.versions.items()},
        }

    def compare(self, rounds: int, *, concurrency: int, **order) -> dict[str, dict[str, float]]:
        """Return the medians of each client, measured in turn, each for the same time.

        A client in a hundredth of the time of another makes a hundred times its calls: as many of
        each would measure the quick ones too shortly.
        """
        order = {**order, "seconds": SECONDS, "calls": concurrency, "concurrency": concurrency}
        seen: dict[str, list[dict]] = {client.name: [] for client in self.clients}
        for client in self.clients:
            client.measure(**order)  # warm
        for number in range(rounds):
            turn = self.clients if number % 2 == 0 else self.clients[::-1]
            for client in turn:
                seen[client.name].append(client.measure(**order))
        return {
            name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            for name, runs in seen.items()
        }


@contextmanager
def fleet(names: Sequence[str]) -> Iterator[Fleet]:
    """Start a server and a worker for each name; end them all."""
    with ExitStack() as stack:
        cores = _cores()
        server = stack.enter_context(
            _process(cores[0], sys.executable, "-m", "benchmarks.wire_server")
        )
        url = server.stdout.readline().strip()
        clients = []
        for name in names:
            python = environment_of(name)
            worker = stack.enter_context(
                _process(cores[-1], python, "-m", "benchmarks.wire_client", name, url)
            )
            line = worker.stdout.readline()
            if not line:
                raise RuntimeError(f"{name} did not start: run its worker by hand to see why")
            clients.append(Client(name, worker, json.loads(line)))
        yield Fleet(clients)


@contextmanager
def _process(core: int | None, *command: str) -> Iterator[subprocess.Popen]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a pipe that nobody reads would fill and stop the worker
        text=True,
        env={**plain, "PYTHONPATH": str(ROOT)},
    )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def beside_openai(seen: dict, *, title: str, unit: str) -> Table:
    """Return the CPU of each client, the cheapest first, and its share of the openai package's."""
    scale, digits = {"ms": (1e3, 2), "us": (1e6, 0)}[unit]
    return Table(
        title=title,
        columns=("client", unit, "of bare openai"),
        rows=tuple(
            (name, f"{run['cpu'] * scale:.{digits}f}", f"{run['cpu'] / seen['openai']['cpu']:.3f}")
            for name, run in sorted(seen.items(), key=lambda item: item[1]["cpu"])
        ),
    )


def _cores() -> list[int | None]:
    """Return a core for the server and one for the client, where one can choose."""
    if not hasattr(os, "sched_setaffinity"):
        return [None]
    cores = sorted(os.sched_getaffinity(0))
    return cores[:2] if len(cores) > 1 else [None]


def environment_of(name: str) -> str:
    """Return the Python of a client: a peer has an environment of its own, made on first use."""
    return environment(name, PEERS[name]) if name in PEERS else sys.executable
