"""Embeddings over HTTP, and what is near to what."""

from __future__ import annotations

import base64
import math

import numpy as np
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.testing.apis.embeddings import Embedder

SMALL = "text-embedding-3-small"

DOCUMENTS = {
    "refunds": "Customers may return unused items within 30 days of delivery and get a refund to "
    "the original payment method. Refunds are processed within five working days.",
    "shipping": "Standard shipping takes three to five working days within Europe. Express orders "
    "placed before noon are delivered on the next day.",
    "passwords": "Passwords need at least twelve characters. After five failed attempts an account "
    "is locked; the help desk can reset it.",
    "vacation": "Employees have thirty days of paid vacation a year. Requests go to the manager "
    "at least two weeks ahead.",
    "expenses": "Travel expenses are reimbursed when receipts are handed in within a month. Hotels "
    "above 150 euros a night need approval.",
}
QUESTIONS = {
    "How do I return an item and get a refund?": "refunds",
    "When will my express order be delivered?": "shipping",
    "My account is locked after too many failed password attempts": "passwords",
    "how many vacation days do employees have": "vacation",
    "Which hotel expenses need an approval?": "expenses",
}


async def test_shape_and_order(client):
    """There is one vector a text, in order, of length 1."""
    reply = await client.embeddings.create(model=SMALL, input=["a", "b", "a"])
    assert [item.index for item in reply.data] == [0, 1, 2]
    first, second, third = (np.array(item.embedding) for item in reply.data)
    assert first.shape == (1536,)
    assert np.allclose([first @ first, second @ second], 1.0)
    assert (first == third).all()
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("model", "size"), [(SMALL, 1536), ("text-embedding-3-large", 3072), ("other", 1536)]
)
async def test_default_dimensions(client, model, size):
    """A model has the dimensions that OpenAI's has; an unknown one has 1536."""
    reply = await client.embeddings.create(model=model, input="x")
    assert len(reply.data[0].embedding) == size


async def test_float_and_base64_are_the_same(client):
    """Both formats hold the same 32-bit floats."""
    floats = await client.embeddings.create(model=SMALL, input="some text", encoding_format="float")
    packed = await client.embeddings.with_raw_response.create(
        model=SMALL, input="some text", encoding_format="base64"
    )
    raw = packed.http_response.json()["data"][0]["embedding"]
    decoded = np.frombuffer(base64.b64decode(raw), "<f4")
    assert (decoded == np.array(floats.data[0].embedding, np.float32)).all()


@pytest.mark.parametrize("size", [1, 8, 256, 384, 1000, 4096])
async def test_dimensions(client, size):
    """Any number of dimensions can be asked for; the vector still has length 1."""
    reply = await client.embeddings.create(model="other", input="some text", dimensions=size)
    vector = np.array(reply.data[0].embedding)
    assert vector.shape == (size,)
    assert math.isclose(vector @ vector, 1.0, rel_tol=1e-5)


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2, 3], [4]]], ids=["one", "several"])
async def test_tokens_are_taken(client, given):
    """Lists of tokens are embedded as texts are."""
    reply = await client.embeddings.create(model=SMALL, input=given)
    assert len(reply.data) == (1 if isinstance(given[0], int) else 2)
    assert reply.usage.prompt_tokens == sum(map(len, given if len(reply.data) > 1 else [given]))


@pytest.mark.parametrize(
    ("model", "size"),
    [(SMALL, 1537), ("text-embedding-3-large", 3073), ("text-embedding-ada-002", 8)],
)
async def test_too_many_dimensions(client, model, size):
    """OpenAI's models refuse more dimensions than they have, and the old one to have any."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model=model, input="x", dimensions=size)
    assert caught.value.param == "dimensions"


async def test_usage(client):
    """A text costs a quarter of its characters, at least one token."""
    reply = await client.embeddings.create(model=SMALL, input=["x" * 40, "y"])
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (11, 11)


@pytest.mark.parametrize("size", [None, 256, 128])
@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_find_their_document(question, size):
    """A question is nearest to the document that answers it, in few dimensions too."""
    embedder = Embedder()
    asked = embedder.embed(question, model=SMALL, dimensions=size)
    score = {
        name: float(asked @ embedder.embed(text, model=SMALL, dimensions=size))
        for name, text in DOCUMENTS.items()
    }
    assert max(score, key=score.get) == QUESTIONS[question]


def test_forms_of_a_word_are_near():
    """Plural, case, punctuation and endings hardly matter; other words do."""
    embedder = Embedder()

    def near(one, other):
        return float(embedder.embed(one, model=SMALL) @ embedder.embed(other, model=SMALL))

    assert near("refund policy", "Refund policies!") > 0.95
    assert near("shipping an order", "shipped orders") > 0.7
    assert near("refund policy", "the weather in Rome") < 0.2


def test_prefix_is_the_smaller_vector():
    """The first dimensions of a vector, scaled, are the vector of that many dimensions."""
    embedder = Embedder()
    whole = embedder.embed("some words to embed", model=SMALL)
    small = embedder.embed("some words to embed", model=SMALL, dimensions=512)
    assert np.allclose(whole[:512] / np.linalg.norm(whole[:512]), small, atol=1e-6)


def test_models_have_nothing_in_common():
    """Another model's vector of the same text is a stranger."""
    embedder = Embedder()
    one = embedder.embed("some words to embed", model="one")
    other = embedder.embed("some words to embed", model="other")
    assert abs(float(one @ other)) < 0.2


@settings(max_examples=50)
@given(st.text(min_size=1), st.integers(1, 2000))
def test_every_text_has_a_vector(text, size):
    """Any text has a vector of length 1 without a NaN."""
    vector = Embedder().embed(text, model=SMALL, dimensions=size)
    assert vector.dtype == np.float32
    assert math.isclose(float(vector @ vector), 1.0, rel_tol=1e-4)
