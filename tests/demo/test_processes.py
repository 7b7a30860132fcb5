"""The team in one runtime after the other, as processes come and go."""

from agentinfra.demo.standin import stand_in
from agentinfra.testing import OpenAIServer


async def test_a_conversation_outlives_its_process(enter, gather, handbook, postgres_url):
    """Another runtime goes on with a conversation where the first one ended."""
    async with OpenAIServer(default=stand_in) as server:
        async with enter(server, postgres_url) as rt:
            team = await gather(rt, handbook)
            await team.ask("How many orders were placed in 2025?", thread_id="outlived")
        async with enter(server, postgres_url) as rt:
            team = await gather(rt, handbook)
            answer = await team.ask("And in 2024?", thread_id="outlived")
            other = await team.ask("What did I ask before?", thread_id="another")
    assert answer.rows == ({"order_count": 725},)
    assert "have not asked" in other.answer or other.answer != answer.answer


async def test_a_known_answer_costs_nothing(enter, gather, handbook, postgres_url):
    """The same question in another process and conversation is answered without any call."""
    question = "How many products are in the Climbing category?"
    async with OpenAIServer(default=stand_in) as server:
        async with enter(server, postgres_url) as rt:
            team = await gather(rt, handbook, "known")
            first = await team.ask(question, thread_id="known 1")
        calls = server.ledger.count()
        async with enter(server, postgres_url) as rt:
            team = await gather(rt, handbook, "known")
            second = await team.ask(question.upper(), thread_id="known 2")
            page = rt.metrics.expose()
        assert server.ledger.count() == calls
    assert first.cache == {"routing": "miss", "response": "miss", "embedding": None}
    assert second.cache == {"routing": "hit", "response": "hit", "embedding": None}
    assert (second.answer, second.sql, second.rows) == (first.answer, first.sql, first.rows)
    assert second.cost_usd == 0
    assert second.usage.total_tokens == 0
    assert 'cache_operations_total{cache="response",outcome="hit"} 1' in page


async def test_without_a_database_documents_are_still_answered_from(
    enter, gather, handbook, postgres_url
):
    """Documents are searched by their words, questions about sales get a sentence."""
    async with (
        OpenAIServer(default=stand_in) as server,
        enter(
            server,
            postgres_url,
            database={"enabled": False},
            checkpointer={"backend": "memory"},
        ) as rt,
    ):
        team = await gather(rt, handbook)
        known = await team.ask("How long does a repair in the workshop take?", thread_id="a")
        sales = await team.ask("How many orders were placed in 2025?", thread_id="a")
    assert known.sources[0] == "warranty.rst#repairs"
    assert "searched by their words" in known.degraded
    assert sales.rows == ()
    assert "not available" in sales.answer
    [notice] = team.notices
    assert "AGENTINFRA_DATABASE__ENABLED" in notice


async def test_without_rights_the_message_names_the_grant(enter, gather, handbook, postgres_url):
    """A user who may not create schemas is told which grant is missing."""
    async with OpenAIServer(default=stand_in) as server:
        async with enter(server, postgres_url) as owner:
            await owner.db.execute("CREATE ROLE demo_guest LOGIN")
            await owner.db.execute("CREATE DATABASE demo_other")
            folder = owner.db.dsn.hosts[0][0]
        url = f"postgresql://demo_guest@/demo_other?host={folder}"
        async with enter(server, url, checkpointer={"backend": "memory"}) as guest:
            team = await gather(guest, handbook)
            answer = await team.ask("When is a refund paid?", thread_id="guest")
    assert "GRANT CREATE ON DATABASE demo_other TO demo_guest" in team.notices[0]
    assert answer.sources


async def test_somebody_elses_schema_is_left_alone(enter, gather, handbook, postgres_url):
    """A schema of the demo's name that is not the demo's stays as it is."""
    async with OpenAIServer(default=stand_in) as server:
        async with enter(server, postgres_url) as owner:
            await owner.db.execute("CREATE DATABASE demo_taken")
            folder = owner.db.dsn.hosts[0][0]
        async with enter(server, f"postgresql://postgres@/demo_taken?host={folder}") as rt:
            await rt.db.execute("CREATE SCHEMA demo_sales; CREATE TABLE demo_sales.mine (id int)")
            team = await gather(rt, handbook)
            kept = await rt.db.query("SELECT count(*) AS n FROM demo_sales.mine")
    assert "not the demo's" in team.notices[0]
    assert kept[0]["n"] == 0
