"""The OpenAI Agents SDK, over both of its models."""

import asyncio

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

from report import ROME, report

set_tracing_disabled(True)


class City(BaseModel):
    name: str
    population: int


@function_tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def agent(kind, **options):
    return Agent(name="a", model=kind("gpt-4o", AsyncOpenAI(max_retries=0)), **options)


def answers(kind):
    async def check():
        assert (await Runner.run(agent(kind), "hello")).final_output

    return lambda: asyncio.run(check())


def streams(kind):
    async def check():
        result = Runner.run_streamed(agent(kind), "hello")
        assert [event async for event in result.stream_events()]
        assert result.final_output

    return lambda: asyncio.run(check())


def calls(kind):
    async def check():
        result = await Runner.run(agent(kind, tools=[get_weather]), "What is the weather?")
        assert "Rome" in result.final_output

    return lambda: asyncio.run(check())


def structures(kind):
    async def check():
        result = await Runner.run(agent(kind, output_type=City), "Rome")
        assert result.final_output == City(**ROME)

    return lambda: asyncio.run(check())


report(
    {
        "chat": answers(OpenAIChatCompletionsModel),
        "stream": streams(OpenAIChatCompletionsModel),
        "tools": calls(OpenAIChatCompletionsModel),
        "structured": structures(OpenAIChatCompletionsModel),
        "responses": answers(OpenAIResponsesModel),
        "responses stream": streams(OpenAIResponsesModel),
        "responses tools": calls(OpenAIResponsesModel),
        "responses structured": structures(OpenAIResponsesModel),
    }
)
