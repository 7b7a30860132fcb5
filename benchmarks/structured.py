"""What a structured answer costs, beside the libraries made for it."""

from __future__ import annotations

from benchmarks.fleet import fleet
from benchmarks.report import Claim, Result, Table

NAME = "structured"


def run(*, quick: bool) -> Result:
    """Measure answers that are parsed into a pydantic model of two fields."""
    rounds = 3 if quick else 11
    peers = () if quick else ("instructor", "langchain-openai", "pydantic-ai")
    with fleet(("openai", "agentinfra", *peers)) as clients:
        seen = clients.compare(rounds, task="structured", messages=2, concurrency=32)
        versions = clients.versions
    ours = seen["agentinfra"]["cpu"]
    table = Table(
        title=f"CPU microseconds a structured answer, concurrency 32 (medians of {rounds} rounds)",
        columns=("client", "us", "of openai's parse"),
        rows=tuple(
            (name, f"{run['cpu'] * 1e6:.0f}", f"{run['cpu'] / seen['openai']['cpu']:.3f}")
            for name, run in sorted(seen.items(), key=lambda item: item[1]["cpu"])
        ),
    )
    claims = tuple(
        Claim(f"structured_cpu_of_{name.replace('-', '_')}", ours / seen[name]["cpu"], "<=", 0.5)
        for name in ("openai", *peers)
    )
    return Result(name=NAME, versions=versions, tables=(table,), claims=claims)
