"""Agents made with different clients, put through the faults: ``python agents.py NAME``.

Runs in an environment that has the client and this project, and prints as JSON what
``assert_resilient`` counts, for answers in one piece and for streams. Each client has its own
retries and half a second for an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from agentinfra.testing import assert_resilient

HELLO = [{"role": "user", "content": "hello"}]
TIMEOUT = 0.5
PATIENCE = 30.0
Agent: TypeAlias = "Callable[[str], Awaitable[Any]]"


def ours() -> Mapping[str, Agent]:
    from agentinfra import AsyncLLMClient
    from agentinfra.settings import LLMSettings

    def opened(url: str) -> AsyncLLMClient:
        return AsyncLLMClient(LLMSettings(base_url=url, api_key="x", timeout=TIMEOUT))

    async def chat(url: str) -> str:
        async with opened(url) as llm:
            return (await llm.chat_completion(HELLO)).text

    async def stream(url: str) -> str:
        async with opened(url) as llm:
            chunks = await llm.chat_completion(HELLO, stream=True)
            return "".join([chunk.text async for chunk in chunks])

    return {"chat": chat, "stream": stream}


def bare_openai() -> Mapping[str, Agent]:
    from openai import AsyncOpenAI

    def opened(url: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=url, api_key="x", timeout=TIMEOUT)

    async def chat(url: str) -> str:
        async with opened(url) as client:
            reply = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
            return reply.choices[0].message.content

    async def stream(url: str) -> str:
        async with opened(url) as client:
            chunks = await client.chat.completions.create(
                model="gpt-4o", messages=HELLO, stream=True
            )
            return "".join([text async for chunk in chunks for text in _texts(chunk)])

    return {"chat": chat, "stream": stream}


def langchain() -> Mapping[str, Agent]:
    from langchain_openai import ChatOpenAI

    def opened(url: str) -> ChatOpenAI:
        return ChatOpenAI(model="gpt-4o", base_url=url, api_key="x", timeout=TIMEOUT)

    async def chat(url: str) -> str:
        model = opened(url)
        try:
            return (await model.ainvoke("hello")).text
        finally:
            await model.root_async_client.close()

    async def stream(url: str) -> str:
        model = opened(url)
        try:
            return "".join([chunk.text async for chunk in model.astream("hello")])
        finally:
            await model.root_async_client.close()

    return {"chat": chat, "stream": stream}


def litellm() -> Mapping[str, Agent]:
    import litellm as package

    given = {"model": "openai/gpt-4o", "messages": HELLO, "api_key": "x", "timeout": TIMEOUT}

    async def chat(url: str) -> str:
        try:
            reply = await package.acompletion(base_url=url, **given)
            return reply.choices[0].message.content
        finally:
            await package.close_litellm_async_clients()
            package.in_memory_llm_clients_cache.flush_cache()

    async def stream(url: str) -> str:
        try:
            chunks = await package.acompletion(base_url=url, stream=True, **given)
            return "".join([text async for chunk in chunks for text in _texts(chunk)])
        finally:
            await package.close_litellm_async_clients()
            package.in_memory_llm_clients_cache.flush_cache()

    return {"chat": chat, "stream": stream}


def pydantic_ai() -> Mapping[str, Agent]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def agent(client: AsyncOpenAI) -> PydanticAgent:
        return PydanticAgent(
            OpenAIChatModel("gpt-4o", provider=OpenAIProvider(openai_client=client))
        )

    async def chat(url: str) -> str:
        async with AsyncOpenAI(base_url=url, api_key="x", timeout=TIMEOUT) as client:
            return (await agent(client).run("hello")).output

    async def stream(url: str) -> str:
        async with (
            AsyncOpenAI(base_url=url, api_key="x", timeout=TIMEOUT) as client,
            agent(client).run_stream("hello") as result,
        ):
            return "".join([text async for text in result.stream_text(delta=True)])

    return {"chat": chat, "stream": stream}


def _texts(chunk: Any) -> list[str]:
    return [choice.delta.content or "" for choice in chunk.choices]


AGENTS = {
    "agentinfra": ours,
    "openai": bare_openai,
    "langchain": langchain,
    "litellm": litellm,
    "pydantic-ai": pydantic_ai,
}


async def main(name: str) -> dict[str, dict[str, Any]]:
    """Return what each way of asking ends in, with what went wrong."""
    found = {}
    for way, agent in AGENTS[name]().items():
        table = await assert_resilient(agent, patience=PATIENCE, raises=False)
        sys.stderr.write(f"{name}, {way}\n{table}\n\n")
        found[way] = {"runs": len(table.outcomes), **table.counts()}
    return found


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.stdout.write("\n" + json.dumps(asyncio.run(main(sys.argv[1]))) + "\n")
