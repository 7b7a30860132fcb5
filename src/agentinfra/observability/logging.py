"""Structured logging: loggers that work anywhere, and the pipeline of the running loop.

``get_logger`` may be called while modules are imported, in any thread and without a runtime. What
becomes of an event is decided when it is logged: by the `Logging` that is open on the running
loop, for a thread without a loop by the one that is open, else by a default one. That is what a
client used alone has: it writes warnings and worse, and where `LOG_LEVEL` and the other settings
of logs say something, it does as they say. structlog's global configuration is neither read nor
changed.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

from agentinfra._mechanics.resource import Resource
from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.errors import ConfigurationError
from agentinfra.observability.logs import lines
from agentinfra.observability.logs.pipelines import Pipeline, Pipelines, Sink, Write
from agentinfra.observability.metrics import Metrics
from agentinfra.observability.redaction import Redactor
from agentinfra.observability.semconv import LOG_EVENTS_DROPPED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from agentinfra.observability.logs.lines import Encode
    from agentinfra.settings import LoggingSettings

__all__ = ["Logger", "Logging", "bind_context", "clear_context", "get_logger"]

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
_OFF: Final = 100
_LEVELS: Final = {
    "debug": DEBUG,
    "info": INFO,
    "warning": WARNING,
    "error": ERROR,
    "critical": CRITICAL,
}

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_CONTEXT: ContextVar[Mapping[str, Any]] = ContextVar("agentinfra_log_context", default=_NOTHING)


class Logger:
    """Logs events under a name, with the fields bound to it. Immutable; share it freely.

    Events are dotted facts (``llm.call_finished``), what is known of them are fields. A field
    whose name the log itself uses (``event``, ``level`` ...) is written with a ``_`` behind it.
    ``exc_info=True`` or ``exc_info=error`` adds an exception.
    """

    __slots__ = ("_bound", "_name")

    def __init__(self, name: str, bound: Mapping[str, Any] = _NOTHING) -> None:
        self._name = name
        self._bound = bound

    def bind(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields to each event."""
        return Logger(self._name, {**self._bound, **fields})

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log what only somebody who looks for a fault wants to see."""
        if _PIPELINES.floor <= DEBUG:
            self._log(DEBUG, "debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log that something happened as it should."""
        if _PIPELINES.floor <= INFO:
            self._log(INFO, "info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log that something is less than it should be, and work goes on."""
        if _PIPELINES.floor <= WARNING:
            self._log(WARNING, "warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log that something failed."""
        self._log(ERROR, "error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """Log an error with the exception that is being handled."""
        fields.setdefault("exc_info", True)
        self._log(ERROR, "error", event, fields)

    def critical(self, event: str, /, **fields: Any) -> None:
        """Log that the program cannot go on."""
        self._log(CRITICAL, "critical", event, fields)

    def __repr__(self) -> str:
        return f"<Logger {self._name!r} with {', '.join(self._bound) or 'no fields'}>"

    def _log(self, level: int, method: str, event: str, fields: dict[str, Any]) -> None:
        pipeline = _PIPELINES.current()
        if level < pipeline.level:
            return
        context = _CONTEXT.get()
        if context or self._bound:
            fields = {**context, **self._bound, **fields}
        pipeline.log(method, self._name, event, fields)


def get_logger(name: str) -> Logger:
    """Return a logger; cheap, and fine at a module's top."""
    return Logger(name)


def bind_context(**fields: Any) -> AbstractContextManager[None]:
    """Add fields to every event of this task, and of the tasks it starts from now on.

    Effective at once. Used with ``with``, leaving the block takes the fields away again (and puts
    back what they covered); else they stay until :func:`clear_context` or the end of the task.
    """
    return _BoundContext(fields)


def clear_context() -> None:
    """Drop every field that :func:`bind_context` added in this task."""
    _CONTEXT.set(_NOTHING)


class _BoundContext:
    __slots__ = ("_covered", "_names")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        before = _CONTEXT.get()
        self._names = tuple(fields)
        self._covered = {name: before[name] for name in fields if name in before}
        _CONTEXT.set({**before, **fields})

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # By name, not by token: blocks may be left in another order, or in another context.
        now = {key: value for key, value in _CONTEXT.get().items() if key not in self._names}
        _CONTEXT.set({**now, **self._covered})


class Logging(Resource):
    """The log of the running loop: entered it sets the loop's pipeline, left it takes it away.

    Events of other loops do not pass through it. Those of threads without a loop do, as long as
    it is the only one open in the process.

    Args:
        settings: Level, form and what to redact.
        stream: Where lines go; None is ``sys.stderr`` as it is when a line is written.
        metrics: Counts the events that could not be written.
    """

    name = "logging"
    vendors = ("orjson", "structlog")

    def __init__(
        self,
        settings: LoggingSettings,
        *,
        stream: TextIO | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._sink = Sink(stream)
        self._metrics = metrics or Metrics.off()
        self._pipeline: Pipeline | None = None

    @property
    def dropped(self) -> int:
        """How many events could not be written."""
        return self._sink.dropped

    async def _open(self) -> None:
        self._sink.count = self._metrics.counter(LOG_EVENTS_DROPPED).inc
        if self._settings.enabled:
            pipeline, reason = _build(self._settings, self._sink)
            if reason:
                self.degrade(reason)
        else:
            pipeline = Pipeline(_OFF, _drop)
            self.degrade("switched off: set AGENTINFRA_LOGGING__ENABLED=true", state="disabled")
        self._pipeline = pipeline
        _PIPELINES.add(pipeline)

    async def _close(self) -> None:
        if self._pipeline is not None:
            _PIPELINES.discard(self._pipeline)


def _default() -> Pipeline:
    # Imported here: settings bring pydantic, which importing a module that logs should not.
    from agentinfra.settings import LoggingSettings, Settings

    try:
        settings = Settings().logging
    except ConfigurationError:
        # Whoever reads that setting says so; a line of a log is no place to fail at it.
        settings = LoggingSettings(level="warning")
    if "level" not in settings.model_fields_set:
        # Nobody asked a library that is used alone to tell of what went well.
        settings = settings.model_copy(update={"level": "warning"})
    if not settings.enabled:
        return Pipeline(_OFF, _drop)
    return _build(settings, Sink(None))[0]


_PIPELINES: Final = Pipelines(_default)


def _drop(method: str, logger: str, event: str, fields: dict[str, Any]) -> None:
    """Write nothing."""


def _build(settings: LoggingSettings, sink: Sink) -> tuple[Pipeline, str]:
    """Build a pipeline; without structlog a plain one, and the sentence that says so."""
    level = _LEVELS[settings.level]
    redactor = Redactor(settings.redact)
    terminal = _is_terminal(sink.stream)
    text = terminal if settings.json_output is None else not settings.json_output
    try:
        write = _structlog_writer(level, redactor, sink, text=text, colors=terminal)
        reason = ""
    except MissingPackageError as error:
        write, reason = _plain_writer(redactor, sink), str(error)
    return Pipeline(level, write), reason


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, OSError, ValueError):  # not a file, or a closed one
        return False


def _structlog_writer(
    level: int, redactor: Redactor, sink: Sink, *, text: bool, colors: bool
) -> Write:
    structlog = load("structlog")
    composer = lines.Composer(redactor, text=text)
    render = _console(structlog, colors=colors) if text else lines.json_encoder()
    compose = composer.compose

    def process(_logger: object, method: str, event: Any) -> str:
        return render(compose(method, *event["all"]))

    bound = structlog.make_filtering_bound_logger(level)(sink, (process,), {})
    methods = {name: getattr(bound, name) for name in _LEVELS}

    def write(method: str, logger: str, event: str, fields: dict[str, Any]) -> None:
        try:
            # All in one keyword: fields may have the names of structlog's own arguments, and an
            # event may be anything.
            methods[method]("", all=(event, logger, fields))
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


def _plain_writer(redactor: Redactor, sink: Sink) -> Write:
    composer, encode = lines.Composer(redactor, text=False), lines.json_encoder()

    def write(method: str, logger: str, event: str, fields: dict[str, Any]) -> None:
        try:
            sink.write(encode(composer.compose(method, event, logger, fields)))
        except Exception:  # noqa: BLE001 - a log that fails never fails the agent
            sink.drop()

    return write
