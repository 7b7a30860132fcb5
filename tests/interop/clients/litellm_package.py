"""LiteLLM, told that the server is OpenAI's."""

import json

import litellm
from pydantic import BaseModel

from report import ROME, report

HELLO = [{"role": "user", "content": "hello"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "parameters": PARAMETERS}
MODEL = "openai/gpt-4o"


class City(BaseModel):
    name: str
    population: int


def chat():
    assert litellm.completion(model=MODEL, messages=HELLO).choices[0].message.content


def stream():
    chunks = litellm.completion(model=MODEL, messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def tools():
    offered = [{"type": "function", "function": TOOL}]
    reply = litellm.completion(model=MODEL, messages=HELLO, tools=offered)
    call = reply.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*HELLO, reply.choices[0].message, result]
    assert litellm.completion(model=MODEL, messages=messages, tools=offered)


def structured():
    reply = litellm.completion(model=MODEL, messages=HELLO, response_format=City)
    assert json.loads(reply.choices[0].message.content) == ROME


def responses():
    assert litellm.responses(model=MODEL, input="hello").output_text


def responses_stream():
    kinds = [event.type for event in litellm.responses(model=MODEL, input="hello", stream=True)]
    assert kinds[-1] == "response.completed"


def responses_tools():
    offered = [{"type": "function", **TOOL, "strict": False}]
    assert litellm.responses(model=MODEL, input="hello", tools=offered).output


def embeddings():
    assert litellm.embedding(model="openai/text-embedding-3-small", input=["a", "b"]).data


report(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "structured": structured,
        "responses": responses,
        "responses stream": responses_stream,
        "responses tools": responses_tools,
        "embeddings": embeddings,
    }
)
