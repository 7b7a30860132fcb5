"""A second chance: what goes back to the model, and what is kept of the round before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentinfra.errors import JSONExtractionError
from agentinfra.llm.dialects.request import OUTPUT
from agentinfra.llm.structured.reading import with_value
from agentinfra.results import Choice, ToolCall

if TYPE_CHECKING:
    from agentinfra.llm.structured.plan import Plan
    from agentinfra.llm.structured.reading import MisfitError
    from agentinfra.results import AnswerSource, LLMResponse, Usage

__all__ = ["Kept", "Spent", "complaint", "kept_of"]

_RIGHT = "This call is right. Make it again as it is, beside the corrected one."


def complaint(reply: LLMResponse, misfit: MisfitError, plan: Plan) -> list[Mapping[str, Any]]:
    """Return the messages that show a model its output, and what is wrong with which part of it.

    Its own turn goes back as it came, with the reasoning and signatures that its endpoint wants.
    """
    if not reply.tool_calls:
        # One that wrote no JSON at all may never have seen the schema: its server ignores it.
        asked = "Do it again." if misfit.heeded else plan.instruction
        said = f"That does not fit: {'; '.join(misfit.lines)}. {asked}"
        return [_turn(reply), {"role": "user", "content": said}]
    answers = []
    for place, call in enumerate(reply.tool_calls):
        lines = misfit.wrong.get(place)
        said = f"That does not fit: {'; '.join(lines)}. Do it again." if lines else _RIGHT
        answers.append({"role": "tool", "tool_call_id": call.id, "content": said})
    return [_turn(reply), *answers]


def _turn(reply: LLMResponse) -> Mapping[str, Any]:
    turn = reply.message
    # An empty turn is refused by most servers.
    silent = not turn.get("content") and not reply.tool_calls and OUTPUT not in turn
    return {**turn, "content": "(no answer)"} if silent else turn


class Spent:
    """What all rounds of a call have cost.

    Args:
        started: When the first began.
    """

    def __init__(self, started: float) -> None:
        self._started = started
        self._usage: Usage | None = None
        self._cost: Decimal | None = Decimal(0)
        self._attempts = 0

    def with_all(self, reply: LLMResponse, now: float) -> LLMResponse:
        """Add a round, and return its reply with what all rounds have cost."""
        self._usage = reply.usage if self._usage is None else self._usage + reply.usage
        self._attempts += reply.attempts
        known = self._cost is not None and reply.cost_usd is not None
        self._cost = self._cost + reply.cost_usd if known else None  # type: ignore[operator]
        if self._attempts == reply.attempts:
            return reply  # the only round
        return replace(
            reply,
            usage=self._usage,
            cost_usd=self._cost,
            attempts=self._attempts,
            latency=now - self._started,
        )

    def told(self, error: BaseException) -> None:
        """Have an error that ended a later round tell what the earlier ones have cost."""
        if self._usage is not None:
            cost = "an unknown sum" if self._cost is None else f"{self._cost} USD"
            error.add_note(
                f"earlier rounds of this call: {self._attempts} request(s), "
                f"{self._usage.total_tokens} tokens, {cost}"
            )


@dataclass(frozen=True, slots=True)
class Kept:
    """The right calls of a round whose other calls were wrong.

    Attributes:
        calls: They, with their values, by their places.
        count: How many calls there were in that round.
        turn: The turn that made them.
    """

    calls: Mapping[int, ToolCall]
    count: int
    turn: Mapping[str, Any]

    def beside(self, reply: LLMResponse) -> LLMResponse:
        """Return a reply that repeats only what was wrong with what was right before.

        A model may correct one call and not make the others again: none of them is lost.
        """
        again = {(call.name, call.arguments) for call in reply.tool_calls}
        missing = {
            place: call
            for place, call in self.calls.items()
            if (call.name, call.arguments) not in again
        }
        if not missing or len(reply.tool_calls) >= self.count:
            return reply
        corrected = iter(reply.tool_calls)
        row: list[ToolCall | None] = [
            missing.get(place) or next(corrected, None) for place in range(self.count)
        ]
        calls = tuple(call for call in (*row, *corrected) if call is not None)
        ids = {call.id for call in missing.values()}
        turn = _joined(self.turn, reply.message, ids)
        source = _Joined(reply.choices[0], calls, turn, reply._source)  # noqa: SLF001 - goes on
        first = calls[0]
        return replace(
            reply, tool_calls=calls, text=first.arguments, parsed=first.parsed, _source=source
        )


def kept_of(reply: LLMResponse, misfit: MisfitError, plan: Plan) -> Kept | None:
    """Return the right calls of a reply whose other calls were wrong; None where none is right."""
    calls: dict[int, ToolCall] = {}
    for place, call in enumerate(reply.tool_calls):
        tool = plan.named(call.name)
        if place not in misfit.wrong and tool is not None:
            try:
                calls[place] = with_value(call, tool.parse(call.arguments))
            except JSONExtractionError:
                continue
    return Kept(calls, len(reply.tool_calls), reply.message) if calls else None


def _joined(
    before: Mapping[str, Any], after: Mapping[str, Any], ids: set[str]
) -> Mapping[str, Any]:
    """Return one turn out of two, of the first what belongs to some of its calls."""
    calls = [call for call in before.get("tool_calls", ()) if call.get("id") in ids]
    turn = {**after, "tool_calls": [*calls, *after.get("tool_calls", ())]}
    if OUTPUT in before:
        # What was thought belongs to the calls behind it, and is wanted back with them.
        items = [
            item for item in before[OUTPUT] if item.get("call_id") in ids or "call_id" not in item
        ]
        turn[OUTPUT] = [*items, *after.get(OUTPUT, ())]
    return turn


class _Joined:
    """The source of a reply whose calls are of two rounds."""

    __slots__ = ("_choice", "_last")

    def __init__(
        self,
        choice: Choice,
        calls: tuple[ToolCall, ...],
        turn: Mapping[str, Any],
        last: AnswerSource | None,
    ) -> None:
        self._choice = replace(choice, tool_calls=calls, message=turn)
        self._last = last

    @property
    def api(self) -> str:
        return self._last.api if self._last is not None else "chat"

    @property
    def data(self) -> Mapping[str, Any]:
        return self._last.data if self._last is not None else {}

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (self._choice,)
