"""What a call can cost at most: the dearest a token of each kind may be billed as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from agentinfra.llm.money.rates import Rates

__all__ = ["Bound", "Most"]


@dataclass(slots=True, kw_only=True)
class Most:
    """What a call can use at most.

    Attributes:
        text: Tokens of the prompt that are text.
        pictures: Those that are pictures.
        sound: Those that are sound.
        answer: Tokens of the completion.
        speaks: Whether it may answer in sound.
        searches: Searches the server may make for it.
    """

    text: int
    pictures: int = 0
    sound: int = 0
    answer: int = 0
    speaks: bool = False
    searches: int = 0


class Bound:
    """What bounds the cost of calls of one model.

    Args:
        rates: Each of the rates a call may be billed by.
        factor: How much dearer its endpoint has been than those.
    """

    __slots__ = ("_ceilings", "_only", "largest", "window")

    def __init__(self, rates: Sequence[Rates], factor: Decimal) -> None:
        self.window = rates[0].window
        self.largest = rates[0].largest
        self._ceilings = tuple(
            _ceiling(start, dated, factor)
            for one in rates
            for other in (one, *one.later)
            for start, dated in ((0, other), *other.longer)
        )
        self._only = self._ceilings[0] if len(self._ceilings) == 1 else None

    def of_text(self, text: int, answer: int) -> Decimal:
        """Return what a call of text alone costs at most in USD.

        Args:
            text: Tokens of the prompt at most.
            answer: Tokens of the answer at most.
        """
        if self._only is not None:
            return self._only.of_text(text, answer)
        return max(one.of_text(text, answer) for one in self._ceilings if text >= one.above)

    def of(self, most: Most) -> Decimal:
        """Return what a call costs at most in USD."""
        prompt = most.text + most.pictures + most.sound
        return max(ceiling.of(most) for ceiling in self._ceilings if prompt >= ceiling.above)


class Ceiling(NamedTuple):
    """What a token of a call costs at most, where its prompt is longer than so many."""

    above: int
    text: Decimal
    picture: Decimal
    sound: Decimal
    answer: Decimal
    speech: Decimal
    search: Decimal
    request: Decimal

    def of_text(self, text: int, answer: int) -> Decimal:
        """Return what a call of text alone costs at most in USD."""
        return self.text * text + self.answer * answer + self.request

    def of(self, most: Most) -> Decimal:
        """Return what a call costs at most in USD."""
        answer = self.speech if most.speaks else self.answer
        cost = self.text * most.text + answer * most.answer + self.request
        if most.pictures or most.sound or most.searches:
            cost += self.picture * most.pictures + self.sound * most.sound
            cost += self.search * most.searches
        return cost


def _ceiling(above: int, rates: Rates, factor: Decimal) -> Ceiling:
    # What is read may be written to a cache on the way, and pictures drawn in an answer.
    stored = max(rates.input, rates.cached, rates.written, rates.written_1h)
    answer = max(rates.output, rates.thought, rates.image_output)
    return Ceiling(
        above=above,
        text=stored * factor,
        picture=max(rates.image_input, stored) * factor,
        sound=max(rates.audio_input, stored) * factor,
        answer=answer * factor,
        speech=max(rates.audio_output, answer) * factor,
        search=max(rates.web_search, rates.file_search) * factor,
        request=rates.request * factor,
    )
