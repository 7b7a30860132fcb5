"""pydantic-ai, over both of its models for OpenAI."""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from report import ROME, report

chat_model = OpenAIChatModel("gpt-4o")
responses_model = OpenAIResponsesModel("gpt-4o")


class City(BaseModel):
    name: str
    population: int


def answers(model):
    def check():
        assert Agent(model).run_sync("hello").output

    return check


def streams(model):
    async def stream():
        async with Agent(model).run_stream("hello") as result:
            assert await result.get_output()

    return lambda: asyncio.run(stream())


def calls(model):
    def check():
        agent = Agent(model)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            return f"sunny in {city}"

        assert "Rome" in agent.run_sync("What is the weather?").output

    return check


def structures(model):
    def check():
        for kind in (City, NativeOutput(City)):
            assert Agent(model, output_type=kind).run_sync("Rome").output == City(**ROME)

    return check


report(
    {
        "chat": answers(chat_model),
        "stream": streams(chat_model),
        "tools": calls(chat_model),
        "structured": structures(chat_model),
        "responses": answers(responses_model),
        "responses stream": streams(responses_model),
        "responses tools": calls(responses_model),
        "responses structured": structures(responses_model),
    }
)
