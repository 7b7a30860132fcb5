"""Structured logging: loggers that work anywhere, and the pipeline of the running loop.

``get_logger`` may be called while modules are imported, in any thread and without a runtime. What
becomes of an event is decided when it is logged: by the `Logging` that is open on the running
loop, for a thread without a loop by the one that is open, else by a default one. That is what a
client used alone has: it writes the library's own warnings and worse, and a program's events
from ``info`` on, and where `LOG_LEVEL` says something, of both what that says. structlog's global
configuration is neither read nor changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from agentinfra._mechanics.in_thread import in_thread
from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import ConfigurationError
from agentinfra.observability.logs import lines
from agentinfra.observability.logs.loggers import LEVELS, BoundContext, Logger, clear_context
from agentinfra.observability.logs.pipelines import Pipeline, Pipelines, Sink, Write
from agentinfra.observability.logs.repeats import Repeats
from agentinfra.observability.logs.stdlib import Bridge, nobody_listens
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.semconv import LOG_EVENTS_DROPPED
from agentinfra.results import ResourceHealth

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from agentinfra.observability.logs.lines import Encode
    from agentinfra.settings import LoggingSettings

__all__ = ["Logger", "Logging", "bind_context", "clear_context", "get_logger"]

Processor: TypeAlias = Callable[[Any, str, dict[str, Any]], Any]
"""As structlog's: takes the logger, the method's name and the entry, returns the entry."""

_OFF: Final = 100
_FLUSH: Final = 1.0  # seconds what waits to be written gets when the log is closed


def get_logger(name: str) -> Logger:
    """Return a logger; cheap, and fine at a module's top."""
    return Logger(name, _PIPELINES)


def bind_context(**fields: Any) -> AbstractContextManager[None]:
    """Add fields to every event of this task, and of the tasks it starts from now on.

    Effective at once. Used with ``with``, leaving the block takes the fields away again (and puts
    back what they covered); else they stay until `clear_context` or the end of the task.
    """
    return BoundContext(fields)


class Logging(Resource):
    """The log of the running loop: entered it sets the loop's pipeline, left it takes it away.

    Events of other loops do not pass through it. Those of threads without a loop do, as long as
    it is the only one open in the process. A stream that is stuck never holds up the
    loop: lines then wait in a queue, and what does not fit into it is dropped and counted. Closing
    waits for what is in it, a second at most. A warning or an error that repeats itself word for
    word is written 20 times a second at most, and then with how often it came (``repeated``).

    Args:
        settings: Level, form and what to redact.
        stream: Where lines go; None is ``sys.stderr`` as it is when a line is written.
        metrics: Counts the events that could not be written.
        processors: Processors of structlog that each entry passes before it becomes a line, in
            order, already without secrets; one that raises ``structlog.DropEvent`` drops it.
    """

    name = "logging"
    vendors = ("orjson", "structlog")

    def __init__(
        self,
        settings: LoggingSettings,
        *,
        stream: TextIO | None = None,
        metrics: Metrics | None = None,
        processors: Sequence[Processor] = (),
    ) -> None:
        super().__init__()
        self._settings = settings
        self._sink = Sink(stream)
        self._metrics = metrics or Metrics.off()
        self._processors = tuple(processors)
        self._pipeline: Pipeline | None = None
        self._bridged = False
        self._told = 0

    @property
    def dropped(self) -> int:
        """How many events could not be written."""
        return self._sink.dropped

    async def probe(self) -> ResourceHealth:
        """Return the state now: degraded where lines were dropped since it was last asked."""
        dropped, before = self._sink.dropped, self._told
        self._told = dropped
        if self.state != "ready" or dropped == before:
            return await super().probe()
        where = "stderr" if self._sink.stream in (None, sys.stderr) else "the stream"
        return ResourceHealth(
            name=self.name,
            state="degraded",
            reason=f"{dropped} lines could not be written so far: see that {where} is open, that "
            "somebody reads it, and that its disk has room",
        )

    async def _open(self) -> None:
        self._sink.count = self._metrics.counter(LOG_EVENTS_DROPPED).inc
        if self._settings.enabled:
            pipeline, reason = _build(self._settings, self._sink, self._processors)
            if reason:
                self.degrade(reason)
        else:
            pipeline = Pipeline(_OFF, _drop)
            self.degrade("switched off: set AGENTINFRA_LOGGING__ENABLED=true", state="disabled")
        self._sink.open()
        self._pipeline = pipeline
        _PIPELINES.add(pipeline)
        asked = self._settings.stdlib
        if self._settings.enabled and (nobody_listens() if asked is None else asked):
            _BRIDGE.install(all_of_it=bool(asked))
            self._bridged = True

    async def _close(self) -> None:
        if self._bridged:
            _BRIDGE.remove()
        if self._pipeline is not None:
            _PIPELINES.discard(self._pipeline)
        await in_thread(partial(self._sink.close, _FLUSH))


