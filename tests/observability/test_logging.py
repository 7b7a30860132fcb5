from __future__ import annotations

import asyncio
import contextvars
import io
import json
import os
import subprocess
import sys
import threading
from datetime import datetime

import pytest
import structlog

from agentinfra.observability.logging import (
    Logging,
    bind_context,
    clear_context,
    get_logger,
)
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.tracing import start_span
from agentinfra.settings import LoggingSettings

JSON = LoggingSettings(json_output=True)
TEXT = LoggingSettings(json_output=False)

log = get_logger("agent.test")


@pytest.fixture(autouse=True)
def _no_context():
    clear_context()


async def test_an_event_is_one_json_object_a_line(stream):
    """An event has its time in UTC, level, logger, name and fields, in this order, on one line."""
    async with Logging(JSON, stream=stream):
        log.info("llm.call_finished", model="m", tokens=3)
    (event,) = stream.events
    assert list(event) == ["timestamp", "level", "logger", "event", "model", "tokens"]
    assert event["timestamp"].endswith("Z")
    assert datetime.fromisoformat(event.pop("timestamp")).utcoffset().total_seconds() == 0
    assert event == {
        "level": "info",
        "logger": "agent.test",
        "event": "llm.call_finished",
        "model": "m",
        "tokens": 3,
    }


async def test_levels(stream):
    """Events below the level are dropped, those at it and above are written."""
    async with Logging(LoggingSettings(level="warning", json_output=True), stream=stream):
        for method in ("debug", "info", "warning", "error", "critical"):
            getattr(log, method)(method)
    assert [(e["level"], e["event"]) for e in stream.events] == [
        (name, name) for name in ("warning", "error", "critical")
    ]


async def test_debug_level(stream):
    """At level debug everything is written."""
    async with Logging(LoggingSettings(level="debug", json_output=True), stream=stream):
        log.debug("seen")
    assert [e["event"] for e in stream.events] == ["seen"]


async def test_bind(stream):
    """A bound logger adds its fields, keeps the one it came from, and gives way to the call's."""
    bound = log.bind(agent="a", step=1)
    async with Logging(JSON, stream=stream):
        bound.bind(step=2).info("x", more=True)
        bound.info("x", step=3)
        log.info("x")
    first, second, third = stream.events
    assert (first["agent"], first["step"], first["more"]) == ("a", 2, True)
    assert second["step"] == 3
    assert "agent" not in third


async def test_context_variables(stream):
    """Context fields are on every event inside the block, under the logger's and the call's."""
    async with Logging(JSON, stream=stream):
        with bind_context(user="u", step=1):
            with bind_context(step=2):
                log.info("inner")
                log.bind(step=3).info("bound")
            log.info("outer")
        log.info("outside")
    assert [e.get("step") for e in stream.events] == [2, 3, 1, None]
    assert [e.get("user") for e in stream.events] == ["u", "u", "u", None]


async def test_context_without_a_block(stream):
    """bind_context is effective at once, and until clear_context."""
    async with Logging(JSON, stream=stream):
        bind_context(user="u")
        log.info("bound")
        clear_context()
        log.info("cleared")
    assert [e.get("user") for e in stream.events] == ["u", None]


async def test_context_follows_the_task(stream):
    """A task inherits the context it was started in, and what it binds stays its own."""

    async def work(name: str) -> None:
        with bind_context(task=name):
            await asyncio.sleep(0)
            log.info("work")

    async with Logging(JSON, stream=stream):
        with bind_context(request="r"):
            await asyncio.gather(work("a"), work("b"))
            log.info("after")
    assert [(e["request"], e.get("task")) for e in stream.events] == [
        ("r", "a"),
        ("r", "b"),
        ("r", None),
    ]


async def test_context_left_in_another_context(stream):
    """A block may be left out of order, or in another context than it was entered in."""
    first = bind_context(a=1)
    second = bind_context(b=2)
    async with Logging(JSON, stream=stream):
        first.__exit__(None, None, None)
        log.info("second")
        contextvars.copy_context().run(second.__exit__, None, None, None)
        second.__exit__(None, None, None)
        log.info("none")
    assert [(e.get("a"), e.get("b")) for e in stream.events] == [(None, 2), (None, None)]


async def test_span_ids(stream):
    """Inside a span each event carries its trace and span id, outside it carries none."""
    async with Logging(JSON, stream=stream):
        with start_span("plan") as span:
            log.info("inside")
            async with start_span("step") as step:
                log.info("deeper")
        log.info("outside")
    inside, deeper, outside = stream.events
    assert (inside["trace_id"], inside["span_id"]) == (span.trace_id, span.span_id)
    assert (deeper["trace_id"], deeper["span_id"]) == (span.trace_id, step.span_id)
    assert "trace_id" not in outside


