"""Tool calls out of pieces: which piece belongs to which call.

OpenAI numbers calls with ``index`` and names each once. Others leave the index out, give every
call the index 0 (Gemini), repeat id and name in every piece, or send whole calls with neither.
So a piece belongs to the call of its id; without an id, to the call its name continues; without
both, to the call its index had last, and without an index, to the last call.
"""

from __future__ import annotations

from typing import Any

from agentinfra.llm.dialects.answer import ToolCallDelta
from agentinfra.llm.dialects.values import as_arguments, as_mapping, count, plain
from agentinfra.results import ToolCall

__all__ = ["CallPieces", "call_of"]


class _Open:
    """A call whose arguments are coming."""

    __slots__ = ("arguments", "id", "kind", "name", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self.id = ""
        self.name = ""
        self.kind = "function"
        self.arguments: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether the arguments so far are a whole object, so that nothing can follow."""
        text = "".join(self.arguments).strip()
        if not text.endswith("}"):
            return False
        depth, quoted, escaped = 0, False, False
        for character in text:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = quoted
            elif character == '"':
                quoted = not quoted
            elif not quoted:
                depth += (character == "{") - (character == "}")
        return depth == 0 and not quoted


class CallPieces:
    """The calls of one choice, in the order in which they began."""

    __slots__ = ("_by_id", "_by_index", "_calls")

    def __init__(self) -> None:
        self._calls: list[_Open] = []
        self._by_id: dict[str, _Open] = {}
        self._by_index: dict[int, _Open] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(
            ToolCall(id=c.id, name=c.name, arguments="".join(c.arguments), kind=c.kind)
            for c in self._calls
        )

    def place_of(
        self, index: int | None, call_id: str, name: str, arguments: str, kind: str = "function"
    ) -> ToolCallDelta:
        """Add a piece to the call it belongs to, and return it with the call's place."""
        call = self._call(index, call_id, name, arguments)
        if index is not None:
            self._by_index[index] = call
        if call_id and not call.id:
            call.id = call_id
            self._by_id[call_id] = call
        call.name = call.name or name
        if kind != "function":
            call.kind = kind
        if arguments:
            call.arguments.append(arguments)
        return ToolCallDelta(
            index=call.place, id=call_id or None, name=name or None, arguments=arguments
        )

    def add(self, piece: Any) -> ToolCallDelta:
        """Add a piece as a server sent it, whatever its fields are."""
        index = count(as_mapping(piece).get("index"))
        call = call_of(piece)
        return self.place_of(index, call.id, call.name, call.arguments, call.kind)

    def _call(self, index: int | None, call_id: str, name: str, arguments: str) -> _Open:
        at_index = self._by_index.get(index) if index is not None else self._last
        if call_id:
            known = self._by_id.get(call_id)
            if known is not None:
                return known
            # The id may come after the name: then it names the call that has none yet.
            unnamed = (
                at_index is not None
                and not at_index.id
                and (not name or at_index.name in ("", name))
            )
            return at_index if at_index is not None and unnamed else self._new()
        if at_index is None:
            return self._new()
        if name and at_index.name:
            goes_on = at_index.name == name and not (
                arguments.lstrip().startswith("{") and at_index.arguments and at_index.complete
            )
            return at_index if goes_on else self._new()
        return at_index

    @property
    def _last(self) -> _Open | None:
        return self._calls[-1] if self._calls else None

    def _new(self) -> _Open:
        call = _Open(len(self._calls))
        self._calls.append(call)
        return call


def call_of(piece: Any) -> ToolCall:
    """Return a call out of a message or a piece of one, as any server writes it."""
    body = as_mapping(piece)
    custom = as_mapping(body.get("custom"))
    if custom:
        return ToolCall(
            id=plain(body.get("id")),
            name=plain(custom.get("name")),
            arguments=as_arguments(custom.get("input")),
            kind="custom",
        )
    function = as_mapping(body.get("function")) or body
    given = function.get("arguments", function.get("parameters"))
    return ToolCall(
        id=plain(body.get("id")),
        name=plain(function.get("name")),
        arguments=as_arguments(given),
    )
