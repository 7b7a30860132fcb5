"""Loggers: the habits of structlog and of the standard library, one way to the pipeline."""

from __future__ import annotations

import sys
import traceback
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agentinfra.observability.logs.pipelines import Pipelines

__all__ = ["LEVELS", "BoundContext", "Logger", "clear_context"]

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
LEVELS: Final = MappingProxyType(
    {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}
)
"""The levels by name, as numbers of the standard library."""

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_CONTEXT: Final[ContextVar[Mapping[str, Any]]] = ContextVar(
    "agentinfra_log_context", default=_NOTHING
)


class Logger:
    """Logs events under a name, with the fields bound to it. Immutable; share it freely.

    Events are dotted facts (``llm.call_finished``), what is known of them are fields. A field
    whose name the log itself uses (``event``, ``level`` ...) is written with a ``_`` behind it.
    ``exc_info=True`` or ``exc_info=error`` adds an exception, ``stack_info=True`` the stack.
    Positional arguments are put into the event as ``event % args``, the fields of ``extra`` are
    taken as fields: what people are used to works. Logging never raises.
    """

    __slots__ = ("_bound", "_name", "_pipelines")

    def __init__(
        self, name: str, pipelines: Pipelines, bound: Mapping[str, Any] = _NOTHING
    ) -> None:
        self._name = name
        self._pipelines = pipelines
        self._bound = bound

    @property
    def name(self) -> str:
        """The name events are logged under."""
        return self._name

    def bind(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields to each event."""
        return Logger(self._name, self._pipelines, {**self._bound, **fields})

    def unbind(self, *names: str) -> Logger:
        """Return a logger without some of its fields; those it has not are passed over."""
        kept = {key: value for key, value in self._bound.items() if key not in names}
        return Logger(self._name, self._pipelines, kept)

    def new(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields and no others."""
        return Logger(self._name, self._pipelines, fields)

    def debug(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log what only somebody who looks for a fault wants to see."""
        if self._pipelines.floor <= DEBUG:
            self._log(DEBUG, "debug", event, args, fields)

    def info(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log that something happened as it should."""
        if self._pipelines.floor <= INFO:
            self._log(INFO, "info", event, args, fields)

    def warning(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log that something is less than it should be, and work goes on."""
        if self._pipelines.floor <= WARNING:
            self._log(WARNING, "warning", event, args, fields)

    def error(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log that something failed."""
        self._log(ERROR, "error", event, args, fields)

    def exception(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log an error with the exception that is being handled."""
        fields.setdefault("exc_info", True)
        self._log(ERROR, "error", event, args, fields)

    def critical(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log that the program cannot go on."""
        self._log(CRITICAL, "critical", event, args, fields)

    def log(self, level: int | str, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log at a level given by name or by number; a number between two is the lower one."""
        name = _level_name(level)
        self._log(LEVELS[name], name, event, args, fields)

    warn = warning
    msg = info
    fatal = critical

    async def adebug(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `debug`; there is nothing to wait for."""
        self.debug(event, *args, **fields)

    async def ainfo(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `info`; there is nothing to wait for."""
        self.info(event, *args, **fields)

    async def awarning(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `warning`; there is nothing to wait for."""
        self.warning(event, *args, **fields)

    async def aerror(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `error`; there is nothing to wait for."""
        self.error(event, *args, **fields)

    async def aexception(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `exception`; there is nothing to wait for."""
        self.exception(event, *args, **fields)

    async def acritical(self, event: object = "", /, *args: Any, **fields: Any) -> None:
        """Log as `critical`; there is nothing to wait for."""
        self.critical(event, *args, **fields)

    def is_enabled_for(self, level: int) -> bool:
        """Return whether events of a level, as the standard library numbers them, are written."""
        return level >= self._pipelines.current().level

    isEnabledFor = is_enabled_for  # noqa: N815 - as the standard library calls it

    def __repr__(self) -> str:
        return f"<Logger {self._name!r} with {', '.join(self._bound) or 'no fields'}>"

    def _log(
        self, level: int, method: str, event: object, args: tuple[Any, ...], fields: dict[str, Any]
    ) -> None:
        pipeline = self._pipelines.current()
        if level < pipeline.level:
            return
        context = _CONTEXT.get()
        if context or self._bound:
            fields = {**context, **self._bound, **fields}
        if args or (type(event) is str and not event):
            event = _formatted(event, args, fields)
        if "extra" in fields or "stack_info" in fields:
            _unpack(fields)
        pipeline.log(method, self._name, event, fields)


class BoundContext:
    """Fields on every event of a task, from now on; a block takes them away at its end."""

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


def clear_context() -> None:
    """Drop every field that ``bind_context`` added in this task."""
    _CONTEXT.set(_NOTHING)


def _level_name(level: int | str) -> str:
    if isinstance(level, str):
        name = {"warn": "warning", "fatal": "critical"}.get(level.lower(), level.lower())
        return name if name in LEVELS else "info"
    reached = [name for name, number in LEVELS.items() if number <= level]
    return reached[-1] if reached else "debug"


def _formatted(event: object, args: tuple[Any, ...], fields: dict[str, Any]) -> object:
    if type(event) is str and not event and "event" in fields:
        event = fields.pop("event")
    if not args:
        return event
    try:
        return str(event) % args
    except Exception:  # noqa: BLE001 - the arguments' own methods run here, and may not fit
        fields.setdefault("args", args)
        return event


def _unpack(fields: dict[str, Any]) -> None:
    """Take what the standard library's callers give beside the message for what it means."""
    extra = fields.get("extra")
    if isinstance(extra, dict):
        del fields["extra"]
        for key, value in extra.items():
            fields.setdefault(str(key), value)
    if fields.pop("stack_info", False):
        frame: Any = sys._getframe(3)  # noqa: SLF001 - documented; the caller of the logger
        format_stack: Callable[..., list[str]] = traceback.format_stack
        fields["stack_frames"] = [line.strip() for line in format_stack(frame, limit=40)]
