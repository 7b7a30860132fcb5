from __future__ import annotations

import asyncio
import contextvars
import os
import random
import re
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.errors import GraphInterrupt

from agentinfra.observability.metrics import Metrics
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.tracing import (
    FinishedSpan,
    Span,
    Tracing,
    current_span,
    start_span,
    trace_headers,
    traceparent,
)
from agentinfra.settings import TracingSettings

NONE = TracingSettings()


def test_ids_without_anything():
    """Without a runtime, a loop or OpenTelemetry a span has its ids, and is the current one."""
    assert current_span() is None
    with start_span("plan") as span:
        assert re.fullmatch(r"[0-9a-f]{32}", span.trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", span.span_id)
        assert span.parent_id is None
        assert current_span() is span
    assert current_span() is None


def test_seeding_random_does_not_repeat_ids():
    """A program that seeds Python's random numbers gets new ids all the same."""
    random.seed(1)
    with start_span("a") as first:
        pass
    random.seed(1)
    with start_span("a") as second:
        pass
    assert first.trace_id != second.trace_id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forking_does_not_repeat_ids():
    """A forked program makes other ids than the one it was forked from."""
    code = (
        "import os\n"
        "from agentinfra.observability.tracing import start_span\n"
        "child = os.fork()\n"
        "os.write(1, (start_span('a').trace_id + ' ').encode())\n"
        "if child: os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 2


async def test_nesting():
    """A span inside another one has its trace, and it as parent."""
    async with start_span("outer") as outer:
        with start_span("inner") as inner:
            assert (inner.trace_id, inner.parent_id) == (outer.trace_id, outer.span_id)
        with start_span("next") as following:
            assert following.parent_id == outer.span_id
        assert current_span() is outer
    with start_span("other") as other:
        assert other.trace_id != outer.trace_id


async def test_tasks_inherit():
    """Tasks started inside a span are inside it, and what they start stays theirs."""

    async def step(name: str) -> Span:
        async with start_span(name) as span:
            await asyncio.sleep(0)
            assert current_span() is span
        return span

    with start_span("outer") as outer:
        one, two = await asyncio.gather(step("one"), step("two"))
        assert current_span() is outer
    assert one.parent_id == two.parent_id == outer.span_id


async def test_threads_inherit():
    """A thread that works for a task is inside its span, and its spans are told to its tracing."""
    ended: list[FinishedSpan] = []

    def work() -> None:
        with start_span("thread"):
            pass

    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("outer") as outer:
            await asyncio.to_thread(work)
    assert [(span.name, span.parent_id) for span in ended] == [
        ("thread", outer.span_id),
        ("outer", None),
    ]


async def test_ended_in_another_task():
    """A span may be left in another task than it was entered in."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        span = start_span("stream")
        await asyncio.create_task(_enter(span))
        assert current_span() is None
        await asyncio.create_task(_leave(span))
        contextvars.copy_context().run(span.end)
    assert [span.name for span in ended] == ["stream"]


async def _enter(span: Span) -> None:
    span.__enter__()


async def _leave(span: Span) -> None:
    span.__exit__(None, None, None)


async def test_finished_spans():
    """A subscriber gets every span that ends, with all that was set on it."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("call", {"a": 1, "none": None}, kind="client") as span:
            span.set("b", [2])
            span.set_all({"c": 3, "a": 4})
            span.set("gone", None)
            span.event("first_token", {"n": 1})
    (finished,) = ended
    assert finished.name == "call"
    assert (finished.trace_id, finished.span_id) == (span.trace_id, span.span_id)
    assert dict(finished.attributes) == {"a": 4, "b": [2], "c": 3}
    assert (finished.kind, finished.error, finished.parent_id) == ("client", None, None)
    assert finished.start > 1.7e9
    assert 0 <= finished.duration < 5


@pytest.mark.parametrize("error", [ValueError("no: token=hunter2x"), SystemExit("hunter2 left")])
async def test_an_exception_that_leaves_fails_the_span(error):
    """An exception that leaves the block marks the span, without secrets, and goes on its way."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with pytest.raises(type(error)):
            async with start_span("failing"):
                raise error
    assert ended[0].attributes["error.type"] == type(error).__qualname__
    assert ended[0].error.startswith(type(error).__qualname__)
    assert "hunter2x" not in ended[0].error


class Waits(GraphInterrupt):
    """What a graph raises that waits for a human, as LangGraph has it."""


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), Waits(())])
async def test_what_is_no_failure_is_none(error):
    """A cancellation, a generator that is left and an interrupted graph fail no span."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with pytest.raises(type(error)), start_span("step"):
            raise error
    assert ended[0].error is None
    assert "error.type" not in ended[0].attributes


async def test_subscribers_see_no_secrets():
    """Attributes and errors come without secrets, by the names of the settings too."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE, redactor=Redactor(["email"])) as tracing:
        tracing.subscribe(ended.append)
        with suppress(ValueError), start_span("a", {"user_email": "bob@x.y", "api_key": "k"}):
            raise ValueError("email: bob@x.y")
    assert "bob" not in repr(ended[0])
    assert ended[0].attributes["api_key"] == "[redacted]"


@pytest.mark.parametrize(
    ("given", "trace_id", "parent_id"),
    [
        ("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", "ab" * 16, "cd" * 8),
        ({"Traceparent": "00-" + "AB" * 16 + "-" + "cd" * 8 + "-00"}, "ab" * 16, "cd" * 8),
        ("cc-" + "ab" * 16 + "-" + "cd" * 8 + "-01-more", "ab" * 16, "cd" * 8),
        ("00-" + "0" * 32 + "-" + "cd" * 8 + "-01", None, None),
        ("ff-" + "ab" * 16 + "-" + "cd" * 8 + "-01", None, None),
        ("garbage", None, None),
        ({}, None, None),
    ],
)
async def test_a_trace_that_came_in_is_continued(given, trace_id, parent_id):
    """The headers of a request name the parent; what cannot be read begins a trace of its own."""
    with start_span("request", kind="server", parent=given) as span, start_span("inside") as inner:
        assert inner.trace_id == span.trace_id
    assert span.parent_id == parent_id
    assert trace_id is None or span.trace_id == trace_id


async def test_headers_for_the_way_out():
    """What continues the trace elsewhere: this span, and the vendors' state and baggage."""
    beside = {"tracestate": "x=1", "baggage": "tenant=acme"}
    headers = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01", **beside}
    assert trace_headers() == {}
    with start_span("request", parent=headers), start_span("call") as span:
        assert trace_headers() == {"traceparent": span.traceparent, **beside}
    assert trace_headers() == {}
    endless = {**headers, "tracestate": "x" * 9_000, "baggage": "k=" + "v" * 9_000}
    with start_span("request", parent=endless) as span:
        assert trace_headers() == {"traceparent": span.traceparent, "tracestate": "x" * 512}


async def test_a_span_is_named_anew_while_it_runs():
    """A name that shows later replaces the first one, until the span has ended."""
    ended = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("GET") as span:
            span.rename("GET /items")
        span.rename("late")
    assert (span.name, ended[0].name) == ("GET /items", "GET /items")


async def test_a_span_decorates_functions():
    """Each call of a decorated function, coroutine or not, is a span of its own."""
    ended: list[FinishedSpan] = []

    @start_span("work", {"step": 1})
    async def work(number: int) -> int:
        return number

    @start_span("sum", kind="client")
    def add(one: int, other: int) -> int:
        return one + other

    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        assert await asyncio.gather(work(1), work(2)) == [1, 2]
        assert add(1, other=2) == 3
    assert [span.name for span in ended] == ["work", "work", "sum"]
    assert len({span.span_id for span in ended}) == 3
    assert work.__name__ == "work"


async def test_a_span_decorates_generators():
    """A generator's span lasts as long as it does, and is not the current one between items."""
    ended = []

    @start_span("stream")
    async def stream(steps):
        for number in range(steps):
            await asyncio.sleep(0)
            with start_span("step"):
                received.append((yield number))

    @start_span("walk")
    def walk(steps):
        for number in range(steps):
            with start_span("step"):
                received.append((yield number))
        return "done"

    received = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("around") as around:
            async for _ in stream(2):
                assert current_span() is around
            walking = walk(2)
            assert (next(walking), walking.send("a")) == (0, 1)
            assert current_span() is around
            with pytest.raises(StopIteration, match="done"):
                next(walking)
            left = walk(2)
            next(left)
            left.close()
            broken = stream(2)
            await anext(broken)
            with pytest.raises(ZeroDivisionError):
                await broken.athrow(ZeroDivisionError())
    assert received == [None, None, "a", None]
    whole = [span for span in ended if span.name in ("stream", "walk")]
    assert [(span.name, span.error) for span in whole] == [
        ("stream", None),
        ("walk", None),
        ("walk", None),
        ("stream", "ZeroDivisionError"),
    ]
    assert {span.parent_id for span in whole} == {around.span_id}
    steps = [span for span in ended if span.name == "step"]
    assert {span.parent_id for span in steps} == {span.span_id for span in whole}


async def test_fail():
    """fail() takes an error that was handled, or words for it."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("a") as span:
            span.fail(KeyError("x"))
        with start_span("b") as span:
            span.fail("refused")
    assert [(s.error, s.attributes["error.type"]) for s in ended] == [
        ("KeyError: 'x'", "KeyError"),
        ("refused", "refused"),
    ]


async def test_an_ended_span_stays_as_it_is():
    """After its end a span takes nothing any more, and ends only once."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with start_span("a", {"x": 1}) as span:
            pass
        span.set("x", 2)
        span.set_all({"y": 2})
        span.event("late")
        span.fail("late")
        span.end()
    assert [(dict(s.attributes), s.error) for s in ended] == [({"x": 1}, None)]


async def test_a_subscriber_that_fails_is_taken_off(capsys):
    """A subscriber that raises harms neither the work nor the others, and is called no more."""
    seen: list[str] = []

    def broken(span: FinishedSpan) -> None:
        seen.append("broken")
        raise RuntimeError("listener")

    async with Tracing(NONE) as tracing:
        tracing.subscribe(broken)
        tracing.subscribe(lambda span: seen.append(span.name))
        for name in ("a", "b"):
            with start_span(name):
                pass
    assert seen == ["broken", "a", "b"]
    assert capsys.readouterr().err.count("tracing.subscriber_removed") == 1


async def test_unsubscribing():
    """A subscription ends when its function is called, once or twice, and leaves others alone."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        stop = tracing.subscribe(ended.append)
        tracing.subscribe(ended.append)
        with start_span("twice"):
            pass
        stop()
        stop()
        with start_span("once"):
            pass
    with start_span("closed"):
        pass
    assert [span.name for span in ended] == ["twice", "twice", "once"]


async def test_a_span_that_outlives_its_tracing():
    """A span that ends after its tracing was closed is told to nobody."""
    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        span = start_span("long").__enter__()
    span.__exit__(None, None, None)
    assert ended == []


async def test_disabled():
    """Switched off, spans keep their ids, nobody is told, and the state says so."""
    ended: list[FinishedSpan] = []
    async with Tracing(TracingSettings(enabled=False, exporter="otlp-http")) as tracing:
        tracing.subscribe(ended.append)
        with start_span("a") as span:
            assert len(span.trace_id) == 32
        assert tracing.state == "disabled"
        assert "AGENTINFRA_TRACING__ENABLED" in tracing.reason
    assert ended == []


async def test_loops_are_told_apart():
    """The spans of another loop are told to that loop's tracing alone."""
    here: list[FinishedSpan] = []
    there: list[FinishedSpan] = []

    async def elsewhere() -> None:
        async with Tracing(NONE) as tracing:
            tracing.subscribe(there.append)
            with start_span("there"):
                pass

    async with Tracing(NONE) as tracing:
        tracing.subscribe(here.append)
        thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        thread.join()
        with start_span("here"):
            pass
    assert [span.name for span in here] == ["here"]
    assert [span.name for span in there] == ["there"]


def test_repr():
    """A span's repr has its name, state and ids, and none of its attributes."""
    with start_span("a", {"password": "hunter2"}) as span:
        assert repr(span) == f"<Span 'a' running, trace {span.trace_id}, span {span.span_id}>"
    assert "ended" in repr(span)


async def test_an_error_that_cannot_be_shown():
    """An error whose own methods fail still fails the span."""

    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError("str")

    ended: list[FinishedSpan] = []
    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        with pytest.raises(BrokenError), start_span("a"):
            raise BrokenError
    assert ended[0].error.endswith("BrokenError: <unprintable>")


def test_traceparent():
    """The header continues the trace in the W3C form, and there is none outside of a span."""
    assert traceparent() is None
    with start_span("a") as span:
        assert traceparent() == span.traceparent == f"00-{span.trace_id}-{span.span_id}-01"


async def test_without_opentelemetry(monkeypatch):
    """Without OpenTelemetry ids go on; only a tracing that should export is degraded."""
    for name in ("opentelemetry", "opentelemetry.trace", "opentelemetry.context"):
        monkeypatch.setitem(sys.modules, name, None)
    async with Tracing(NONE) as tracing:
        assert tracing.state == "ready"
    async with Tracing(TracingSettings(exporter="console")) as tracing:
        ended: list[FinishedSpan] = []
        tracing.subscribe(ended.append)
        with start_span("a") as outer, start_span("b") as inner:
            assert inner.trace_id == outer.trace_id
        assert tracing.state == "degraded"
        assert tracing.reason.endswith("pip install 'agentinfra'")
        assert len(ended) == 2


@pytest.mark.parametrize("exporter", ["otlp-http", "otlp-grpc"])
async def test_without_an_exporter(monkeypatch, exporter):
    """A missing exporter degrades the tracing with the words that install it."""
    module = f"opentelemetry.exporter.otlp.proto.{exporter.removeprefix('otlp-')}.trace_exporter"
    monkeypatch.setitem(sys.modules, module, None)
    async with Metrics() as metrics:
        settings_ = TracingSettings(exporter=exporter)
        async with Tracing(settings_, metrics=metrics) as tracing:
            with start_span("a"):
                pass
            assert tracing.state == "degraded"
            assert tracing.reason.endswith("pip install 'agentinfra[otlp]'")


@settings(max_examples=30)
@given(shape=st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=3), max_leaves=15))
async def test_any_tree_of_spans_is_told_as_that_tree(shape):
    """Spans nested in any shape, across tasks, end children first and name their parents."""
    ended: list[FinishedSpan] = []
    made: list[tuple[str, str | None]] = []

    async def grow(children: list, parent: str | None) -> None:
        async with start_span("node") as span:
            made.append((span.span_id, parent))
            await asyncio.gather(*(grow(child, span.span_id) for child in children))

    async with Tracing(NONE) as tracing:
        tracing.subscribe(ended.append)
        await grow(shape, None)
    assert sorted((s.span_id, s.parent_id or "") for s in ended) == sorted(
        (own, parent or "") for own, parent in made
    )
    assert len({s.trace_id for s in ended}) == 1
    position = {s.span_id: n for n, s in enumerate(ended)}
    assert all(position[s.span_id] < position[s.parent_id] for s in ended if s.parent_id)
