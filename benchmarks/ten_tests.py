"""The tests of a small project, written from the page about the kit; `kit_project` runs them."""

from __future__ import annotations

import asyncpg
import pytest

from agentinfra import AsyncLLMClient, Database, InfraRuntime, get_logger, start_span
from agentinfra.settings import DatabaseSettings, LLMSettings, Settings
from agentinfra.testing import ManualClock, Reply, assert_no_leaks, faults

CAPITAL = [{"role": "user", "content": "Capital?"}]


@pytest.mark.usefixtures("no_network")
async def test_an_answer(openai_server, infra_runtime, capture):
    openai_server.script("Paris")
    async with assert_no_leaks():
        with capture(infra_runtime) as seen:
            reply = await infra_runtime.llm.chat_completion(CAPITAL)
    assert reply.text == "Paris"
    assert seen.counted("llm_tokens_total", type="total") == reply.usage.total_tokens


async def test_a_table(postgres_url):
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE notes (id int, place vector(3))")
    await connection.close()


async def test_rows(postgres_url):
    async with Database(DatabaseSettings(), url=postgres_url) as db:
        async with db.transaction() as connection:
            await connection.execute("CREATE TABLE notes AS SELECT generate_series(1, 2) AS id")
        assert len(await db.query("SELECT id FROM notes")) == 2


async def test_a_tool(openai_server, infra_runtime):
    def get_weather(city: str) -> str:
        """Say how the weather is."""
        return city

    openai_server.script(Reply.calling("get_weather", city="Rome"))
    reply = await infra_runtime.llm.chat_completion_with_tools(CAPITAL, [get_weather])
    assert reply.tool_calls[0].name == "get_weather"


async def test_a_stream(openai_server, infra_runtime):
    openai_server.script("one two three")
    stream = await infra_runtime.llm.chat_completion(CAPITAL, stream=True)
    async with stream:
        assert "".join([chunk.text async for chunk in stream]) == "one two three"


async def test_retries_take_no_time(openai_server):
    clock = ManualClock(auto_advance=True)
    settings = LLMSettings(base_url=openai_server.base_url, api_key="any", max_attempts=4)
    async with AsyncLLMClient(settings, clock=clock) as llm:
        openai_server.fail(faults.rate_limited(retry_after=60), times=3)
        reply = await llm.chat_completion(CAPITAL)
    assert reply.attempts == 4


async def test_an_error(openai_server, infra_runtime):
    openai_server.fail(faults.rate_limited(retry_after=0.01))
    await infra_runtime.llm.chat_completion(CAPITAL)
    openai_server.ledger.assert_attempts(2)


async def test_embeddings(infra_runtime):
    batch = await infra_runtime.llm.get_embeddings(["a", "b"])
    assert len(batch.vectors) == 2


async def test_a_search(openai_server, postgres_url):
    settings = Settings.only(
        llm={"base_url": openai_server.base_url, "api_key": "any"}, database={"url": postgres_url}
    )
    async with InfraRuntime(settings) as rt:
        notes = rt.db.vectors("notes")
        await notes.upsert([{"id": "1", "text": "refunds take a week"}])
        assert [hit.id for hit in await notes.search("refunds", top_k=1)] == ["1"]


async def test_logs(infra_runtime, capture):
    with capture(infra_runtime) as seen, start_span("plan"):
        get_logger("app").warning("planned", step=1)
    assert [event["step"] for event in seen.named("planned")] == [1]
