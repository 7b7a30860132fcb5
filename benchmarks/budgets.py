"""One budget for a fleet: processes spend from it, half of them are killed in the middle.

Each makes its calls against one server that counts what it has answered. What the server has billed
is the truth: the cap is kept or it is not. Beside it, what a call costs under an account of all
processes and under a budget of this one.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from benchmarks.fleet import environment_of, fleet
from benchmarks.report import Claim, Result, Table, versions

NAME = "budgets"

ROOT = Path(__file__).resolve().parent.parent
PRICE = Decimal("0.00015") + Decimal("0.0012")
"""What a call is billed: 1,000 tokens read and 2,000 written by gpt-4o-mini."""


@dataclass
class Run:
    """What became of a fleet.

    Attributes:
        cap: What was allowed, in USD.
        billed: What the server has answered and billed.
        finished: What of it came to a caller who lived to see it.
        refused: Calls that were not let out.
        killed: Processes that were killed.
    """

    cap: Decimal
    billed: Decimal
    finished: Decimal
    refused: int
    killed: int


PACKAGES = {"litellm": "litellm", "pydantic-ai": "pydantic-ai-slim"}


async def run(*, quick: bool) -> Result:
    """Measure fleets, ours and others', and the cost of a call."""
    from agentinfra.db.embedded import EmbeddedPostgres

    processes, calls, cap = (4, 250, Decimal("0.6")) if quick else (8, 1000, Decimal(5))
    names = ["agentinfra"] if quick else ["agentinfra", "litellm", "pydantic-ai"]
    async with EmbeddedPostgres("temporary") as postgres:
        runs = {name: await _spent(name, postgres.url, processes, calls, cap) for name in names}
        account = await _account(postgres.url, cap)
        costs = await asyncio.to_thread(_costs, postgres.url, 5 if quick else 15)
    untold = float((account["spent"] - runs["agentinfra"].finished) / PRICE)
    ours, ratio = runs["agentinfra"], costs["shared"] / costs["memory"]
    claims = (
        Claim("billed_of_cap", float(ours.billed / cap), "<=", 1.0),
        Claim("used_of_cap", float(ours.billed / cap), ">=", 0.9),
        Claim("reserved_after_the_term_usd", float(account["reserved"]), "==", 0),
        Claim("calls_finished_and_not_spent", max(0.0, -untold), "==", 0),
        # A process that is killed may have settled a call, and had no time to tell of it.
        Claim("calls_spent_and_not_told_of", max(0.0, untold), "<=", ours.killed),
        Claim(
            "spent_and_lost_of_cap", float((account["spent"] + account["lost"]) / cap), "<=", 1.0
        ),
        Claim("cpu_of_a_memory_budget", ratio, "<=", 1.15),
    )
    tables = (_fleets(runs, processes, calls), _books(account, ours), _calls(costs))
    told = versions("asyncpg") | await asyncio.to_thread(_peers, names)
    return Result(name=NAME, versions=told, tables=tables, claims=claims)


def _peers(names: list[str]) -> dict[str, str]:
    """Return the versions of the peers, each as its own environment has it."""
    found = {}
    for name in names:
        if (package := PACKAGES.get(name)) is not None:
            ask = f"import importlib.metadata as m; print(m.version({package!r}))"
            command = [environment_of(name), "-c", ask]
            found[name] = subprocess.check_output(command, text=True).strip()
    return found


