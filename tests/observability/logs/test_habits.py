"""What people are used to from structlog and the standard library works, and never raises."""

import asyncio
import logging as stdlib
import warnings
from contextlib import contextmanager

import pytest
import structlog

from agentinfra.observability.logging import Logging, get_logger
from agentinfra.observability.tracing import start_span
from agentinfra.settings import LoggingSettings

JSON = LoggingSettings(json_output=True)
ALL = LoggingSettings(json_output=True, stdlib=True)
log = get_logger("agent.test")


@contextmanager
def bare_root():
    """Take the handlers of the test runner off the root logger, and put them back."""
    handlers, level = stdlib.root.handlers[:], stdlib.root.level
    stdlib.root.handlers[:] = []
    yield
    stdlib.root.handlers[:] = handlers
    stdlib.root.setLevel(level)


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        (lambda: log.info("copied %s to %d", "a", 2), {"event": "copied a to 2"}),
        (lambda: log.info("no %d", "number"), {"event": "no %d", "args": ["number"]}),
        (lambda: log.info("all %s", "a", size=1), {"event": "all a", "size": 1}),
        (lambda: log.info(event="x"), {"event": "x"}),
        (lambda: log.warning("x"), {"level": "warning"}),
        (lambda: log.msg("x"), {"level": "info"}),
        (lambda: log.fatal("x"), {"level": "critical"}),
        (lambda: log.log(30, "x"), {"level": "warning"}),
        (lambda: log.log("ERROR", "x"), {"level": "error"}),
        (lambda: log.log(35, "x"), {"level": "warning"}),
        (lambda: log.info("x", extra={"a": 1}), {"event": "x", "a": 1}),
        (lambda: log.bind(a=1, b=2).unbind("a", "c").info("x"), {"b": 2, "a": None}),
        (lambda: log.bind(a=1).new(b=2).info("x"), {"b": 2, "a": None}),
    ],
)
def test_calls_people_write(call, shown, stream):
    """Each is one event that says what was meant."""

    async def main():
        async with Logging(JSON, stream=stream):
            await asyncio.to_thread(call)

    asyncio.run(main())
    (event,) = stream.events
    assert {key: event.get(key) for key in shown} == shown


async def test_the_stack_is_shown_where_it_is_asked_for(stream):
    """``stack_info=True`` tells where the event was logged."""
    async with Logging(JSON, stream=stream):
        log.info("x", stack_info=True)
    assert "test_the_stack_is_shown" in stream.events[0]["stack_frames"][-1]


async def test_a_name_and_a_level_can_be_asked_for(stream):
    """A logger says what it is called and what it writes."""
    async with Logging(JSON, stream=stream):
        assert log.name == "agent.test"
        assert log.isEnabledFor(20)
        assert not log.isEnabledFor(10)


async def test_processors_of_structlog_extend_the_chain(stream):
    """A program's own processors see each entry, change it, and may drop it."""

    def tag(_logger, _method, entry):
        if entry["event"] == "noise":
            raise structlog.DropEvent
        return {**entry, "region": "eu"}

    async with Logging(JSON, stream=stream, processors=[tag]) as logging:
        log.info("noise")
        log.info("x")
    assert [(e["event"], e["region"]) for e in stream.events] == [("x", "eu")]
    assert logging.dropped == 0


async def test_equal_warnings_are_limited(stream):
    """A warning that comes again and again is written a few times, then with its number."""
    async with Logging(JSON, stream=stream):
        for _ in range(1000):
            log.warning("db.down", reason="refused")
        for number in range(100):
            log.warning("other", number=number)
            log.info("call")
    names = [event["event"] for event in stream.events]
    assert 1 <= names.count("db.down") <= 40
    assert names.count("other") == names.count("call") == 100


async def test_records_of_others_go_the_same_way(stream):
    """Records of packages come as JSON, with ids, without secrets, while the log is open."""
    with bare_root():
        async with Logging(JSON, stream=stream):
            with start_span("step") as span:
                stdlib.getLogger("vendor").warning(
                    "with api_key=%s", "sk-Zq7Xk2Vb9Lm4Np8Rt3", extra={"color_message": "\x1b[1m"}
                )
            try:
                raise ValueError("odd")
            except ValueError:
                stdlib.getLogger("vendor").exception("broke", extra={"attempt": 2})
        assert stdlib.root.handlers == []
    first, second = stream.events
    assert (first["logger"], first["level"]) == ("vendor", "warning")
    assert "color_message" not in first
    assert (first["event"], first["trace_id"]) == ("with api_key=[redacted]", span.trace_id)
    assert (second["attempt"], second["exception"]["message"]) == (2, "odd")


async def test_a_set_up_of_the_programs_own_is_left_alone(stream):
    """Where the root logger has handlers, nothing is taken unless it is asked for."""
    seen = stdlib.Handler()
    seen.emit = lambda record: None
    stdlib.root.addHandler(seen)
    try:
        before = stdlib.root.handlers[:]
        async with Logging(JSON, stream=stream):
            stdlib.getLogger("vendor").warning("x")
            assert stdlib.root.handlers == before
    finally:
        stdlib.root.removeHandler(seen)
    assert stream.events == []


async def test_all_of_it_on_request(stream):
    """Web servers' loggers, warnings and structlog's own loggers come too, and get all back."""
    access = stdlib.getLogger("uvicorn.access")
    own = stdlib.StreamHandler(open("/dev/null", "w"))  # noqa: ASYNC230, PTH123, SIM115
    access.addHandler(own)
    access.propagate = False
    access.setLevel("INFO")
    configured = structlog.get_config()
    async with Logging(ALL, stream=stream):
        access.info("GET / 200")
        structlog.get_logger("billing").info("charged", amount=3, password="hunter2")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old thing", stacklevel=1)
    own.stream.close()
    assert (access.handlers, access.propagate) == ([own], False)
    access.removeHandler(own)
    assert structlog.get_config() == configured
    events = {event["event"].split("\n")[0].split(": ")[-1]: event for event in stream.events}
    assert events["GET / 200"]["logger"] == "uvicorn.access"
    assert (events["charged"]["amount"], events["charged"]["password"]) == (3, "[redacted]")
    assert any("old thing" in event["event"] for event in stream.events)


async def test_two_logs_share_the_bridge(stream):
    """With two runtimes in two loops the bridge goes with the last of them."""

    async def elsewhere():
        async with Logging(JSON, stream=stream):
            pass

    with bare_root():
        async with Logging(JSON, stream=stream):
            await asyncio.to_thread(asyncio.run, elsewhere())
            stdlib.getLogger("vendor").error("still here")
        assert stdlib.root.handlers == []
    assert [event["event"] for event in stream.events] == ["still here"]


async def test_the_awaitable_twins(stream):
    """Structlog's awaitable methods log at once."""
    async with Logging(LoggingSettings(level="debug", json_output=True), stream=stream):
        for name in ("debug", "info", "warning", "error", "critical", "exception"):
            await getattr(log, f"a{name}")(name)
    levels = ["debug", "info", "warning", "error", "critical", "error"]
    assert [event["level"] for event in stream.events] == levels
