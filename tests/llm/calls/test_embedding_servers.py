"""Embeddings of every server: limits learned, requests shared, what was paid for kept."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from raw_server import raw_server, reply

from agentinfra import AsyncLLMClient, EmbeddingCache, Settings
from agentinfra.errors import LLMError, LLMResponseError, ServerError


def vectors(texts, length=4, **more):
    """Return an answer whose vectors tell their texts apart."""
    rows = [[1.0, float(len(text))] + [0.5] * (length - 2) for text in texts]
    data = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return reply({"data": data, "usage": usage, **more})


@asynccontextmanager
async def _client(give, *, vectors=None, **fields):
    async with raw_server(give) as server:
        given = {"base_url": server.base_url, "api_key": "k", "max_attempts": 1, **fields}
        async with AsyncLLMClient(Settings(llm=given).llm, vectors=vectors) as llm:
            llm.server = server
            yield llm


def _at_most(most):
    def give(request):
        texts = request["body"]["input"]
        if len(texts) > most:
            message = f"batch size is invalid, it should not be larger than {most}."
            return reply({"error": {"message": message}}, status=400)
        return vectors(texts)

    return give


async def test_a_limit_of_texts_is_learned():
    """A refusal that names it costs one request, once."""
    texts = ["x" * n for n in range(1, 26)]
    async with _client(_at_most(10)) as llm:
        batch = await llm.get_embeddings(texts)
        again = await llm.get_embeddings([text + "!" for text in texts])
        sizes = [len(body["input"]) for body in llm.server.bodies]
    assert sizes[0] == 25
    assert sorted(sizes[1:]) == [5, 5, 10, 10, 10, 10]
    assert len(batch) == len(again) == 25
    wanted = np.array([1.0 / np.hypot(np.hypot(1, n), np.sqrt(0.5)) for n in range(1, 26)])
    assert np.allclose(batch.vectors[:, 0], wanted, atol=1e-5)


async def test_a_limit_can_be_set():
    """Then nothing is lost on learning it."""
    async with _client(_at_most(10), embedding_inputs=10) as llm:
        await llm.get_embeddings([f"t{n}" for n in range(25)])
        assert len(llm.server.requests) == 3


async def test_base64_is_unlearned():
    """A server that knows floats alone is asked for floats from then on."""

    def give(request):
        if request["body"]["encoding_format"] == "base64":
            message = "encoding_format: only float is supported"
            return reply({"error": {"message": message}}, status=400)
        return vectors(request["body"]["input"])

    async with _client(give) as llm:
        await llm.get_embeddings(["a"])
        await llm.get_embeddings(["b"])
        sent = [body["encoding_format"] for body in llm.server.bodies]
    assert sent == ["base64", "float", "float"]


async def test_dimensions_are_believed_when_they_came():
    """Longer vectors are cut, said as degraded, and never cached; shorter ones are an error."""
    cache = EmbeddingCache()
    give = lambda request: vectors(request["body"]["input"], length=8)  # noqa: E731
    async with _client(give, vectors=cache) as llm:
        batch = await llm.get_embeddings(["a"], dimensions=4)
        assert batch.vectors.shape == (1, 4)
        assert np.allclose(np.linalg.norm(batch.vectors, axis=1), 1)
        assert "ignores dimensions" in batch.degraded
        assert await cache.get("a", "text-embedding-3-small", 4) is None
        with pytest.raises(LLMResponseError, match="16 dimensions"):
            await llm.get_embeddings(["a"], dimensions=16)
        assert (await llm.get_embeddings(["a"], dimensions=8)).degraded is None


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"embedding": [3, 4]}, {"embedding": [4, 3]}]},
        {"data": [{"embedding": [3, 4], "index": 0}, {"embedding": [4, 3], "index": 0}]},
        {"data": [{"embedding": [[4, 3]], "index": "1"}, {"embedding": [[3, 4]], "index": "0"}]},
        {"embeddings": [[3, 4], [4, 3]]},
        [{"embedding": [3, 4], "index": 0}, {"embedding": [4, 3], "index": 1}],
    ],
)
async def test_answers_of_any_shape(body):
    """Without index, with a useless one, nested, or bare."""
    async with _client(reply(body)) as llm:
        batch = await llm.get_embeddings(["a", "b"])
    assert np.allclose(batch.vectors, [[0.6, 0.8], [0.8, 0.6]])
    assert batch.usage.estimated


async def test_one_text_is_asked_for_once():
    """However many calls want it at once; each gets its vector."""
    async with _client(lambda request: vectors(request["body"]["input"])) as llm:
        calls = (llm.get_embeddings(["same", f"own {n}"]) for n in range(20))
        batches = await asyncio.gather(*calls)
        sent = [text for body in llm.server.bodies for text in body["input"]]
    assert sorted(sent) == sorted({"same", *(f"own {n}" for n in range(20))})
    assert all(np.allclose(batch.vectors[0], batches[0].vectors[0]) for batch in batches)


async def test_a_cancelled_call_takes_nobody_along():
    """Who waited for its text fetches it."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def first(request):
        arrived.set()
        await go.wait()
        yield vectors(request["body"]["input"])

    answers = iter([first])

    def give(request):
        slow = next(answers, None)
        return slow(request) if slow else vectors(request["body"]["input"])

    async with _client(give) as llm:
        one = asyncio.create_task(llm.get_embeddings(["same"]))
        await arrived.wait()
        two = asyncio.create_task(llm.get_embeddings(["same"]))
        await asyncio.sleep(0)
        one.cancel()
        assert len(await two) == 1
        go.set()
        assert len(llm.server.requests) == 2
        assert len(llm._calls.embeddings._flights) == 0


