"""A value as it comes: partial objects of the caller's class, the whole one last."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_support import HELLO
from pydantic import BaseModel, Field

from agentinfra.errors import StructuredOutputError
from agentinfra.llm.structured.partial import PartialText, partial_of
from agentinfra.testing import faults
from agentinfra.testing.replies import Reply


class Item(BaseModel):
    name: str
    price: float = 1.0


class Report(BaseModel):
    title: str
    items: list[Item] = Field(default_factory=list)
    best: Item | None = None


@dataclasses.dataclass
class Line:
    start: Item
    rest: dict[str, Item] = dataclasses.field(default_factory=dict)


WHOLE = {"title": "A title of some length", "items": [{"name": "a", "price": 2}], "best": None}


@pytest.fixture(params=["chat", "responses"])
async def asked(request, client_of, server):
    async with client_of(server, max_attempts=1, api=request.param) as client:
        yield client


async def test_partial_objects_come_first_and_the_whole_one_last(asked, server):
    """Each has a little more than the one before; missing fields are None or their defaults."""
    server.script(Reply.calling("Report", **WHOLE))
    seen = []
    async with asked.structured_stream(HELLO, Report) as stream:
        async for report in stream:
            assert isinstance(report, Report)
            seen.append(report)
    assert len(seen) > 2
    assert seen[0].items == []
    assert WHOLE["title"].startswith(seen[0].title)
    assert seen[-1] == Report(**WHOLE) == await stream.value()
    assert stream.reply.cost_usd is not None


async def test_the_whole_value_can_be_waited_for(asked, server):
    """Without looking at what is partial; the list is unwrapped on its way."""
    server.script(Reply.calling("answer", value=[{"name": "a"}]))
    assert await asked.structured_stream(HELLO, list[Item]).value() == [Item(name="a")]
    server.script(Reply.calling("answer", value=[{"name": "a"}, {"name": "b"}]))
    seen = [value async for value in asked.structured_stream(HELLO, list[Item])]
    assert all(isinstance(item, Item) for value in seen for item in value)
    assert seen[-1] == [Item(name="a"), Item(name="b")]


async def test_null_in_place_of_a_default_is_the_default(asked, server):
    """In the partial objects as in the whole one."""
    server.script(Reply.calling("Report", title="A", items=None, best=None))
    seen = [report.items async for report in asked.structured_stream(HELLO, Report)]
    assert seen
    assert all(items == [] for items in seen)


async def test_a_text_is_partial_as_well(client, server):
    """Where the endpoint takes no tools the value is in the text, in a fence perhaps."""
    refuse = faults.status(400, {"error": {"message": "tools are not supported"}})
    server.fail_always(refuse, when=lambda record: bool(record.body and record.body.get("tools")))
    text = f"```json\n{json.dumps(WHOLE)}\n```"
    server.script(Reply(text=text, chunks=[text[n : n + 5] for n in range(0, len(text), 5)]))
    seen = [report async for report in client.structured_stream(HELLO, Report)]
    assert len(seen) > 3
    assert seen[-1] == Report(**WHOLE)


async def test_a_whole_value_that_does_not_fit_is_put_right(asked, server):
    """The next round is not streamed; all rounds are paid for in the reply."""
    server.script(Reply.calling("Report", title=5), Reply.calling("Report", **WHOLE))
    stream = asked.structured_stream(HELLO, Report)
    assert await stream.value() == Report(**WHOLE)
    assert stream.reply.attempts == 2
    server.script(Reply.calling("Report", title=5))
    with pytest.raises(StructuredOutputError) as caught:
        await asked.structured_stream(HELLO, Report, repair_rounds=0).value()
    assert caught.value.attempts == 1


async def test_a_stream_that_is_left_is_closed_and_booked(client, server):
    """Nothing is sent before it is entered; leaving it early costs what came."""
    stream = client.structured_stream(HELLO, Report)
    assert server.ledger.count() == 0
    server.script(Reply.calling("Report", **WHOLE))
    async with client.budget(usd=1) as budget:
        async with stream:
            async for report in stream:
                assert report.title is not None
                break
        assert budget.reserved == 0
        assert budget.spent > 0
    assert stream.reply is None


def test_partial_objects_are_of_the_types_inside():
    """Of models, dataclasses, lists and mappings; a choice among several types stays plain."""
    line = partial_of(Line, {"start": {"name": "a"}, "rest": {"x": {"price": 2}}})
    assert (line.start, line.rest["x"].price, line.rest["x"].name) == (Item(name="a"), 2, None)
    assert partial_of(Line, {}).start is None
    assert partial_of(Report, {"best": {"name": "b"}}).best == Item(name="b")
    assert partial_of(Item | Line, {"name": "x"}) == {"name": "x"}
    assert partial_of({"type": "object"}, {"a": 1}) == {"a": 1}


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ).filter(lambda value: isinstance(value, list | dict)),
    st.integers(1, 7),
)
def test_partial_values_are_beginnings_of_the_whole(value, step):
    """Read piece by piece, no partial value says what the whole one does not."""
    text, reader = json.dumps(value), PartialText()
    for place in range(0, len(text), step):
        more, so_far = reader.add(text[place : place + step])
        if more:
            assert _begins(so_far, value)


def _begins(part, whole):
    if isinstance(part, dict):
        return all(key in whole and _begins(item, whole[key]) for key, item in part.items())
    if isinstance(part, list):
        return len(part) <= len(whole) and all(map(_begins, part, whole))
    if isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    return part == whole or (isinstance(part, int) and str(whole).startswith(str(part)))
