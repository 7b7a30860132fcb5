"""Records of the standard library, and structlog's, through the same pipe as our own events."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.observability.logs.loggers import LEVELS

if TYPE_CHECKING:
    from agentinfra.observability.logs.pipelines import Pipelines

__all__ = ["Bridge", "nobody_listens"]

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's own text once more, for its own formatter
}
_SERVERS: Final = (
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "gunicorn.error",
    "gunicorn.access",
)
"""Loggers that come with handlers of their own and pass nothing on."""


class Bridge(logging.Handler):
    """Hands records of the standard library to our pipeline while it is installed.

    Installed again it only counts; the last removal puts everything back as it was. The
    standard library's loggers are the process's, so is this.

    Args:
        pipelines: Where records go; which, is decided where each is logged.
    """

    def __init__(self, pipelines: Pipelines) -> None:
        super().__init__()
        self._pipelines = pipelines
        self._users = 0
        self._guard = threading.Lock()
        self._before: list[tuple[logging.Logger, list[logging.Handler], bool]] = []
        self._structlog: Callable[[], None] | None = None

    def install(self, *, all_of_it: bool) -> None:
        """Take what reaches the root logger.

        Args:
            all_of_it: Whether web servers' loggers lose their own handlers meanwhile, and
                structlog's loggers end here too.
        """
        with self._guard:
            self._users += 1
            if self._users == 1:
                logging.root.addHandler(self)
                logging.captureWarnings(capture=True)
            if all_of_it and not self._before:
                self._take_all()

    def remove(self) -> None:
        """Put back what was there."""
        with self._guard:
            self._users -= 1
            if self._users:
                return
            logging.root.removeHandler(self)
            logging.captureWarnings(capture=False)
            for logger, handlers, propagate in self._before:
                logger.handlers[:], logger.propagate = handlers, propagate
            self._before.clear()
            if self._structlog is not None:
                self._structlog()
                self._structlog = None

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on; its extra attributes become fields."""
        try:
            event: object = record.getMessage()
        except Exception:  # noqa: BLE001 - the record's own arguments are formatted here
            event = record.msg
        fields = {key: value for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info[1]
        self._hand_on(_level(record.levelno), record.levelno, record.name, event, fields)

    def _take_all(self) -> None:
        for name in _SERVERS:
            logger = logging.getLogger(name)
            self._before.append((logger, logger.handlers[:], logger.propagate))
            logger.handlers[:], logger.propagate = [], True
        try:
            structlog: Any = load("structlog")
        except MissingPackageError:
            return
        before = structlog.get_config()
        structlog.configure(
            processors=[self._event], cache_logger_on_first_use=False, wrapper_class=None
        )
        self._structlog = lambda: structlog.configure(**before)

    def _event(self, logger: Any, method: str, event: dict[str, Any]) -> Any:
        """Take an event of a logger of structlog's; as the last of its processors."""
        from structlog import DropEvent

        fields = dict(event)
        name = str(fields.pop("logger", None) or getattr(logger, "name", None) or "structlog")
        fields.setdefault("exc_info", True) if method == "exception" else None
        level = {"exception": "error", "warn": "warning", "msg": "info"}.get(method, method)
        level = level if level in LEVELS else "info"
        self._hand_on(level, LEVELS[level], name, fields.pop("event", ""), fields)
        raise DropEvent

    def _hand_on(
        self, level: str, number: int, logger: str, event: object, fields: dict[str, Any]
    ) -> None:
        pipeline = self._pipelines.current()
        if number >= pipeline.level:
            pipeline.log(level, logger, event, fields)


def nobody_listens() -> bool:
    """Say whether the program has set up no handler for records of its own."""
    return not logging.root.handlers


def _level(number: int) -> str:
    for name in ("critical", "error", "warning", "info"):
        if number >= getattr(logging, name.upper()):
            return name
    return "debug"
