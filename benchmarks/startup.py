"""What importing and entering cost.

The import is measured against the interpreter with asyncio alone, each in a fresh process.
Entering `InfraRuntime()` on the embedded database is measured in a fresh process too, warm (the
folder exists and its server is stopped), with the share of each resource.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Claim, Result, Table

NAME = "startup"

ENTER = """
import asyncio, json, sys, time
from agentinfra import InfraRuntime, Settings
from agentinfra._mechanics.vendors import preload

async def main():
    settings = Settings(
        llm={"base_url": "http://127.0.0.1:9/v1", "api_key": "x"},
        database={"data_dir": sys.argv[1]},
        logging={"level": "error"},
    )
    if sys.argv[2] == "preloaded":
        rt = InfraRuntime(settings)
        server = rt._stateful.server
        for resource in (server, rt.llm, rt.caches, rt.logging, rt.metrics, rt.tracing):
            await preload(resource.vendors)
        from agentinfra.checkpoint.checkpointer import Checkpointer
        from agentinfra.db.database import Database
        await preload([*Checkpointer.vendors, *Database.vendors])
    began = time.perf_counter()
    async with InfraRuntime(settings) as rt:
        entered = time.perf_counter() - began
        states = {row.name: row.state for row in (await rt.health()).resources}
        leaving = time.perf_counter()
    left = time.perf_counter() - leaving
    print(json.dumps({"enter": entered, "leave": left, "took": rt.startup, "states": states}))

asyncio.run(main())
"""


def run(*, quick: bool) -> Result:
    """Measure imports and entries."""
    rounds = 5 if quick else 15
    programs = {
        "python": "pass",
        "python + asyncio": "import asyncio",
        "python + agentinfra": "import agentinfra",
        "python + asyncio + agentinfra": "import asyncio, agentinfra",
    }
    seconds = {name: _fresh(code, rounds) for name, code in programs.items()}
    alone = seconds["python + asyncio"]
    imports = Table(
        title=f"Importing, in a fresh process (medians of {rounds})",
        columns=("program", "ms", "of asyncio alone"),
        rows=tuple(
            (name, f"{value * 1000:.1f}", f"{value / alone:.2f}") for name, value in seconds.items()
        ),
    )
    with tempfile.TemporaryDirectory(prefix="agentinfra-bench-") as folder:
        Path(folder).chmod(0o755)
        data = str(Path(folder) / "pg")
        first = _enter(data, "preloaded")
        warm = [_enter(data, "preloaded") for _ in range(3 if quick else 7)]
        whole = [_enter(data, "cold") for _ in range(3 if quick else 7)]
    entering = statistics.median(run["enter"] for run in warm)
    return Result(
        name=NAME,
        versions={"python": sys.version.split()[0]},
        tables=(imports, _entries(first, warm, whole), _shares(warm)),
        claims=(
            Claim(
                "import_of_asyncio_alone",
                seconds["python + asyncio + agentinfra"] / alone,
                "<=",
                1.5,
            ),
            Claim("enter_seconds_without_imports", entering, "<=", 0.8),
        ),
    )


def _fresh(code: str, rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def _enter(folder: str, mode: str) -> dict:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "DATABASE"))}
    done = subprocess.run(
        [sys.executable, "-c", ENTER, folder, mode],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _entries(first: dict, warm: list[dict], whole: list[dict]) -> Table:
    def row(name: str, runs: list[dict]) -> tuple[str, str, str]:
        enter = statistics.median(run["enter"] for run in runs)
        leave = statistics.median(run["leave"] for run in runs)
        return name, f"{enter:.3f}", f"{leave:.3f}"

    return Table(
        title="Entering and leaving InfraRuntime() on the embedded database, seconds",
        columns=("case", "enter", "leave"),
        rows=(
            row("new folder (initdb), imports done", [first]),
            row("server stopped, imports done", warm),
            row("server stopped, imports beside its start", whole),
        ),
    )


def _shares(runs: list[dict]) -> Table:
    names = [name for name in runs[0]["took"] if name != "imports"]
    return Table(
        title="Share of each resource, imports done (medians)",
        columns=("resource", "ms", "state"),
        rows=tuple(
            (
                name,
                f"{statistics.median(run['took'][name] for run in runs) * 1000:.1f}",
                runs[0]["states"].get(name, ""),
            )
            for name in names
        ),
    )