async def test_names_the_log_itself_uses(stream):
    """A field named like one of the log's own is written with a ``_`` behind it."""
    fields = {"event": 1, "level": 2, "logger": 3, "timestamp": 4, "self": 5, "method": 6}
    async with Logging(JSON, stream=stream):
        log.info("x", **fields, trace_id="mine")
        with start_span("s") as span:
            log.info("x", level="l", level_="taken", trace_id="mine")
    outside, inside = stream.events
    assert (outside["event"], outside["level"], outside["logger"]) == ("x", "info", "agent.test")
    assert [outside[k] for k in ("event_", "level_", "logger_", "timestamp_")] == [1, 2, 3, 4]
    assert (outside["self"], outside["method"], outside["trace_id"]) == (5, 6, "mine")
    assert (inside["trace_id"], inside["trace_id_"]) == (span.trace_id, "mine")
    assert (inside["level_"], inside["level__"]) == ("taken", "l")


async def test_secrets_are_redacted(stream):
    """Secrets are hidden in fields, in the event, in bound and context fields, at any depth."""
    settings = LoggingSettings(json_output=True, redact=("email",))
    async with Logging(settings, stream=stream):
        with bind_context(dsn="postgres://u:hunter2@h"):
            log.bind(api_key="hunter2").info(
                "got sk-hunter2hunter2",
                headers={"Authorization": "Bearer hunter2"},
                url="https://me:hunter2@host",
                email="hunter2",
            )
    assert "hunter2" not in stream.getvalue()
    assert stream.events[0]["url"] == "https://me:[redacted]@host"


async def test_exceptions_are_structured(stream):
    """In JSON an exception is an object with type, message, frames, cause and notes."""
    async with Logging(JSON, stream=stream):
        try:
            try:
                {}["missing"]
            except KeyError as error:
                failure = ValueError("token=hunter2")
                failure.add_note("while planning")
                raise failure from error
        except ValueError:
            log.exception("plan.failed", step=1)
    (event,) = stream.events
    assert event["level"] == "error"
    exception = event["exception"]
    assert (exception["type"], exception["message"]) == ("ValueError", "token=[redacted]")
    assert exception["notes"] == ["while planning"]
    assert exception["cause"]["type"] == "KeyError"
    assert "test_exceptions_are_structured" in exception["frames"][-1]
    assert event["step"] == 1


async def test_exc_info(stream):
    """exc_info takes an exception, its triple or True, and is passed over when there is none."""
    error = RuntimeError("x")
    async with Logging(JSON, stream=stream):
        for given in (error, (RuntimeError, error, None), True, None, False, (None, None, None)):
            log.warning("w", exc_info=given)
        log.exception("e", exc_info=error)  # noqa: LOG004
    found = [e.get("exception", {}).get("type") for e in stream.events]
    assert found == ["RuntimeError"] * 2 + [None] * 4 + ["RuntimeError"]


async def test_exception_groups_and_circles(stream):
    """The members of a group are described too, and a circular cause comes to an end."""
    circular = ValueError("round")
    circular.__cause__ = TypeError("and")
    circular.__cause__.__cause__ = circular
    group = ExceptionGroup("several", [circular, RuntimeError("b")])
    async with Logging(JSON, stream=stream):
        log.error("group", exc_info=group)
    exception = stream.events[0]["exception"]
    assert [part["type"] for part in exception["exceptions"]] == ["ValueError", "RuntimeError"]


async def test_text_for_people(stream):
    """As text, an event is one line with its level, name, logger and fields, without colours."""
    async with Logging(TEXT, stream=stream):
        log.bind(agent="a").info("call.finished", tokens=3, note="two words")
    (line,) = stream.lines
    assert "[info" in line
    assert "call.finished" in line
    assert "[agent.test]" in line
    assert line.endswith("agent=a tokens=3 note='two words'")
    assert "\x1b" not in line


async def test_nothing_in_text_passes_for_another_event(stream):
    """Newlines and terminal codes in events, keys, values and messages never start a line."""
    forged = "x\n2026-01-01T00:00:00Z [error] forged\r\x1b[31m\u2028\x85"
    async with Logging(TEXT, stream=stream):
        log.info(forged, field=forged, nested=[forged], **{forged: 1})
        try:
            raise ValueError(forged)
        except ValueError:
            log.exception("failed")
    assert [line for line in stream.getvalue().split("\n") if line.startswith("2026-01-01")] == []
    assert not {"\x1b", "\r", "\u2028", "\x85"} & set(stream.getvalue())
    traceback = stream.getvalue().split("\n")[2:-1]
    assert traceback[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in traceback)


