"""What must never leave the process: secrets, known by the name of their key or by their look.

`Redactor` turns any value into one that JSON knows and that holds no secret. Structure comes
first: under the name of a secret nothing is shown. Then each text by itself, never the text that
a structure was encoded to. It never raises, whatever the value's own methods do, and its work is
bounded: deep, endless and circular values are cut, and so are long texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from agentinfra.observability.redaction.names import Verdict, contains, judge, words_of
from agentinfra.observability.redaction.scanner import Scanner
from agentinfra.observability.redaction.walk import CUT, INT, REDACTED, Walk

__all__ = ["Redactor"]

_KNOWN_KEYS = 4_096
_LONGEST = 32_768
"""Characters kept of one text; a collector refuses a whole batch for one that is far longer."""
_BEHIND = 1_024  # looked at behind the cut, for a secret that lies across it
_MARK = REDACTED.encode()
_SCALARS = frozenset((str, bool, int, float))
_LEAST = -INT
_NUMBERS = frozenset((bool, int, float, Decimal, type(None)))
_SHORT = 64
"""Characters of a text that is remembered once it was found clean: names of events, models,
operations come again on every line."""
_KNOWN_TEXTS = 4_096


class Redactor:
    """Cleans values for a log line, a span or a report. Stateless but for a cache; share it freely.

    Args:
        names: Keys whose values are secret, beside the built-in ones. A key is matched word by
            word, whatever its case and separators: ``email`` covers ``user_email`` and ``eMail``
            is ``e_mail``.
    """

    __slots__ = ("_clean", "_extra", "_known", "_scanner", "_shown")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._extra = tuple(words for name in names if (words := words_of(name)))
        self._known: dict[str, Verdict] = {}
        self._shown: set[str] = set()  # those of them that say nothing of their values
        self._clean: set[str] = set()
        self._scanner = Scanner(self._extra)

    @property
    def missing(self) -> str:
        """What to install for it to be quick; empty where nothing lacks."""
        return self._scanner.missing

    def is_secret(self, key: str) -> bool:
        """Return whether values under this key are never shown."""
        return self.verdict(key) is Verdict.HIDDEN

    def verdict(self, key: str) -> Verdict:
        """Return what a key says of its values."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_KEYS:  # keys may come from data, without end
                self._known.clear()
                self._shown.clear()
            known = self._known[key] = self._judge(key)
            if known is Verdict.SHOWN:
                self._shown.add(key)
        return known

    def text(self, text: str) -> str:
        """Return the text, as UTF-8 can carry it, with all that looks like a secret replaced.

        Of a text beyond 32,768 characters the beginning is kept, and how much there was.
        """
        if text in self._clean:
            return text
        length = len(text)
        if length > _LONGEST:
            text = text[: _LONGEST + _BEHIND]
        data = text.encode("utf-8", "replace")
        clean = self._scanner.hide(data, _MARK)
        if clean is not None:
            text = clean.decode("utf-8", "replace")
        elif not text.isascii():
            text = data.decode()
        elif length <= _SHORT:
            if len(self._clean) >= _KNOWN_TEXTS:  # texts may come from data, without end
                self._clean.clear()
            self._clean.add(text)
        if length > _LONGEST:
            return f"{text[:_LONGEST]}{CUT} ({length} characters)"
        return text

    def fields(self, fields: Mapping[str, Any], *, odd: list[str] | None = None) -> dict[str, Any]:
        """Return the fields of an event, each cleaned.

        Args:
            fields: Their names and values.
            odd: Takes the names of those that are no text, number or bool.
        """
        clean = dict(fields)
        remembered = self._clean
        telling = () if self._shown.issuperset(fields) else self._telling(fields)
        for key, value in fields.items():
            kind = type(value)
            if telling and key in telling:
                shown = Walk(self).under(self.verdict(key), value)
            elif kind is str:  # first: nearly every field is one
                if value not in remembered:
                    clean[key] = self.text(value)
                continue
            elif (
                (kind is int and _LEAST < value < INT)
                or (kind is float and value - value == 0.0)  # false for what is not finite
                or kind is bool
            ):
                continue
            elif kind is Decimal:  # what calls cost: on every call's line
                clean[key] = str(value)
                continue
            elif value is None or (kind is list and len(value) == 1 and self._is_known(value[0])):
                shown = value  # why a call finished is a list of one
            else:
                shown = self.value(value)
            clean[key] = shown
            if odd is not None and type(shown) not in _SCALARS:
                odd.append(key)
        return clean

    def _is_known(self, value: Any) -> bool:
        """Say whether a value is a text that was found clean before."""
        return type(value) is str and value in self._clean

    def _telling(self, fields: Mapping[str, Any]) -> set[str]:
        """Return the keys that have to do with what is shown of their values."""
        telling = set()
        for key, value in fields.items():
            verdict = self.verdict(key)
            # A number is no secret by its looks: "tokens" is mostly one.
            judged = verdict is Verdict.JUDGED and type(value) not in _NUMBERS
            if verdict is Verdict.HIDDEN or judged:
                telling.add(key)
        return telling

    def value(self, value: Any) -> Any:
        """Return a copy made of dicts with text keys, lists, text, numbers, bools and None."""
        return Walk(self).clean(value)

    def _judge(self, key: str) -> Verdict:
        words = words_of(key)
        if any(contains(words, extra) for extra in self._extra):
            return Verdict.HIDDEN
        return judge(words)
