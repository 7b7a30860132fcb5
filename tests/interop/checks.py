"""What is checked of servers that others wrote: calls, and what must be true of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from agentinfra import AsyncLLMClient, LLMError, LLMStreamInterruptedError

HELLO = [{"role": "user", "content": "hello"}]
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
LONG = [{"role": "user", "content": "hello " * 3000}]
WEATHER = {
    "title": "get_weather",
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
    "additionalProperties": False,
}
DEFINITION = {
    "type": "function",
    "function": {"name": WEATHER["title"], "parameters": WEATHER, "strict": True},
}


@dataclass(frozen=True, kw_only=True)
class City:
    """A value whose parts a small model cannot miss."""

    name: Literal["Paris", "Rome"]
    capital: bool


PARIS = '{"location": "Paris"}'
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": WEATHER["title"], "arguments": PARIS},
}
ROME = [
    {"role": "user", "content": "What is the weather in Paris?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": CALL["id"], "content": "rainy"},
    {"role": "assistant", "content": "It is rainy in Paris."},
    {"role": "user", "content": "What is the weather in Rome?"},
]
"""A question that wants a call; a small model calls where it sees that it did before."""

SURE: dict[str, Any] = {"temperature": 0, "max_tokens": 96}
"""What makes a small model do the same every time, and end."""

Check: TypeAlias = Callable[[AsyncLLMClient], Awaitable[None]]


async def chat(llm: AsyncLLMClient) -> None:
    """Get a whole answer with its usage."""
    reply = await llm.chat_completion(HELLO, max_tokens=16)
    assert reply.text
    assert reply.finish_reason in ("stop", "length")
    assert reply.raw is not None


async def stream(llm: AsyncLLMClient) -> None:
    """Get the same in pieces."""
    async with await llm.chat_completion(HELLO, stream=True, max_tokens=16) as pieces:
        texts = [piece.text async for piece in pieces]
    reply = await pieces.response()
    assert "".join(texts) == reply.text
    assert reply.finish_reason in ("stop", "length")


async def usage(llm: AsyncLLMClient) -> None:
    """Get the tokens as the server counted them, of a whole answer and of one in pieces."""
    whole = (await llm.chat_completion(FRANCE, **SURE)).usage
    pieces = await llm.chat_completion(FRANCE, stream=True, **SURE)
    streamed = (await pieces.response()).usage
    assert whole.prompt_tokens == streamed.prompt_tokens > 0
    assert whole.completion_tokens > 0
    assert streamed.completion_tokens > 0
    assert not whole.estimated
    assert not streamed.estimated


async def sense(llm: AsyncLLMClient) -> None:
    """Get a right answer, so that what was asked is what the model read."""
    reply = await llm.chat_completion(FRANCE, **SURE)
    assert "Paris" in (reply.text or ""), reply.text
    assert reply.finish_reason == "stop"


async def tools(llm: AsyncLLMClient) -> None:
    """Get arguments, by whatever mode the server knows."""
    reply = await llm.chat_completion_with_tools(ROME, [WEATHER], **SURE)
    assert isinstance(reply.parsed["location"], str)


async def tool_stream(llm: AsyncLLMClient) -> None:
    """Get a call in pieces and put it together."""
    more: dict[str, Any] = {"tools": [DEFINITION], "tool_choice": "required", **SURE}
    pieces = await llm.chat_completion(ROME, stream=True, **more)
    (call,) = (await pieces.response()).tool_calls
    assert call.name == WEATHER["title"]
    assert isinstance(llm.extract_json(call.arguments)["location"], str)


async def turns(llm: AsyncLLMClient) -> None:
    """Send a call's result back and get an answer to it."""
    more: dict[str, Any] = {"tools": [DEFINITION], **SURE}
    asked = await llm.chat_completion(ROME, tool_choice="required", **more)
    (call,) = asked.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    answered = await llm.chat_completion([*ROME, asked.message, result], tool_choice="none", **more)
    assert answered.finish_reason in ("stop", "length")
    assert answered.text


async def values(llm: AsyncLLMClient) -> None:
    """Get an object of a type, whole and as it comes."""
    assert isinstance(await llm.structured(FRANCE, City, **SURE), City)
    async with llm.structured_stream(FRANCE, City, **SURE) as growing:
        states = [state async for state in growing]
    assert states
    assert isinstance(await growing.value(), City)


async def embeddings(llm: AsyncLLMClient) -> None:
    """Get one vector for each text."""
    batch = await llm.get_embeddings(["a", "b"])
    assert len(batch.vectors) == 2


async def meaning(llm: AsyncLLMClient) -> None:
    """Get vectors that tell what is meant, of many texts."""
    texts = ["a cat sleeps", "the kitten is asleep", "interest rates rise", *map(str, range(200))]
    vectors = (await llm.get_embeddings(texts)).vectors
    assert len(vectors) == len(texts)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


async def ready(llm: AsyncLLMClient) -> None:
    """Find that calls would work, by a probe that costs no token."""
    health = await llm.probe(thorough=True)
    assert health.state == "ready" or "chat works there" in health.reason, health.reason


def typed(check: Check) -> Check:
    """Return a check that the same works, or ends in an error of ours."""

    async def either(llm: AsyncLLMClient) -> None:
        with suppress(LLMError):
            await check(llm)

    either.__name__ = f"{check.__name__} or a typed error"
    return either


def fails(*kinds: str, streamed: bool = False, **asked: Any) -> Check:
    """Return a check that a call ends in one of these errors."""

    async def check(llm: AsyncLLMClient) -> None:
        try:
            reply = await llm.chat_completion(**{"messages": HELLO, **asked}, stream=streamed)
            if streamed:
                await reply.response()
        except LLMError as error:
            cause = error.__cause__ if isinstance(error, LLMStreamInterruptedError) else error
            assert {type(error).__name__, type(cause).__name__} & set(kinds), repr(error)
        else:
            raise AssertionError("no error")

    check.__name__ = f"{'stream ' if streamed else ''}{kinds[0]}"
    return check


OVERFLOW = (
    fails("ContextLengthError", messages=LONG),
    fails("ContextLengthError", messages=LONG, streamed=True),
)
"""A prompt that is longer than the context."""

CHAOS: dict[str, tuple[Check, ...]] = {
    "drop": (fails("ServerError"), fails("ServerError", streamed=True)),
    "malformed": (fails("LLMResponseError"), fails("LLMResponseError", streamed=True)),
    "disconnect": (fails("LLMConnectionError"), fails("LLMConnectionError", streamed=True)),
    "ratelimit": (fails("RateLimitedError"), fails("RateLimitedError", streamed=True)),
}
"""What aimock plays on a call, and how it must end."""
