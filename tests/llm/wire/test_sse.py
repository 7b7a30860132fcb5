"""Server-sent events as the WHATWG standard has them, wherever packets end."""

import pytest

from agentinfra.errors import LLMResponseError
from agentinfra.llm.wire import sse
from agentinfra.llm.wire.sse import EventSplitter

STREAMS = {
    "plain": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "no blank": (b"data:a\n\n", [b"a"]),
    "one blank is dropped": (b"data:  a\n\n", [b" a"]),
    "two lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "a line without colon": (b"data\ndata: a\n\n", [b"\na"]),
    "comments": (b": hello\n\n:\n\ndata: a\n: more\n\n", [b"a"]),
    "empty data": (b"data:\n\ndata: \n\ndata\n\ndata: a\n\n", [b"a"]),
    "names and ids": (b"event: x\nid: 1\nretry: 5\ndata: a\n\n", [b"a"]),
    "data after a name": (b"event: x\ndata: {}\n\n", [b"{}"]),
    "name after data": (b"data: {}\nevent: x\n\n", [b"{}"]),
    "other fields": (b"database: x\ndata: a\n\n", [b"a"]),
    "many empty lines": (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    "a mark of order": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "no empty line at the end": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "the end": (b"data: a\n\ndata: [DONE] \n\n", [b"a", b"[DONE] "]),
}


def _split(chunks):
    splitter = EventSplitter()
    found = [event for chunk in chunks for event in splitter.feed(chunk)]
    return found + splitter.flush()


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("name", STREAMS)
def test_events_are_split(name, ends):
    """All three ends of lines, cut at every byte, and byte by byte."""
    data, events = STREAMS[name]
    data = data.replace(b"\n", ends)
    for cut in range(len(data) + 1):
        assert _split((data[:cut], data[cut:])) == events
    assert _split(bytes([byte]) for byte in data) == events


def test_an_event_is_given_as_soon_as_it_is_complete():
    """A lone CR ends its line at once: nobody waits for what may follow."""
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\r") == [b"a"]
    assert splitter.feed(b"\ndata: b\n\n") == [b"b"]


def test_an_event_without_end_is_refused(monkeypatch):
    """It does not fill the memory."""
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    splitter = EventSplitter()
    with pytest.raises(LLMResponseError, match="longer than 100"):
        for _ in range(50):
            splitter.feed(b"data: more and more\n")
