"""What a stream of 100 chunks costs, beside other clients."""

from __future__ import annotations

from benchmarks.fleet import beside_openai, fleet
from benchmarks.report import Claim, Result

NAME = "llm_stream"


def run(*, quick: bool) -> Result:
    """Measure streams that arrive in a burst."""
    rounds = 3 if quick else 11
    names = ("openai", "openai on aiohttp", "agentinfra", *(() if quick else ("litellm",)))
    with fleet(names) as clients:
        seen = clients.compare(rounds, task="stream", messages=2, concurrency=4)
        versions = clients.versions
    with fleet(("openai", "agentinfra")) as clients:
        responses = clients.compare(rounds, task="respond_stream", messages=2, concurrency=4)
    bare = seen["openai"]["cpu"]
    table = beside_openai(
        seen,
        title=f"CPU milliseconds a stream of 100 chunks (medians of {rounds} rounds)",
        unit="ms",
    )
    other = beside_openai(
        responses,
        title=f"The same of the Responses API (medians of {rounds} rounds)",
        unit="ms",
    )
    ratio = responses["agentinfra"]["cpu"] / responses["openai"]["cpu"]
    claims = (
        Claim("stream_cpu_of_bare_openai", seen["agentinfra"]["cpu"] / bare, "<=", 0.06),
        Claim("responses_stream_cpu_of_bare_openai", ratio, "<=", 0.06),
    )
    return Result(name=NAME, versions=versions, tables=(table, other), claims=claims)
