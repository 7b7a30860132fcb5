"""What a batch of 64 embeddings of 1,536 numbers costs, beside the openai package."""

from __future__ import annotations

from benchmarks.fleet import beside_openai, fleet
from benchmarks.report import Claim, Result

NAME = "embeddings"


def run(*, quick: bool) -> Result:
    """Measure batches."""
    rounds = 3 if quick else 11
    with fleet(("openai", "openai on aiohttp", "agentinfra")) as clients:
        seen = clients.compare(rounds, task="embed", messages=2, concurrency=2)
        versions = clients.versions
    bare = seen["openai"]["cpu"]
    table = beside_openai(
        seen,
        title=f"CPU milliseconds a batch of 64 x 1,536 (medians of {rounds} rounds)",
        unit="ms",
    )
    claim = Claim("batch_cpu_of_bare_openai", seen["agentinfra"]["cpu"] / bare, "<=", 0.35)
    return Result(name=NAME, versions=versions, tables=(table,), claims=(claim,))
