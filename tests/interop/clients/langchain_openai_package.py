"""LangChain's client for OpenAI."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from report import ROME, report

chat_model = ChatOpenAI(model="gpt-4o", max_retries=0, use_responses_api=False)
responses_model = ChatOpenAI(model="gpt-4o", max_retries=0, use_responses_api=True)


class City(BaseModel):
    """A city."""

    name: str
    population: int


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def answers(model):
    return lambda: _said(model.invoke("hello").text)


def streams(model):
    return lambda: _said("".join(chunk.text for chunk in model.stream("hello")))


def calls(model):
    def check():
        bound = model.bind_tools([get_weather])
        asked = HumanMessage("What is the weather?")
        first = bound.invoke([asked])
        result = get_weather.invoke(first.tool_calls[0])
        assert isinstance(result, ToolMessage)
        _said(bound.invoke([asked, first, result]).text)

    return check


def structures(model):
    return lambda: _same(model.with_structured_output(City).invoke("Rome"))


def _said(text):
    assert text


def _same(city):
    assert city == City(**ROME), city


def embeddings():
    embedder = OpenAIEmbeddings(check_embedding_ctx_length=False, max_retries=0)
    assert len(embedder.embed_documents(["a", "b"])[0]) == 1536


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
        "embeddings": embeddings,
    }
)