async def test_text_with_fields_named_like_the_renderers_own(stream):
    """Fields that structlog's renderer gives a meaning to are only fields here."""
    async with Logging(TEXT, stream=stream):
        log.info("x", stack=[1], exception={"a": 1}, exc_info=None, logger_name=2)
    assert "stack_=[1] exception_={'a': 1} logger_name_=2" in stream.lines[0]


@pytest.mark.parametrize("problem", [BrokenPipeError, ValueError, RuntimeError])
async def test_a_write_that_fails_is_counted(problem):
    """A stream that fails costs the event, which is counted, and nothing else."""

    class Failing(io.StringIO):
        def write(self, text: str) -> int:
            raise problem("gone")

    async with Metrics() as metrics:
        async with Logging(JSON, stream=Failing(), metrics=metrics) as logging:
            log.info("lost")
            log.error("lost too")
        assert logging.dropped == 2
        assert "log_events_dropped_total 2" in metrics.expose()


async def test_a_closed_stream(stream):
    """Logging to a closed stream is counted and raises nothing."""
    async with Logging(JSON, stream=stream) as logging:
        stream.close()
        log.info("lost")
    assert logging.dropped == 1


async def test_a_broken_pipe():
    """Logging into a pipe nobody reads is counted and raises nothing."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:  # noqa: ASYNC230, PTH123
        async with Logging(JSON, stream=pipe) as logging:
            log.info("lost")
        assert logging.dropped == 1


async def test_a_stream_that_is_not_utf8():
    """On a stream of another encoding JSON stays JSON, with its characters escaped."""
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii")
    async with Logging(JSON, stream=narrow) as logging:
        log.info("x", name="Zoë 🦉")
    assert logging.dropped == 0
    assert raw.getvalue().isascii()
    assert json.loads(raw.getvalue())["name"] == "Zoë 🦉"


async def test_stderr_is_looked_up_when_written(capsys):
    """Without a stream, lines go to what sys.stderr is at that moment."""
    async with Logging(JSON):
        log.info("one")
    assert json.loads(capsys.readouterr().err)["event"] == "one"


async def test_a_pipeline_belongs_to_its_loop(stream):
    """Another loop's events do not pass through this loop's pipeline."""
    other = type(stream)()

    async def elsewhere() -> None:
        async with Logging(JSON, stream=other):
            log.info("there")

    async with Logging(JSON, stream=stream):
        await asyncio.to_thread(asyncio.run, elsewhere())
        log.info("here")
    assert [e["event"] for e in stream.events] == ["here"]
    assert [e["event"] for e in other.events] == ["there"]


def test_without_a_runtime(capsys):
    """Outside of any runtime events from info on go to stderr as JSON, from any thread."""
    log.debug("unseen")
    log.info("main")
    thread = threading.Thread(target=log.info, args=("thread",))
    thread.start()
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["main", "thread"]


ALONE = """
from agentinfra import get_logger

log, ours = get_logger("shop"), get_logger("agentinfra.llm")
log.debug("looked")
log.info("well")
ours.info("well, ours")
ours.warning("less well, ours")
log.error("not at all")
"""


@pytest.mark.parametrize(
    ("env", "events"),
    [
        ({}, ["well", "less well, ours", "not at all"]),
        ({"LOG_LEVEL": "info"}, ["well", "well, ours", "less well, ours", "not at all"]),
        ({"LOG_LEVEL": "warning"}, ["less well, ours", "not at all"]),
        ({"AGENTINFRA_LOGGING__LEVEL": "error"}, ["not at all"]),
        ({"AGENTINFRA_LOGGING__ENABLED": "false"}, []),
        # Settings of others that cannot be used are told by whoever reads them.
        ({"AGENTINFRA_LLM__TIMEOUT": "-1"}, ["well", "less well, ours", "not at all"]),
    ],
)
def test_settings_hold_outside_of_a_runtime(env, events):
    """Used alone, the library is quiet, a program is not; the variables say otherwise for both."""
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == events


async def test_threads_of_the_runtime(stream):
    """A thread without a loop logs through the one pipeline that is open, if it is the only one."""
    other = type(stream)()
    async with Logging(LoggingSettings(level="debug", json_output=True), stream=stream):
        with bind_context(user="u"):
            await asyncio.to_thread(log.debug, "thread")

        async def elsewhere() -> None:
            async with Logging(JSON, stream=other):
                thread = threading.Thread(target=log.debug, args=("unseen",))
                thread.start()
                thread.join()

        await asyncio.to_thread(asyncio.run, elsewhere())
    assert [(e["event"], e["user"]) for e in stream.events] == [("thread", "u")]
    assert other.events == []


def test_reprs_hold_no_values():
    """A logger's repr names its fields, never their values."""
    shown = repr(log.bind(api_key="hunter2"))
    assert shown == "<Logger 'agent.test' with api_key>"
    assert repr(log) == "<Logger 'agent.test' with no fields>"


