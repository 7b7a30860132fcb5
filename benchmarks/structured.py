"""What a structured answer costs, beside the libraries made for it."""

from __future__ import annotations

from benchmarks.fleet import beside_openai, fleet
from benchmarks.report import Claim, Result

NAME = "structured"


def run(*, quick: bool) -> Result:
    """Measure answers that are parsed into a pydantic model of two fields."""
    rounds = 3 if quick else 11
    peers = () if quick else ("instructor", "langchain-openai", "pydantic-ai")
    with fleet(("openai", "agentinfra", *peers)) as clients:
        seen = clients.compare(rounds, task="structured", messages=2, concurrency=32)
        versions = clients.versions
    ours = seen["agentinfra"]["cpu"]
    table = beside_openai(
        seen,
        title=f"CPU microseconds a structured answer, concurrency 32 (medians of {rounds} rounds)",
        unit="us",
    )
    claims = tuple(
        Claim(f"structured_cpu_of_{name.replace('-', '_')}", ours / seen[name]["cpu"], "<=", 0.5)
        for name in ("openai", *peers)
    )
    return Result(name=NAME, versions=versions, tables=(table,), claims=claims)
