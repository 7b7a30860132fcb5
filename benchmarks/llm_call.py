"""What a chat call costs, beside other clients: CPU, throughput and tail latency.

Each client is a process of its own, called in turn against one server that answers at once with a
body of about 1 KB. CPU is user and system time of the client's process.
"""

from __future__ import annotations

from benchmarks.fleet import PEERS, beside_openai, fleet
from benchmarks.report import Claim, Result, Table

NAME = "llm_call"

ALWAYS = (
    "openai",
    "openai on aiohttp",
    "raw aiohttp",
    "agentinfra, wire alone",
    "agentinfra",
    "agentinfra, observation off",
    "agentinfra, spans exported",
    "agentinfra, transport sdk",
)
BARS = {1: 0.20, 32: 0.12, 256: 0.10}


def run(*, quick: bool) -> Result:
    """Measure calls at three concurrencies, and histories of two lengths."""
    rounds = 3 if quick else 15
    with fleet(ALWAYS if quick else (*ALWAYS, *PEERS)) as clients:
        seen = {
            concurrency: clients.compare(rounds, task="chat", messages=2, concurrency=concurrency)
            for concurrency in BARS
        }
        long = clients.compare(rounds, task="chat", messages=20, concurrency=32)
        versions = clients.versions
    with fleet(("openai", "agentinfra")) as clients:
        responses = clients.compare(rounds, task="respond", messages=2, concurrency=32)
    title = f"CPU microseconds a call of the Responses API, at 32 (medians of {rounds} rounds)"
    tables = (
        _table(seen, rounds),
        beside_openai(responses, title=title, unit="us"),
        _histories(seen[32], long),
        _tails(seen[256]),
    )
    ratio = responses["agentinfra"]["cpu"] / responses["openai"]["cpu"]
    claims = (*_claims(seen, long), Claim("responses_cpu_of_bare_openai_at_32", ratio, "<=", 0.12))
    return Result(name=NAME, versions=versions, tables=tables, claims=claims)


def _table(seen: dict, rounds: int) -> Table:
    names = sorted(seen[32], key=lambda name: seen[32][name]["cpu"])
    return Table(
        title=f"CPU microseconds a chat call, by concurrency (medians of {rounds} rounds)",
        columns=("client", *map(str, seen), "of bare openai at 32"),
        rows=tuple(
            (
                name,
                *(f"{seen[c][name]['cpu'] * 1e6:.0f}" for c in seen),
                f"{seen[32][name]['cpu'] / seen[32]['openai']['cpu']:.3f}",
            )
            for name in names
        ),
    )


def _histories(short: dict, long: dict) -> Table:
    return Table(
        title="CPU microseconds by length of the history, concurrency 32",
        columns=("client", "2 messages", "20 messages", "ratio"),
        rows=tuple(
            (
                name,
                f"{short[name]['cpu'] * 1e6:.0f}",
                f"{long[name]['cpu'] * 1e6:.0f}",
                f"{long[name]['cpu'] / short[name]['cpu']:.2f}",
            )
            for name in short
        ),
    )


def _tails(seen: dict) -> Table:
    return Table(
        title="Concurrency 256: latency and throughput",
        columns=("client", "p50 ms", "p99 ms", "calls a second"),
        rows=tuple(
            (
                name,
                f"{run['p50'] * 1000:.1f}",
                f"{run['p99'] * 1000:.1f}",
                f"{1 / run['wall']:.0f}",
            )
            for name, run in seen.items()
        ),
    )


def _claims(seen: dict, long: dict) -> list[Claim]:
    ours, quiet = "agentinfra", "agentinfra, observation off"
    claims = [
        Claim(
            f"cpu_of_bare_openai_at_{c}", seen[c][ours]["cpu"] / seen[c]["openai"]["cpu"], "<=", bar
        )
        for c, bar in BARS.items()
    ]
    at = seen[32]
    exporting = at["agentinfra, spans exported"]["cpu"] / at["openai"]["cpu"]
    claims.append(Claim("spans_exported_cpu_of_bare_openai_at_32", exporting, "<=", 0.18))
    if "litellm" in at:
        claims.append(
            Claim("cpu_of_litellm_at_32", at[ours]["cpu"] / at["litellm"]["cpu"], "<=", 0.10)
        )
    claims += [
        Claim("cpu_of_raw_aiohttp_at_32", at[ours]["cpu"] / at["raw aiohttp"]["cpu"], "<=", 2.5),
        Claim("calls_per_cpu_second_at_32", 1 / at[ours]["cpu"], ">=", 5000),
        Claim("history_20_of_2", long[ours]["cpu"] / at[ours]["cpu"], "<=", 1.3),
        Claim(
            "p99_of_bare_openai_at_256",
            seen[256][ours]["p99"] / seen[256]["openai"]["p99"],
            "<=",
            0.3,
        ),
        Claim(
            "observation_off_of_raw_aiohttp_at_32",
            at[quiet]["cpu"] / at["raw aiohttp"]["cpu"],
            "<=",
            1.3,
        ),
    ]
    return claims