async def test_after_leaving_the_default_is_back(stream, capsys):
    """Leaving takes the loop's pipeline away again."""
    async with Logging(JSON, stream=stream):
        log.info("inside")
    log.warning("outside")
    assert [e["event"] for e in stream.events] == ["inside"]
    assert json.loads(capsys.readouterr().err)["event"] == "outside"


async def test_disabled(stream, capsys):
    """Switched off, nothing is written, and the state says so."""
    async with Logging(LoggingSettings(enabled=False), stream=stream) as logging:
        log.critical("unseen")
        assert (logging.state, "AGENTINFRA_LOGGING__ENABLED" in logging.reason) == (
            "disabled",
            True,
        )
    assert stream.getvalue() == capsys.readouterr().err == ""


async def test_form_follows_the_stream(stream):
    """Where the settings say nothing, a terminal gets coloured text and everything else JSON."""

    class Terminal(type(stream)):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    async with Logging(LoggingSettings(), stream=terminal):
        log.info("text")
    async with Logging(LoggingSettings(), stream=stream):
        log.info("json")
    assert "\x1b[" in terminal.getvalue()
    assert stream.events[0]["event"] == "json"


async def test_structlogs_configuration_is_left_alone(stream):
    """The user's own structlog set-up is neither changed nor used."""
    before = structlog.get_config()
    structlog.configure(processors=[lambda *_: pytest.fail("the user's pipeline was used")])
    try:
        mine = structlog.get_config()
        async with Logging(JSON, stream=stream):
            log.info("x")
        assert structlog.get_config() == mine
    finally:
        structlog.configure(**before)
    assert stream.events


async def test_without_structlog(stream, monkeypatch):
    """Without structlog the same loggers write the same JSON lines, and the reason is given."""

    async def write(into: io.StringIO) -> Logging:
        async with Logging(LoggingSettings(), stream=into) as logging:
            with bind_context(user="u"), start_span("s"):
                log.bind(a=1).info("x", secret="s", value=float("nan"))
            log.debug("unseen")
        return logging

    with_it = type(stream)()
    assert (await write(with_it)).state == "ready"
    monkeypatch.setitem(sys.modules, "structlog", None)
    logging = await write(stream)
    assert logging.state == "degraded"
    assert logging.reason == "the package 'structlog' is not installed: pip install 'agentinfra'"
    ours, theirs = stream.events[0], with_it.events[0]
    for changing in ("timestamp", "trace_id", "span_id"):
        assert ours.pop(changing) != theirs.pop(changing)
    assert list(ours.items()) == list(theirs.items())
    assert len(stream.lines) == 1


async def test_without_orjson(stream, monkeypatch):
    """The standard library's JSON writes the same line where orjson is missing."""
    both = type(stream)()
    async with Logging(JSON, stream=both):
        log.info("é", n=1.5, nested={"a": [1, None, True]})
    monkeypatch.setitem(sys.modules, "orjson", None)
    async with Logging(JSON, stream=stream):
        log.info("é", n=1.5, nested={"a": [1, None, True]})
    cut = len('{"timestamp":"2026-01-01T00:00:00.000000Z"')
    assert stream.lines[0][cut:] == both.lines[0][cut:]


def test_importing_is_light():
    """Making a logger at import time loads neither structlog nor pydantic nor OpenTelemetry."""
    code = (
        "import sys\n"
        "from agentinfra.observability.logging import get_logger\n"
        "from agentinfra.observability.tracing import start_span\n"
        "import agentinfra.observability.probes, agentinfra.observability.metrics.lag\n"
        "log = get_logger('x').bind(a=1)\n"
        "with start_span('s'): pass\n"
        "heavy = ['structlog', 'pydantic', 'orjson', 'opentelemetry', 'aioprometheus', 'aiohttp']\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_lines_of_threads_do_not_mix():
    """Lines written by many threads at once stay whole."""
    read, write = os.pipe()
    chunks: list[bytes] = []

    def drain() -> None:
        while chunk := os.read(read, 65536):
            chunks.append(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    with open(write, "w") as pipe:  # noqa: ASYNC230, PTH123

        async def elsewhere(number: int) -> None:
            async with Logging(JSON, stream=pipe):
                for _ in range(300):
                    log.info("x", text=f"{number}" * 500)

        await asyncio.gather(*(asyncio.to_thread(asyncio.run, elsewhere(n)) for n in range(4)))
    reader.join()
    os.close(read)
    events = [json.loads(line) for line in b"".join(chunks).splitlines()]
    assert len(events) == 4 * 300
