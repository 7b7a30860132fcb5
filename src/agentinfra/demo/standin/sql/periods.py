"""Spans of time in a question, as conditions on a date column."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["GRAINS", "Period", "read_period"]

GRAINS: Final = {
    "day": "day",
    "daily": "day",
    "week": "week",
    "weekly": "week",
    "month": "month",
    "monthly": "month",
    "quarter": "quarter",
    "quarterly": "quarter",
    "year": "year",
    "yearly": "year",
    "annually": "year",
    "annual": "year",
}

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH = r"(?P<month>" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _MONTHS) + r")\.?"
_YEAR = r"(?P<year>(?:19|20)\d{2})"
_ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "1st": 1,
    "2nd": 2,
    "3rd": 3,
    "4th": 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A span of time; ``start`` is in it, ``end`` is not, both SQL expressions or None.

    Attributes:
        start: Its first moment.
        end: The moment after it.
        month: A month of any year, 1 to 12; the span then is every year's.
    """

    start: str | None = None
    end: str | None = None
    month: int | None = None

    def conditions(self, column: str) -> list[str]:
        """Return the conditions that keep a column in this period."""
        found = []
        if self.start is not None:
            found.append(f"{column} >= {self.start}")
        if self.end is not None:
            found.append(f"{column} < {self.end}")
        if self.month is not None:
            found.append(f"extract(month FROM {column}) = {self.month}")
        return found


def read_period(question: str) -> tuple[Period | None, str]:
    """Return the span of time a question names, and the question without it."""
    for pattern, build in _FORMS:
        if match := pattern.search(question):
            period = build(match)
            rest = f"{question[: match.start()]} {question[match.end() :]}"
            return period, rest
    return None, question


def _date(year: int, month: int = 1, day: int = 1) -> str:
    return f"DATE '{year:04d}-{month:02d}-{day:02d}'"


def _after_month(year: int, month: int) -> str:
    return _date(year + month // 12, month % 12 + 1)


def _month_number(text: str) -> int:
    return next(i for i, name in enumerate(_MONTHS, 1) if name.startswith(text.lower()[:3]))


def _years(match: re.Match[str]) -> Period:
    first, last = sorted((int(match["first"]), int(match["last"])))
    return Period(start=_date(first), end=_date(last + 1))


def _days(match: re.Match[str]) -> Period:
    return Period(
        start=f"DATE '{match['first']}'", end=f"DATE '{match['last']}' + INTERVAL '1 day'"
    )


def _quarter(match: re.Match[str]) -> Period:
    number = match["number"] or str(_ORDINALS[match["ordinal"].lower()])
    year, last = int(match["year"]), int(number) * 3
    return Period(start=_date(year, last - 2), end=_after_month(year, last))


def _month_of_year(match: re.Match[str]) -> Period:
    year, month = int(match["year"]), _month_number(match["month"])
    return _bounded(match["side"], _date(year, month), _after_month(year, month))


def _numeric_month(match: re.Match[str]) -> Period:
    year, month = int(match["year"]), int(match["number"])
    return _bounded(match["side"], _date(year, month), _after_month(year, month))


def _day(match: re.Match[str]) -> Period:
    day = f"DATE '{match['date']}'"
    return _bounded(match["side"], day, f"{day} + INTERVAL '1 day'")


def _year(match: re.Match[str]) -> Period:
    year = int(match["year"])
    return _bounded(match["side"], _date(year), _date(year + 1))


def _any_year(match: re.Match[str]) -> Period:
    return Period(month=_month_number(match["month"]))


def _bounded(side: str | None, start: str, end: str) -> Period:
    match (side or "").lower():
        case "since" | "from" | "starting":
            return Period(start=start)
        case "after":
            return Period(start=end)
        case "before":
            return Period(end=start)
        case "until" | "till" | "up to" | "through":
            return Period(end=end)
        case _:
            return Period(start=start, end=end)


def _relative(match: re.Match[str]) -> Period:
    unit = match["unit"].lower()
    this = f"date_trunc('{unit}', current_date)"
    if match["which"].lower() in ("this", "current"):
        return Period(start=this, end=f"{this} + INTERVAL '{_interval(1, unit)}'")
    return Period(start=f"{this} - INTERVAL '{_interval(1, unit)}'", end=this)


def _rolling(match: re.Match[str]) -> Period:
    count = int(match["count"])
    return Period(start=f"current_date - INTERVAL '{_interval(count, match['unit'].lower())}'")


def _interval(count: int, unit: str) -> str:
    if unit == "quarter":
        count, unit = count * 3, "month"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _today(match: re.Match[str]) -> Period:
    if match[0].lower() == "today":
        return Period(start="current_date", end="current_date + INTERVAL '1 day'")
    return Period(start="current_date - INTERVAL '1 day'", end="current_date")


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_SIDE = r"(?:\b(?P<side>since|from|starting|after|before|until|till|up to|through)\s+)?"
_IN = r"(?:\b(?:in|on|during|for|of|the year)\s+)?"
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Period]], ...] = (
    (
        _form(
            r"\b(?:between|from)\s+(?P<first>\d{4}-\d{2}-\d{2})\s+(?:and|to|until|through)\s+"
            r"(?P<last>\d{4}-\d{2}-\d{2})"
        ),
        _days,
    ),
    (
        _form(
            r"\b(?:between|from)\s+(?P<first>(?:19|20)\d{2})\s+(?:and|to|until|through)\s+"
            r"(?P<last>(?:19|20)\d{2})\b(?!-)"
        ),
        _years,
    ),
    (
        _form(
            r"\b(?:in |during )?(?:the )?(?:q(?P<number>[1-4])|(?P<ordinal>first|second|third|"
            rf"fourth|1st|2nd|3rd|4th) quarter)(?:\s+(?:of|in))?\s+{_YEAR}\b"
        ),
        _quarter,
    ),
    (_form(rf"{_SIDE}{_IN}\b(?P<date>\d{{4}}-\d{{2}}-\d{{2}})\b"), _day),
    (_form(rf"{_SIDE}{_IN}\b{_YEAR}-(?P<number>0[1-9]|1[0-2])\b"), _numeric_month),
    (_form(rf"{_SIDE}{_IN}\b{_MONTH}(?:\s+of)?,?\s+{_YEAR}\b"), _month_of_year),
    (_form(rf"{_SIDE}{_IN}\b{_YEAR}\b"), _year),
    (
        _form(
            r"\b(?:in |over |during |within )?(?:the )?(?:last|past|previous)\s+(?P<count>\d+)\s+"
            r"(?P<unit>day|week|month|quarter|year)s?\b"
        ),
        _rolling,
    ),
    (
        _form(
            r"\b(?:in |over |during )?(?:the )?(?P<which>last|past|previous|this|current)\s+"
            r"(?P<unit>week|month|quarter|year)\b(?!s)"
        ),
        _relative,
    ),
    (_form(r"\b(?:today|yesterday)\b"), _today),
    (_form(rf"\b(?:in|during|for)\s+{_MONTH}\b"), _any_year),
)
