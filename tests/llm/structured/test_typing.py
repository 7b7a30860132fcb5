"""What type checkers see: the type that is asked for is the type that comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"

PROGRAM = """
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict, assert_type

from agentinfra import AsyncLLMClient, LLMResponse

class Route(BaseModel):
    agent: str

@dataclass
class Point:
    x: float

class Row(TypedDict):
    a: int

M = [{"role": "user", "content": "x"}]

def lookup(city: str) -> str:
    return city

async def main(llm: AsyncLLMClient) -> None:
    assert_type(await llm.structured(M, Route), Route)
    assert_type(await llm.structured(M, Point), Point)
    assert_type(await llm.structured(M, Row), Row)
    assert_type(await llm.structured(M, list[Route]), list[Route])
    assert_type(await llm.structured(M, int, repair_rounds=2, temperature=0.1), int)
    assert_type(await llm.structured(M, TypeAdapter(dict[str, int])), dict[str, int])
    anything: Any = await llm.structured(M, {"type": "object"})
    anything = await llm.structured(M, Route | Point)
    anything = await llm.structured(M, lookup)
    print(anything)
    async with llm.structured_stream(M, Route) as stream:
        async for route in stream:
            assert_type(route, Route)
        assert_type(await stream.value(), Route)
    assert_type(await llm.chat_completion(M, response_format=Route), LLMResponse)
    reply = await llm.chat_completion_with_tools(M, [Route, lookup], tool_choice="auto")
    assert_type(reply, LLMResponse)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "checker",
    [
        ["mypy", "--strict", "--cache-dir", ".mypy_cache"],
        ["pyright", "--pythonpath", sys.executable],
    ],
    ids=lambda checker: checker[0],
)
def test_the_type_asked_for_is_the_type_given(checker, tmp_path):
    """For mypy and for pyright, whatever is given."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    if checker[0] == "pyright":
        (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(SOURCE)]}))
        given = ["--project", str(tmp_path)]
    else:
        given = [str(program)]
    done = subprocess.run(
        [sys.executable, "-m", *checker, *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
