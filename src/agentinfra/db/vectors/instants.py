"""Dates in metadata, which are texts: what a text in ISO 8601 means as a moment, in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

__all__ = ["instant_of", "span_of"]

_ISO = (
    r"^(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)?)?$"
)
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)$"


def instant_of(text: str) -> str:
    """Return the SQL of the moment a text stands for, NULL where it is no date.

    A text without a zone is in UTC, one without a time is the beginning of its day. No text makes
    the statement fail: the day is added to the first of its month, so that there is a 30 February,
    and only what has the form of a date is cast.

    Args:
        text: SQL that gives the text.
    """
    month = f"overlay({text} placing '01' from 9 for 2)"
    zoned = f"CASE WHEN substr({text}, 11) ~ '{_ZONE}' THEN {month} ELSE {month} || 'Z' END"
    days = f"(substr({text}, 9, 2)::int - 1) * interval '24 hours'"
    return f"CASE WHEN {text} ~ '{_ISO}' THEN ({zoned})::timestamptz + {days} END"


def span_of(sign: str, given: date) -> tuple[str, datetime]:
    """Return the sign and the moment a comparison with a day or a moment means.

    A day is all of its hours: up to a day is up to its end, and after it begins the next.
    """
    if isinstance(given, datetime):
        return sign, given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    start = datetime.combine(given, time(), UTC)
    if sign in {">=", "<"}:
        return sign, start
    following = start + timedelta(days=1) if given < date.max else datetime.max.replace(tzinfo=UTC)
    return (">=" if sign == ">" else "<"), following
