"""Lines are read on every kind of event loop."""

import asyncio
import os

import pytest

from agentinfra.cli.questions import listed, typed
from agentinfra.errors import ConfigurationError


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop that watches no files, as Windows' is."""

    def add_reader(self, *_):
        raise NotImplementedError


async def _read(writing):
    lines = typed(prompt=lambda: None)
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    os.write(writing, b"hello\n")
    assert await first == "hello"
    os.write(writing, b"again\n\n")
    return [line async for line in lines]


@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, WithoutReaders])
def test_lines_are_read(kind, monkeypatch):
    """Where the loop cannot watch standard input, a thread reads it."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, asyncio.Runner(loop_factory=kind) as runner:
        monkeypatch.setattr("sys.stdin", pipe)
        assert runner.run(_read(writing)) == ["again"]
        os.close(writing)


def test_nobody_types_where_there_is_no_input(monkeypatch):
    """A program started without standard input has no questions."""
    monkeypatch.setattr("sys.stdin", None)

    async def read():
        return [line async for line in typed(prompt=lambda: None)]

    assert asyncio.run(read()) == []


def test_questions_of_a_file(tmp_path):
    """Blank lines and a byte order mark are none of them."""
    file = tmp_path / "questions.txt"
    file.write_bytes("\ufeffWhy?\n\n How? \n".encode())
    assert listed([" Who? "], file) == ["Who?", "Why?", "How?"]


def test_an_empty_question_is_refused():
    """Nothing would be answered, and the status would say that all was."""
    with pytest.raises(ConfigurationError, match="--ask is empty"):
        listed(["Who?", " "], None)
