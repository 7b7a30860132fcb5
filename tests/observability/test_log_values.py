from __future__ import annotations

import json
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from agentinfra.observability.logging import Logging, get_logger
from agentinfra.settings import LoggingSettings

log = get_logger("values")


class Hostile:
    """Fails at whatever is asked of it."""

    def __repr__(self):
        raise RuntimeError("repr")

    def __str__(self):
        raise RuntimeError("str")

    def __hash__(self):
        return 1

    def __eq__(self, other):
        raise RuntimeError("eq")

    def __bool__(self):
        raise RuntimeError("bool")

    def __len__(self):
        raise RuntimeError("len")

    def __iter__(self):
        raise RuntimeError("iter")

    def __float__(self):
        raise RuntimeError("float")


class HostileError(Exception):
    __str__ = __repr__ = Hostile.__repr__


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]))
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.builds(Hostile)
    | st.builds(HostileError)
    | st.sampled_from([object(), int, len, range(3), Ellipsis, NotImplemented, OrderedDict(a=1)])
)
keys = st.text(st.characters()) | st.integers() | st.none() | st.binary() | st.tuples(st.text())
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner),
    max_leaves=12,
)
names = st.text(st.characters() | st.characters(categories=["Cs"]), min_size=1)
fields = st.dictionaries(names, values, max_size=5)


@given(event=st.text(st.characters()) | leaves, fields=fields)
async def test_any_event_is_one_line_of_json(event, fields):
    """Whatever is logged gives one line that a JSON parser reads, and raises nothing."""
    stream = _Lines()
    async with Logging(LoggingSettings(json_output=True), stream=stream) as logging:
        log.info(event, **fields)
        log.error(event, exc_info=HostileError(), **fields)
    assert logging.dropped == 0
    text = "".join(stream.written)
    assert text.count("\n") == 2
    text.encode()
    first, second = (json.loads(line) for line in text.split("\n") if line)
    assert len(first) == 4 + len(fields) - ("exc_info" in fields)
    assert second["exception"]["type"].endswith("HostileError")


@given(event=st.text(st.characters()) | leaves, fields=fields)
async def test_any_event_is_one_line_of_text(event, fields):
    """As text, too, an event is one line of printable characters, and raises nothing."""
    stream = _Lines()
    async with Logging(LoggingSettings(json_output=False), stream=stream) as logging:
        log.info(event, **fields)
    assert logging.dropped == 0
    text = "".join(stream.written)
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    text.encode()


class _Lines:
    encoding = "utf-8"

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)

    def flush(self) -> None:
        pass