def _default() -> Pipeline:
    # Imported here: settings bring pydantic, which importing a module that logs should not.
    from agentinfra.settings import LoggingSettings, Settings

    try:
        settings = Settings().logging
    except ConfigurationError:
        # Whoever reads that setting says so; a line of a log is no place to fail at it.
        settings = LoggingSettings()
    if not settings.enabled:
        return Pipeline(_OFF, _drop)
    pipeline = _build(settings, Sink(None))[0]
    if "level" not in settings.model_fields_set:
        pipeline.log = _without_ours(pipeline.log)
    return pipeline


_PIPELINES: Final = Pipelines(_default)
_BRIDGE: Final = Bridge(_PIPELINES)


def _drop(method: str, logger: str, event: object, fields: dict[str, Any]) -> None:
    """Write nothing."""


def _build(
    settings: LoggingSettings, sink: Sink, processors: Sequence[Processor] = ()
) -> tuple[Pipeline, str]:
    """Build a pipeline; without structlog a plain one, and the sentence that says so."""
    level = LEVELS[settings.level]
    redactor = Redactor(settings.redact)
    terminal = _is_terminal(sink.stream)
    text = terminal if settings.json_output is None else not settings.json_output
    reason = redactor.missing
    try:
        structlog = load("structlog")
        render = _console(structlog, colors=terminal) if text else lines.json_encoder()
    except MissingPackageError as error:
        render, reason = lines.json_encoder(), str(error)
        text, processors = False, ()
    write = _writer(redactor, sink, render, processors, text=text)
    return Pipeline(level, _without_repeats(write)), reason


def _without_ours(write: Write) -> Write:
    """Leave out what the library tells of work that went well: used alone, nobody asked it to."""

    def quieter(method: str, logger: str, event: object, fields: dict[str, Any]) -> None:
        ours = f"{logger}.".startswith("agentinfra.")
        if not (ours and method in ("debug", "info")):
            write(method, logger, event, fields)

    return quieter


def _without_repeats(write: Write) -> Write:
    repeats = Repeats()

    def limited(method: str, logger: str, event: object, fields: dict[str, Any]) -> None:
        if method not in ("debug", "info"):
            missed = repeats.admit(logger, event, fields)
            if missed is None:
                return
            if missed:
                fields = {**fields, "repeated": missed}
        write(method, logger, event, fields)

    return limited


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, OSError, ValueError):  # not a file, or a closed one
        return False


def _writer(
    redactor: Redactor, sink: Sink, render: Encode, processors: Sequence[Processor], *, text: bool
) -> Write:
    """Return what writes an event: put together, past the processors, rendered, into the sink.

    structlog's own bound logger would do the same for as much again.
    """
    compose, emit = lines.Composer(redactor, text=text).compose, sink.write
    dropped = load("structlog").DropEvent if processors else ()

    def write(method: str, logger: str, event: object, fields: dict[str, Any]) -> None:
        try:
            entry = compose(method, event, logger, fields)
            for processor in processors:
                entry = processor(sink, method, entry)
            emit(render(entry))
        except dropped:
            return
        except Exception:  # noqa: BLE001 - a log that fails never fails the agent
            sink.drop()

    return write


def _console(structlog: Any, *, colors: bool) -> Encode:
    def renderer(*, colors: bool) -> Any:
        return structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )

    try:
        render = renderer(colors=colors)
    except SystemError:  # Windows without colorama
        render = renderer(colors=False)
    return lambda entry: str(render(None, entry["level"], lines.printable(entry)))