async def _spent(name: str, database: str, processes: int, calls: int, cap: Decimal) -> Run:
    """Have a fleet spend, kill half of it, and return what was billed."""
    from agentinfra.results import Usage
    from agentinfra.testing import OpenAIServer
    from agentinfra.testing.replies import Reply

    usage = Usage(prompt_tokens=1000, completion_tokens=2000, total_tokens=3000)
    dice = random.Random(7)
    async with OpenAIServer() as server:
        server.on("hello", Reply(text="x", usage=usage, delay=0.01))
        arguments = (name, server.base_url, database, str(calls), str(cap))
        with _processes(
            processes, await asyncio.to_thread(environment_of, name), *arguments
        ) as fleet_:
            for worker in fleet_[::2]:
                worker.dies_after = dice.randrange(calls // 20, calls // 3)
            await asyncio.gather(*(asyncio.to_thread(worker.thread.join) for worker in fleet_))
        await server.ledger.wait_for(idle=True)
        answered = {r.index for r in server.ledger.requests if r.usage and r.status == 200}
    if broken := [worker for worker in fleet_ if worker.process.returncode not in (0, -9)]:
        raise RuntimeError(f"{len(broken)} workers of {name} broke: run one by hand to see why")
    lines = [line for worker in fleet_ for line in worker.lines]
    finished = [line for line in lines if line != "refused"]
    return Run(
        cap=cap,
        billed=PRICE * len(answered),
        finished=PRICE * len(finished),
        refused=lines.count("refused"),
        killed=sum(worker.process.returncode == -9 for worker in fleet_),
    )


class _Worker:
    """A process of the fleet and what it has said; killed after so many lines, where it is told."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.dies_after: int | None = None
        self.thread = Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode().strip())
            if self.dies_after is not None and len(self.lines) == self.dies_after:
                self.process.kill()
        self.process.wait()


@contextmanager
def _processes(number: int, python: str, *arguments: str) -> Iterator[list[_Worker]]:
    command = [python, "-m", "benchmarks.budget_client", *arguments]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI")}
    plain |= {"PYTHONPATH": str(ROOT), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with TemporaryDirectory() as folder:  # where litellm keeps its file
        workers = [
            _Worker(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=plain,
                )
            )
            for _ in range(number)
        ]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()


async def _account(database: str, cap: Decimal) -> dict[str, Decimal]:
    """Return what the ledger says once the leases of the killed have expired."""
    from agentinfra import InfraRuntime, Settings

    settings = Settings(
        llm={"enabled": False},
        database={"url": database},
        checkpointer={"enabled": False},
        logging={"level": "error"},
        budgets={"lease_term": 2},
    )
    await asyncio.sleep(2.5)
    async with InfraRuntime(settings) as rt:
        account = rt.budgets.of("fleet", usd=cap, per="run")
        await account.refresh()  # which finds what was left behind
        await account.refresh()
        return {"spent": account.spent, "reserved": account.reserved, "lost": account.lost}


def _costs(database: str, rounds: int) -> dict[str, float]:
    """Return CPU seconds of a call under either kind of budget."""
    os.environ["BENCHMARK_DATABASE"] = database
    with fleet(("agentinfra", "agentinfra, shared account")) as clients:
        seen = clients.compare(rounds, task="chat", messages=2, concurrency=32)
    return {
        "memory": seen["agentinfra"]["cpu"],
        "shared": seen["agentinfra, shared account"]["cpu"],
    }


def _fleets(runs: dict[str, Run], processes: int, calls: int) -> Table:
    return Table(
        title=f"{processes} processes, {calls} calls each, half of them killed with SIGKILL",
        columns=("client", "cap USD", "billed USD", "of the cap", "refused", "killed"),
        rows=tuple(
            (
                name,
                f"{run.cap}",
                f"{run.billed:.5f}",
                f"{run.billed / run.cap:.3f}",
                run.refused,
                run.killed,
            )
            for name, run in runs.items()
        ),
    )


def _books(account: dict[str, Decimal], ours: Run) -> Table:
    return Table(
        title="The ledger after the leases' term, beside what the server billed",
        columns=("", "USD"),
        rows=(
            ("spent, by the ledger", f"{account['spent']:.5f}"),
            ("finished calls, by the server", f"{ours.finished:.5f}"),
            ("billed, by the server", f"{ours.billed:.5f}"),
            ("lost: held by calls of the killed", f"{account['lost']:.5f}"),
            ("reserved", f"{account['reserved']:.5f}"),
        ),
    )


def _calls(costs: dict[str, float]) -> Table:
    memory = costs["memory"]
    return Table(
        title="CPU microseconds of a call at 32",
        columns=("budget", "us", "of one in memory"),
        rows=tuple(
            (name, f"{cpu * 1e6:.0f}", f"{cpu / memory:.3f}") for name, cpu in costs.items()
        ),
    )
