"""OpenAI's own client for Python."""

import json

from openai import OpenAI
from pydantic import BaseModel

from report import ROME, report

client = OpenAI(max_retries=0)
HELLO = [{"role": "user", "content": "hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "parameters": PARAMETERS}


class City(BaseModel):
    name: str
    population: int


def chat():
    assert client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content


def stream():
    chunks = client.chat.completions.create(model="m", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def tools():
    offered = [{"type": "function", "function": TOOL}]
    reply = client.chat.completions.create(model="m", messages=HELLO, tools=offered)
    call = reply.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*HELLO, reply.choices[0].message, result]
    assert client.chat.completions.create(model="m", messages=messages, tools=offered)


def structured():
    reply = client.chat.completions.parse(model="m", messages=HELLO, response_format=City)
    assert reply.choices[0].message.parsed == City(**ROME)


def responses():
    assert client.responses.create(model="m", input="hello").output_text


def responses_stream():
    with client.responses.stream(model="m", input="hello") as events:
        assert events.until_done().get_final_response().output_text


def responses_tools():
    offered = [{"type": "function", **TOOL, "strict": False}]
    first = client.responses.create(model="m", input="hello", tools=offered)
    result = {
        "type": "function_call_output",
        "call_id": first.output[-1].call_id,
        "output": "sunny",
    }
    assert client.responses.create(
        model="m", input=[result], previous_response_id=first.id, tools=offered
    ).output_text


def responses_structured():
    reply = client.responses.parse(model="m", input="hello", text_format=City)
    assert reply.output_parsed == City(**ROME)


def embeddings():
    assert len(client.embeddings.create(model="m", input=["a", "b"]).data[0].embedding) == 1536


report(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "structured": structured,
        "responses": responses,
        "responses stream": responses_stream,
        "responses tools": responses_tools,
        "responses structured": responses_structured,
        "embeddings": embeddings,
    }
)
