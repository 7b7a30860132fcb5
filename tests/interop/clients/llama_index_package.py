"""LlamaIndex's client for servers like OpenAI's."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from report import ROME, report

ADDRESS = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": "x"}
llm = OpenAILike(
    model="gpt-4o",
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=128_000,
    max_retries=0,
    **ADDRESS,
)
HELLO = [ChatMessage(role="user", content="hello")]


class City(BaseModel):
    """A city."""

    name: str
    population: int


def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def chat():
    assert llm.chat(HELLO).message.content


def stream():
    assert "".join(chunk.delta or "" for chunk in llm.stream_chat(HELLO))


def tools():
    reply = llm.predict_and_call([FunctionTool.from_defaults(get_weather)], "The weather?")
    assert "Rome" in str(reply)


def structured():
    assert llm.as_structured_llm(City).chat(HELLO).raw == City(**ROME)


def embeddings():
    embedder = OpenAILikeEmbedding(model_name="m", **ADDRESS)
    assert len(embedder.get_text_embedding_batch(["a", "b"])[0]) == 1536


report(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "structured": structured,
        "embeddings": embeddings,
    }
)
