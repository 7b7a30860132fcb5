"""What cannot be sent is refused before it is, by an error that names it and what to do."""

import math
from decimal import Decimal

import numpy as np
import pytest
from langchain_core.messages import HumanMessage, convert_to_openai_messages
from llm_support import HELLO

from agentinfra.errors import ConfigurationError

WRONG = {
    "a time in words": ({"timeout": "3"}, "timeout is '3'"),
    "a time that is none": ({"deadline": math.nan}, "deadline is nan"),
    "a truth for a time": ({"timeout": True}, "timeout is True"),
    "a model that is no name": ({"model": 5}, "model is 5"),
    "a number that JSON has not": ({"temperature": math.inf}, "temperature is inf"),
    "a key of the client": ({"api_key": "sk-secret"}, "Settings.llm.api_key"),
    "an address of the client": ({"base_url": "http://x"}, "Settings.llm.base_url"),
    "retries of the client": ({"max_retries": 2}, "Settings.llm.max_attempts"),
    "a broken header": ({"extra_headers": {"X-A": "sk-secret\nX-B: 1"}}, "X-A holds a line break"),
    "a header of numbers": ({"extra_headers": {"X-A": 5}}, "X-A is int"),
    "a header without a name": ({"extra_headers": {"X A": "1"}}, "'X A' is no name"),
}
MESSAGES = {
    "bytes": ([{"role": "user", "content": b"hello"}], r"messages\[0\] has bytes"),
    "LangChain's": ([HumanMessage("hello")], "convert_to_openai_messages"),
    "a generator": ((message for message in HELLO), "messages must be a list"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_options_that_cannot_be_sent(client, server, name):
    """Nothing is sent, nothing raw comes out, and a secret is not repeated."""
    options, said = WRONG[name]
    with pytest.raises(ConfigurationError, match=said) as caught:
        await client.chat_completion(HELLO, **options)
    assert "sk-secret" not in str(caught.value)
    assert server.ledger.count() == 0


@pytest.mark.parametrize("name", MESSAGES)
async def test_messages_that_are_none(client, server, name):
    """The error says how they are to be written."""
    messages, said = MESSAGES[name]
    with pytest.raises(ConfigurationError, match=said):
        await client.chat_completion(messages)
    assert server.ledger.count() == 0


async def test_langchains_messages_go_once_they_are_converted(client, server):
    """The function that the error names is the one that helps."""
    await client.chat_completion(convert_to_openai_messages([HumanMessage("hello")]))
    assert server.ledger.last.body["messages"] == HELLO


async def test_numbers_of_every_make_are_numbers(client, server):
    """Decimals and numpy's go out as what they are."""
    await client.chat_completion(HELLO, temperature=Decimal("0.5"), top_p=np.float32(0.5))
    body = server.ledger.last.body
    assert (body["temperature"], body["top_p"]) == (0.5, 0.5)


async def test_texts_that_come_one_by_one(client):
    """A generator of texts is as good as their list; what gives none is refused."""
    batch = await client.get_embeddings(f"text {n}" for n in range(3))
    assert len(batch) == 3
    with pytest.raises(ConfigurationError, match="texts is 5"):
        await client.get_embeddings(5)
