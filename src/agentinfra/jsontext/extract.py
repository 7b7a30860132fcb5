"""JSON out of what a model wrote: fences, prose, thinking, slips and all.

`extract_json` gives the value, `extract` the value with a report of how it was got.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, overload

from agentinfra.errors import JSONExtractionError
from agentinfra.jsontext.candidates import (
    Candidate,
    Strategy,
    Tier,
    in_order,
    last_complete,
)
from agentinfra.jsontext.scan import MAX_ERRORS, OverloadError, Scan
from agentinfra.jsontext.schema import Judge, MismatchError, judge
from agentinfra.jsontext.strict import NotJSONError, strict
from agentinfra.jsontext.tokens import CONSTANTS, LITERALS

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Extraction", "extract", "extract_json", "extract_judged"]

T = TypeVar("T")

_MARGIN: Final = "\ufeff\u200b \t\r\n"
_ESCAPED: Final = re.compile(r'[{\[](?:\\[nrt]|\s)*\\"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """A value found in a text, and how.

    Attributes:
        value: The value; an instance of the schema where that is a type.
        repaired: Whether the source is not JSON as it stands.
        strategy: ``direct`` (the whole text), ``fence``, ``span`` (amid other text), ``lines``
            (several values in a row, given as a list), ``string`` (JSON inside a JSON string),
            ``repair``, or ``truncated`` (the text ended before the value did).
        source: The part of the text it was read from.
        plain: The value as JSON has it.
        errors: Why other places in the text were passed over, one line each.
    """

    value: Any
    repaired: bool
    strategy: Strategy
    source: str
    plain: Any = field(default=None, compare=False, repr=False)
    errors: tuple[str, ...] = ()


@overload
def extract_json(text: str, schema: type[T], *, repair: bool = True) -> T: ...
@overload
def extract_json(text: str, schema: TypeAdapter[T], *, repair: bool = True) -> T: ...
@overload
def extract_json(text: str, schema: Any = None, *, repair: bool = True) -> Any: ...
def extract_json(text: str, schema: Any = None, *, repair: bool = True) -> Any:
    """Return the JSON value in a model's output.

    A text that is JSON is returned as ``json.loads`` reads it. Otherwise thinking is skipped and
    the value is looked for in JSON fences first, then in the text, then in other fences. Of
    several values it is the last complete one, with a schema the last that fits, those that are
    called an example or a draft after all others; values that follow each other with nothing
    between are a list.

    Args:
        text: The output.
        schema: A JSON Schema as a dict, or a type: a pydantic model, a dataclass, a TypedDict,
            ``list[Model]``. A type's value is an instance of it. None takes any value.
        repair: Whether broken JSON is mended. Without, only JSON by the grammar is found.

    Raises:
        JSONExtractionError: There is no such value; ``errors`` say why.
        ConfigurationError: The schema cannot be used.
    """
    return extract(text, schema, repair=repair).value


def extract(text: str, schema: Any = None, *, repair: bool = True) -> Extraction:
    """Return the JSON value in a model's output with a report; see `extract_json`.

    Raises:
        JSONExtractionError: There is no such value; ``errors`` say why.
        ConfigurationError: The schema cannot be used.
    """
    return _Search(text, judge(schema) if schema is not None else None, repair=repair).run()


def extract_judged(text: str, check: Judge) -> Extraction:
    """Return the JSON value that a judge takes with a report, as `extract` does for a schema.

    Args:
        text: The output.
        check: Gives a value back as it is wanted, or raises ``MismatchError``.

    Raises:
        JSONExtractionError: There is no such value; ``errors`` say why.
    """
    return _Search(text, check, repair=True).run()


class _Search:
    """One extraction: the text, who judges its values, and what was said against them."""

    __slots__ = ("_errors", "_judge", "_nested", "_repair", "_text")

    def __init__(
        self, text: str, check: Judge | None, *, repair: bool, nested: bool = False
    ) -> None:
        self._text = text
        self._judge = check
        self._repair = repair
        self._nested = nested
        self._errors: list[str] = []

    def run(self) -> Extraction:
        body = self._text.strip(_MARGIN)
        try:
            value = strict(body)
        except NotJSONError as error:
            if error.deep:
                raise self._failure(str(error)) from None
        else:
            return self._whole(body, value, "direct")
        if self._repair and body in CONSTANTS:
            return self._whole(body, LITERALS[body], "repair")
        try:
            return self._read(body) or self._fail()
        except OverloadError as error:
            raise self._failure(str(error)) from None

    def _whole(self, body: str, value: Any, strategy: Strategy) -> Extraction:
        candidate = Candidate(
            value=value,
            start=0,
            end=len(body),
            tier=Tier.TEXT,
            strategy=strategy,
            repaired=strategy == "repair",
        )
        return self._fitting(body, [candidate]) or self._fail()

    def _read(self, body: str) -> Extraction | None:
        found = self._scan(body)
        if found or not self._repair or self._nested:
            return found
        for reading in _readings(body):
            if found := self._scan(reading):
                return replace(found, repaired=True, strategy="repair")
        return None

    def _scan(self, text: str) -> Extraction | None:
        scan = Scan(text, repair=self._repair)
        self._errors += scan.errors
        if self._judge is None:
            chosen = last_complete(text, scan.candidates)
            return self._report(text, chosen, chosen.value) if chosen else None
        return self._fitting(text, in_order(text, scan.candidates))

    # -- judging

    def _fitting(self, text: str, candidates: Iterable[Candidate]) -> Extraction | None:
        """Return the first candidate that the schema takes."""
        for candidate in candidates:
            if self._judge is None:
                return self._report(text, candidate, candidate.value)
            try:
                return self._report(text, candidate, self._judge(candidate.value))
            except MismatchError as mismatch:
                self._errors += mismatch.lines
            if isinstance(candidate.value, str) and (found := self._inside(candidate.value)):
                return found
        return None

    def _inside(self, encoded: str) -> Extraction | None:
        """Look into a string, which may be JSON that was encoded twice."""
        if self._nested:
            return None
        try:
            found = _Search(encoded, self._judge, repair=self._repair, nested=True).run()
        except JSONExtractionError:
            return None
        return found if found.repaired else replace(found, strategy="string")

    def _report(self, text: str, candidate: Candidate, value: Any) -> Extraction:
        return Extraction(
            value=value,
            repaired=candidate.repaired,
            strategy=candidate.strategy,
            source=text[candidate.start : candidate.end],
            plain=candidate.value,
            errors=tuple(self._errors[:MAX_ERRORS]),
        )

    # -- failing

    def _fail(self) -> NoReturn:
        if not self._text.strip(_MARGIN):
            raise self._failure("the text is empty")
        raise self._failure(self._errors[0] if self._errors else "nothing in it looks like JSON")

    def _failure(self, reason: str) -> JSONExtractionError:
        what = "value that fits the schema" if self._judge else "value"
        where = f"{len(self._text)} characters beginning with {self._text[:40]!r}"
        return JSONExtractionError(
            f"no JSON {what} in {where}: {reason}",
            text=self._text,
            errors=tuple(self._errors[:MAX_ERRORS]) or (reason,),
        )


def _readings(text: str) -> Iterator[str]:
    """Yield the text with one level of escaping taken away, where it has one too many."""
    if _ESCAPED.search(text):
        with suppress(NotJSONError):
            yield strict('"' + text.replace("\r", "\\r").replace("\n", "\\n") + '"')
    if "&quot;" in text and '"' not in text:
        yield html.unescape(text)
