"""Instructor: structured answers in its modes for OpenAI."""

import instructor
from openai import OpenAI
from pydantic import BaseModel

from report import ROME, report

HELLO = [{"role": "user", "content": "Rome as JSON"}]


class City(BaseModel):
    name: str
    population: int


def client(mode):
    return instructor.from_openai(OpenAI(max_retries=0), mode=mode)


def makes(mode):
    def check():
        made = client(mode).create(
            model="gpt-4o", messages=HELLO, response_model=City, max_retries=0
        )
        assert made.model_dump() == ROME, made

    return check


def streams():
    parts = client(instructor.Mode.TOOLS).create_partial(
        model="gpt-4o", messages=HELLO, response_model=City
    )
    *_, last = parts
    assert last.model_dump() == ROME


report(
    {
        "stream": streams,
        "tools": makes(instructor.Mode.TOOLS),
        "structured": makes(instructor.Mode.JSON_SCHEMA),
        "responses tools": makes(instructor.Mode.RESPONSES_TOOLS),
    }
)
