"""The responses that were kept, and what may be asked of them later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from agentinfra.testing.apis.responses.body import unfinished
from agentinfra.testing.outcome import Asked, Outcome, RefusedError

__all__ = ["Kept", "ResponseStore"]

_MOST = 1000


class Kept:
    """One response, as bytes: a thousand parsed ones are work for the garbage collector.

    Args:
        response: The object as it is when it is done.
        given: The items it was asked with.
        items: All items of the conversation, its own output too.
        ready: When a background response is done, on the server's clock.
    """

    __slots__ = ("_packed", "background", "ids", "ready")

    def __init__(
        self,
        *,
        response: dict[str, Any],
        given: Sequence[Mapping[str, Any]],
        items: Sequence[Mapping[str, Any]],
        ready: float,
    ) -> None:
        self._packed = orjson.dumps((response, given, items))
        self.ids = tuple(str(item.get("id")) for item in items)
        self.background: bool = response["background"]
        self.ready = ready

    @property
    def response(self) -> dict[str, Any]:
        """The object as it is when it is done."""
        found: dict[str, Any] = self._open()[0]
        return found

    @property
    def given(self) -> list[dict[str, Any]]:
        """The items it was asked with."""
        found: list[dict[str, Any]] = self._open()[1]
        return found

    @property
    def items(self) -> list[dict[str, Any]]:
        """All items of the conversation, its own output too."""
        found: list[dict[str, Any]] = self._open()[2]
        return found

    def end(self, response: Mapping[str, Any]) -> None:
        """Take another object for the one that is done, and be done now."""
        self._packed = orjson.dumps((response, *self._open()[1:]))
        self.ready = 0.0

    def _open(self) -> list[Any]:
        opened: list[Any] = orjson.loads(self._packed)
        return opened


class ResponseStore:
    """Keeps the responses of one server, the newest thousand.

    Args:
        clock: The time in seconds; background responses are done by it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        # Which thought a call came with: the two have to come back together.
        self._thoughts: OrderedDict[str, str] = OrderedDict()

    def keep(self, kept: Kept, response: Mapping[str, Any]) -> None:
        """Remember a response, unless it is not to be stored."""
        output = response["output"]
        thought = next((item["id"] for item in output if item["type"] == "reasoning"), None)
        if thought is not None:
            for item in output:
                if item["type"] == "function_call":
                    self._thoughts[item["id"]] = thought
        if response["store"]:
            self._kept[response["id"]] = kept
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        while len(self._thoughts) > _MOST:
            self._thoughts.popitem(last=False)

    def before(self, name: str | None) -> list[dict[str, Any]]:
        """Return the items of the conversation that a response ended.

        Raises:
            RefusedError: There is no such response.
        """
        if name is None:
            return []
        kept = self._kept.get(name)
        if kept is None:
            raise RefusedError(
                f"Previous response with id '{name}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return kept.items

    def check_items(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Check that thoughts and the calls that came with them are together.

        Raises:
            RefusedError: One is there without the other, or was not kept.
        """
        ids = {item.get("id") for item in items}
        for item in items:
            name, kind = item.get("id"), item.get("type")
            thought = self._thoughts.get(str(name))
            if kind == "function_call" and thought is not None and thought not in ids:
                raise RefusedError(
                    f"Item '{name}' of type 'function_call' was provided without its required "
                    f"'reasoning' item: '{thought}'.",
                    param="input",
                )
            sealed = item.get("encrypted_content")
            if kind == "reasoning" and not sealed and not self._has(name):
                raise RefusedError(
                    f"Item with id '{name}' not found. Items are not persisted when `store` is set "
                    "to false. Try again with `store` set to true, or remove this item from your "
                    "input.",
                    status=404,
                    param="input",
                )

    def _has(self, name: Any) -> bool:
        return any(str(name) in kept.ids for kept in self._kept.values())

    def answer(self, asked: Asked) -> Outcome:
        """Answer a request about a response that was kept.

        Raises:
            RefusedError: There is none, or it cannot be cancelled.
        """
        kept = self._kept.get(asked.argument)
        if kept is None:
            raise RefusedError(
                f"Response with id '{asked.argument}' not found.", status=404, param="response_id"
            )
        if asked.endpoint == "responses.input_items":
            return Outcome(body=orjson.dumps(_listed(kept)))
        if asked.endpoint == "responses.cancel":
            return Outcome(body=orjson.dumps(self._cancel(kept)))
        if asked.exchange.method == "DELETE":
            del self._kept[asked.argument]
            gone = {"id": asked.argument, "object": "response", "deleted": True}
            return Outcome(body=orjson.dumps(gone))
        return Outcome(body=orjson.dumps(self.shown(kept)))

    def shown(self, kept: Kept, *, new: bool = False) -> dict[str, Any]:
        """Return a response as it is now: one in the background may not be done yet."""
        waiting = new or self._clock() < kept.ready
        if not (kept.background and waiting):
            return kept.response
        return unfinished(kept.response, "queued" if new else "in_progress")

    def _cancel(self, kept: Kept) -> dict[str, Any]:
        if not kept.background:
            raise RefusedError("Only background responses can be cancelled.")
        if kept.response["status"] == "completed":
            kept.end(unfinished(kept.response, "cancelled"))
        return kept.response


def _listed(kept: Kept) -> dict[str, Any]:
    name = kept.response["id"]
    data = [_item(item, f"msg_{name[-20:]}{place:04d}") for place, item in enumerate(kept.given)]
    return {
        "object": "list",
        "data": data[::-1],
        "first_id": data[-1]["id"] if data else None,
        "last_id": data[0]["id"] if data else None,
        "has_more": False,
    }


def _item(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    listed = {"id": name, "type": "message", "status": "completed", **item}
    if listed["type"] == "message" and isinstance(listed["content"], str):
        listed["content"] = [{"type": "input_text", "text": listed["content"]}]
    return listed
