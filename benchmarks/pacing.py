"""Calls against a server with a hidden rate limit: refusals, and how near to the limit one gets.

The server refuses above its limit and sends the real headers. Its bucket is full at the start, so
that the least time is what the calls beyond the bucket take to refill.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager

from benchmarks.report import Claim, Result, Table, versions

NAME = "pacing"

PROCESSES = 4

HELLO = [{"role": "user", "content": "hello"}]


async def run(*, quick: bool) -> Result:
    """Measure ours beside the openai package's retries behind a semaphore."""
    per_minute, calls = (600, 640) if quick else (600, 700)
    least = (calls - per_minute) / (per_minute / 60)
    rows = {"agentinfra": await _played(per_minute, _ours, calls)}
    for width in (8, 64):
        name = f"openai, 10 retries, semaphore of {width}"
        rows[name] = await _played(per_minute, _bare(width), calls)
    table = Table(
        title=f"{calls} calls at {per_minute} requests a minute; {least:g} s at the least",
        columns=("client", "seconds", "of the allowed rate", "429 of requests", "failed calls"),
        rows=tuple(
            (
                name,
                f"{took:.1f}",
                f"{(calls - failed - per_minute) / (per_minute / 60) / took:.2f}",
                f"{refused / sent:.3f}",
                failed,
            )
            for name, (took, sent, refused, failed) in rows.items()
        ),
    )
    processes = await _processes(per_minute, calls + 40)
    took, sent, refused, failed = rows["agentinfra"]
    together, all_sent, all_refused, all_failed = processes["sharing a database"]
    rest = (calls + 40 - per_minute) / (per_minute / 60)
    claims = (
        Claim("processes_refused_share", all_refused / all_sent, "<=", 0.02),
        Claim("processes_throughput_of_allowed", rest / together, ">=", 0.9),
        Claim("processes_failed_calls", all_failed, "==", 0),
        Claim("refused_share", refused / sent, "<=", 0.01),
        Claim("throughput_of_allowed", least / took, ">=", 0.9),
        Claim("failed_calls", failed, "==", 0),
    )
    tables = (table, _beside(processes, calls + 40, per_minute))
    return Result(name=NAME, versions=versions("openai"), tables=tables, claims=claims)


def _beside(rows, calls, per_minute):
    return Table(
        title=f"{calls} calls of {PROCESSES} processes at {per_minute} requests a minute",
        columns=("processes", "seconds", "429 of requests", "failed calls"),
        rows=tuple(
            (name, f"{took:.1f}", f"{refused / sent:.3f}", failed)
            for name, (took, sent, refused, failed) in rows.items()
        ),
    )


async def _processes(per_minute, calls):
    """Have several processes make the calls, with a database to share limits on and without."""
    from agentinfra.db.embedded import EmbeddedPostgres

    async with EmbeddedPostgres("temporary") as postgres:
        return {
            "sharing a database": await _together(per_minute, calls, postgres.url),
            "each for itself": await _together(per_minute, calls, ""),
        }


async def _together(per_minute, calls, database):
    from agentinfra.testing import OpenAIServer, RateLimits

    async with OpenAIServer(limits=RateLimits(requests_per_minute=per_minute)) as server:
        share = str(calls // PROCESSES)
        command = (sys.executable, "-m", "benchmarks.pace_worker", server.base_url, database, share)
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        workers = [
            await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(PROCESSES)
        ]
        for worker in workers:
            await worker.stdout.readline()
        began = time.time()  # the same clock in every process
        said = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
        ends = [json.loads(out.splitlines()[-1]) for out, _ in said]
        failed = sum(end["failed"] for end in ends)
        refused = sum(record.status == 429 for record in server.ledger.requests)
        took = max(end["ended"] for end in ends) - began
        return took, server.ledger.count(), refused, failed


async def _played(per_minute, client, calls):
    from agentinfra.testing import OpenAIServer, RateLimits

    async with (
        OpenAIServer(limits=RateLimits(requests_per_minute=per_minute)) as server,
        client(server.base_url) as call,
    ):
        began = time.perf_counter()
        outcomes = await asyncio.gather(*(call() for _ in range(calls)), return_exceptions=True)
        took = time.perf_counter() - began
        failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
        refused = sum(record.status == 429 for record in server.ledger.requests)
        return took, server.ledger.count(), refused, failed


@asynccontextmanager
async def _ours(url):
    from agentinfra import AsyncLLMClient, Settings
    from agentinfra.observability.logging import Logging

    settings = Settings(llm={"base_url": url, "api_key": "x"}, logging={"level": "error"})
    async with Logging(settings.logging), AsyncLLMClient(settings.llm) as llm:
        yield lambda: llm.chat_completion(HELLO)


def _bare(width):
    @asynccontextmanager
    async def client(url):
        import openai

        gate = asyncio.Semaphore(width)
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=10) as sdk:

            async def one():
                async with gate:
                    await sdk.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

            yield one

    return client
