"""Embeddings: order, shape, limits, cache and fall-back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra import EmbeddingCache
from agentinfra.errors import ConfigurationError, LLMResponseError
from agentinfra.llm.dialects.embeddings import MAX_INPUTS, MAX_REQUEST_TOKENS, parts
from agentinfra.llm.dialects.hashing import hash_embeddings
from agentinfra.testing import faults


async def test_vectors_are_float32_of_length_one_in_order(client, server):
    """One row for each text, equal texts equal rows, sent once."""
    batch = await client.get_embeddings(["a b c", "d", "a b c"])
    assert batch.vectors.dtype == np.float32
    assert batch.vectors.shape == (3, 1536)
    assert np.allclose(np.linalg.norm(batch.vectors, axis=1), 1, atol=1e-5)
    assert (batch.vectors[0] == batch.vectors[2]).all()
    assert server.ledger.last.body["input"] == ["a b c", "d"]
    assert server.ledger.last.body["encoding_format"] == "base64"
    assert batch.cost_usd > 0
    assert batch.degraded is None


async def test_dimensions_and_model_pass_through(client, server):
    """Fewer dimensions are asked for and come back."""
    batch = await client.get_embeddings(["a"], model="text-embedding-3-large", dimensions=256)
    assert batch.vectors.shape == (1, 256)
    assert batch.model == "text-embedding-3-large"
    assert server.ledger.last.body["dimensions"] == 256


async def test_no_texts_need_no_request(client, server):
    """An empty list gives no vectors and sends nothing."""
    batch = await client.get_embeddings([])
    assert len(batch) == 0
    assert server.ledger.count() == 0


async def test_many_texts_are_split_and_keep_their_order(client, server):
    """More texts than one request may have go side by side."""
    texts = [f"text number {index}" for index in range(MAX_INPUTS + 100)]
    batch = await client.get_embeddings(texts, dimensions=8)
    assert server.ledger.count() == 2
    alone = await client.get_embeddings([texts[-1]], dimensions=8)
    assert np.allclose(batch.vectors[-1], alone.vectors[0], atol=1e-6)


@given(st.lists(st.text("ab ", min_size=1, max_size=40_000), max_size=30))
def test_parts_keep_every_text_in_order_within_the_limits(texts):
    """Splitting loses nothing and no request is over its limits."""
    requests = parts(texts)
    assert [text for request in requests for text in request] == texts
    for request in requests:
        assert 0 < len(request) <= MAX_INPUTS
        assert len(request) == 1 or sum(len(t) // 3 + 1 for t in request) <= MAX_REQUEST_TOKENS


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["ok", " "], r"texts\[1\] is empty"),
        (["ok", "x" * 100_000], r"texts\[1\] has 100000 characters"),
        (["ok", 3], r"texts\[1\] is int"),
        ("one", "not one string"),
    ],
)
async def test_texts_the_api_would_refuse_are_named(client, server, texts, says):
    """The error names the index, and nothing is sent."""
    with pytest.raises(ConfigurationError, match=says):
        await client.get_embeddings(texts)
    assert server.ledger.count() == 0


async def test_the_cache_is_asked_first(client_of, server):
    """Known texts are not sent; what comes is remembered."""
    async with client_of(server, vectors=EmbeddingCache()) as llm:
        first = await llm.get_embeddings(["a", "b"])
        second = await llm.get_embeddings(["b", "c"])
    assert (first.cached, second.cached) == (0, 1)
    assert server.ledger.last.body["input"] == ["c"]
    assert np.allclose(second.vectors[0], first.vectors[1])


async def test_models_and_dimensions_do_not_share_cached_vectors(client_of, server):
    """Another model or length is another vector."""
    async with client_of(server, vectors=EmbeddingCache()) as llm:
        await llm.get_embeddings(["a"])
        assert (await llm.get_embeddings(["a"], dimensions=8)).vectors.shape == (1, 8)
        assert (await llm.get_embeddings(["a"], model="text-embedding-3-large")).cached == 0


@pytest.mark.parametrize("fault", [faults.malformed_body(), faults.empty_choices()])
async def test_broken_answers_are_typed(client, server, fault):
    """A body that is no list of vectors is a response error."""
    server.fail(fault)
    with pytest.raises(LLMResponseError):
        await client.get_embeddings(["a"])


async def test_embeddings_count_against_a_budget(client):
    """Their real cost is booked."""
    async with client.budget(usd=0.01) as budget:
        batch = await client.get_embeddings(["some words to embed"])
    assert budget.spent == batch.cost_usd > 0
    assert budget.reserved == 0


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_the_hash_fallback_is_deterministic_and_normalised(texts):
    """The same text gives the same vector of length 1, in any batch."""
    vectors = hash_embeddings(texts, 64)
    assert (vectors == hash_embeddings(texts, 64)).all()
    assert (vectors[0] == hash_embeddings(texts[:1], 64)[0]).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_the_hash_fallback_finds_what_is_alike():
    """Texts that share words are nearer than texts that do not."""
    ask, near, far = hash_embeddings(
        ["refund policy for orders", "the policy of refunds", "quantum chromodynamics"]
    )
    assert ask @ near > ask @ far


async def test_a_text_that_has_no_bytes_is_refused(client):
    """Half of a surrogate pair cannot be sent; the error is ours."""
    with pytest.raises(ConfigurationError, match="JSON"):
        await client.get_embeddings(["\ud800"])
