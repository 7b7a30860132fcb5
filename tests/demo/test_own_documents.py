"""Questions about this project, answered from its own documents."""

import pytest
import pytest_asyncio

from agentinfra.demo.documents import default_folder

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = {
    "How do I wipe the data of the compose stack?": "how-to/run-the-stack.md",
    "How do I stream an answer?": "how-to/call-a-model.md",
    "How does a budget reserve the most a request can cost?": "how-to/budget.md",
    "What happens to spans when a collector is missing?": "reference/logging-and-tracing.md",
    "How does a lifespan enter the runtime around a FastAPI app?": "how-to/serve.md",
    "How do I script replies of the test server?": "how-to/test-with-the-server.md",
    "How are the keys of caches made, and is text normalized?": "reference/caches.md",
    "What does prune do with conversations that have aged?": "reference/commands.md",
    "Which fields does a search filter take?": "how-to/retrieve.md",
    "How does a logger bind context?": "reference/logging-and-tracing.md",
    "What does the doctor command show?": "tutorial/first-run.md",
    "Which environment name sets the STRUCTLOG_JSON output?": "reference/settings.md",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def team(rt, gather):
    return await gather(rt, default_folder(), "own documents")


@pytest.mark.parametrize("question", PAGES)
async def test_the_right_page_is_quoted(team, question):
    """The answer names the page that the question is about."""
    answer = await team.ask(question, thread_id=question)
    assert answer.agent == "knowledge"
    assert PAGES[question] in [source.partition("#")[0] for source in answer.sources]
    assert answer.answer
