"""How an event becomes a line: the entry in its order, as JSON or as text that cannot be forged."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from agentinfra._mechanics.vendors import MissingPackageError, load
from agentinfra.observability.traces.spans import current_ids

if TYPE_CHECKING:
    from types import TracebackType

    from agentinfra.observability.redaction import Redactor

__all__ = [
    "Composer",
    "Encode",
    "escape",
    "json_encoder",
    "plain_json",
    "printable",
    "takes_unicode",
    "to_ascii",
]

Encode: TypeAlias = Callable[[dict[str, Any]], str]

RESERVED = frozenset(
    {"timestamp", "level", "logger", "event", "exception", "exc_info", "stack", "logger_name"}
)
RESERVED_IN_SPANS = RESERVED | {"trace_id", "span_id"}
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_FRAMES = 40
_CAUSES = 4


class Composer:
    """Puts an event together, cleaned of secrets.

    Args:
        redactor: Knows the secrets.
        text: Whether the exception is wanted as a traceback's text instead of as a mapping.
    """

    __slots__ = ("_clean", "_exception", "_hide")

    _exception: Callable[[BaseException], Any]

    def __init__(self, redactor: Redactor, *, text: bool) -> None:
        self._clean = redactor.fields
        self._hide = redactor.text
        self._exception = self._traceback if text else self._structure

    def compose(
        self, level: str, event: object, logger: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the entry: time, level, logger, event, span ids, then the fields."""
        entry: dict[str, Any] = {
            "timestamp": datetime.now(UTC),
            "level": level,
            "logger": logger,
            "event": self._hide(event if type(event) is str else _plain(event)),
        }
        reserved = RESERVED
        ids = current_ids()
        if ids is not None:
            reserved = RESERVED_IN_SPANS
            entry["trace_id"], entry["span_id"] = ids
        if fields:
            if "exc_info" in fields:
                self._add_exception(entry, fields.pop("exc_info"))
            clean = self._clean(fields)
            entry.update(clean if reserved.isdisjoint(clean) else _renamed(clean, reserved))
        return entry

    def _add_exception(self, entry: dict[str, Any], given: object) -> None:
        error = _error(given)
        if error is not None:
            entry["exception"] = self._exception(error)

    def _structure(self, error: BaseException, left: int = _CAUSES) -> dict[str, Any]:
        described: dict[str, Any] = {
            "type": _type_name(error),
            "message": self._hide(_plain(error)),
            "frames": _frames(error.__traceback__),
        }
        notes = getattr(error, "__notes__", None)
        if isinstance(notes, list):
            described["notes"] = [self._hide(_plain(note)) for note in notes]
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        if cause is not None and left:
            described["cause"] = self._structure(cause, left - 1)
        if isinstance(error, BaseExceptionGroup) and left:
            parts = error.exceptions[:_CAUSES]
            described["exceptions"] = [self._structure(part, left - 1) for part in parts]
        return described

    def _traceback(self, error: BaseException) -> str:
        """Return the traceback, indented: no message can pass itself off as a line of the log."""
        try:
            text = "".join(traceback.format_exception(error, limit=-_FRAMES))
        except Exception:  # noqa: BLE001 - the error's own methods run here
            text = f"<unprintable {_type_name(error)}>"
        return "\n".join("    " + escape(line) for line in self._hide(text).split("\n") if line)


def json_encoder() -> Encode:
    """Return a function from an entry to one line of JSON, without its newline; it never raises."""
    try:
        orjson = load("orjson")
    except MissingPackageError:
        return plain_json
    dumps, utc = orjson.dumps, orjson.OPT_UTC_Z

    def encode(entry: dict[str, Any]) -> str:
        try:
            line: bytes = dumps(entry, option=utc)
        except TypeError:  # half of a surrogate pair, which UTF-8 has no bytes for
            return plain_json(entry)
        return line.decode()

    return encode


def plain_json(entry: dict[str, Any]) -> str:
    """Return an entry as one line of JSON by the standard library alone."""
    line = json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=_moment)
    return line.encode("utf-8", "replace").decode()


def escape(text: str) -> str:
    """Return the text with everything that is not printable spelled out, newlines first of all."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry for people's eyes: each text escaped but the traceback, which is already."""
    shown = {
        escape(key): escape(value) if isinstance(value, str) and key != "exception" else value
        for key, value in entry.items()
    }
    shown["timestamp"] = entry["timestamp"].isoformat(timespec="milliseconds")[:-6] + "Z"
    return shown


def takes_unicode(stream: Any) -> bool:
    """Return whether a stream writes every character as it is."""
    encoding = getattr(stream, "encoding", None)
    return encoding is None or encoding.lower().replace("-", "") == "utf8"


def to_ascii(line: str) -> str:
    """Return a line in ASCII; a JSON line stays the same JSON."""
    return _BEYOND_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], line)


def _renamed(fields: dict[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    """Return the fields with ``_`` behind those names that the log itself uses."""
    renamed: dict[str, Any] = {}
    for key, value in fields.items():
        name = key
        while name in reserved or (name != key and name in fields):
            name += "_"
        renamed[name] = value
    return renamed


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is not cleaned")


def _error(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple) and len(given) == 3:
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _frames(tb: TracebackType | None) -> list[str]:
    frames = []
    while tb is not None:
        code = tb.tb_frame.f_code
        frames.append(f"{code.co_filename}:{tb.tb_lineno} in {code.co_qualname}")
        tb = tb.tb_next
    return frames[-_FRAMES:]


def _type_name(error: BaseException) -> str:
    kind = type(error)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return prefix + kind.__qualname__


def _plain(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the value's own __str__ runs here
        return f"<unprintable {type(value).__name__}>"