async def test_a_failure_reaches_all_who_wait():
    """It is theirs as well, and is not kept."""
    broken = reply({"error": {"message": "down"}}, status=500)
    answers = iter([broken])

    def give(request):
        return next(answers, None) or vectors(request["body"]["input"])

    async with _client(give) as llm:
        calls = [llm.get_embeddings(["same"]) for _ in range(3)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ServerError] * 3
        assert len(await llm.get_embeddings(["same"])) == 1


async def test_what_was_paid_for_is_kept():
    """A part that fails leaves the others booked and cached."""

    def give(request):
        texts = request["body"]["input"]
        if "bad" in texts:
            return reply({"error": {"message": "down"}}, status=500)
        return vectors(texts)

    async with _client(give, vectors=EmbeddingCache(), embedding_inputs=1) as llm:
        async with llm.budget(usd=1) as budget:
            with pytest.raises(LLMError, match="down"):
                await llm.get_embeddings(["good", "bad", "fine"])
            assert (budget.reserved, budget.spent > 0) == (0, True)
        batch = await llm.get_embeddings(["good", "fine"])
        assert batch.cached == 2
        assert len(llm.server.requests) == 3


async def test_parameters_pass_through():
    """Those of the API, of a server, and of the openai package's calls."""
    async with _client(lambda request: vectors(request["body"]["input"])) as llm:
        await llm.get_embeddings(
            ["a"], user="u", extra_headers={"X-A": "1"}, extra_body={"truncate": True}
        )
        request = llm.server.requests[0]
    assert (request["body"]["user"], request["body"]["truncate"]) == ("u", True)
    assert request["headers"]["x-a"] == "1"


async def test_only_openais_models_have_openais_limits():
    """A long text is another model's business; Chinese weighs what it weighs."""
    async with _client(lambda request: vectors(request["body"]["input"])) as llm:
        await llm.get_embeddings(["word " * 20_000], model="Qwen3-Embedding-8B")
        await llm.get_embeddings(["\u4e00" * 400 + str(n) for n in range(1000)], model="m")
        sizes = [sum(map(len, body["input"])) for body in llm.server.bodies]
    assert max(sizes) <= 300_000
