"""How state becomes bytes, and what may be made of bytes.

Importing this module imports langgraph.
"""

from __future__ import annotations

import struct
import sys
import threading
import time
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Any

import msgspec
import ormsgpack
from langgraph._internal import _serde as derivation
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentinfra.checkpoint.cipher import NO_KEY
from agentinfra.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["WRITTEN", "StrictSerializer", "Written", "derive_types"]

_STRETCH = 0.0005
"""Seconds a thread may hold the interpreter before it lets the event loop have it."""

_NAP = 1e-6  # shorter sleeps come back before another thread has woken up

_PIECE = 16_384
"""Bytes of a list that are decoded in one go, which nobody can interrupt."""

_IN_PIECES = 8 * _PIECE
_LIST_OF = msgspec.msgpack.Decoder(list[msgspec.Raw])

_NUMBERS = (
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "bool", "bool_"),
)
_OURS = (("builtins", "int"), ("builtins", "str"), *(("numpy", name) for name in _NUMBERS))
"""What we write that LangGraph's serialiser cannot: its reader rebuilds it all the same."""

_OPTION = (
    jsonplus._option & ~ormsgpack.OPT_REPLACE_SURROGATES  # noqa: SLF001
) | ormsgpack.OPT_PASSTHROUGH_BIG_INT


class Written:
    """Counts the bytes one operation serialises."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


WRITTEN: ContextVar[Written | None] = ContextVar("agentinfra_checkpoint_written", default=None)
"""Where the running operation counts its bytes; it goes along into the saver's threads."""


def derive_types() -> None:
    """Have graphs compiled from now on tell their saver the types their schemas name.

    LangGraph does this where a variable of the environment said so before it was imported, and
    that would make everybody's savers strict as well. Serialisers without a list are not touched.
    """
    vars(derivation)["STRICT_MSGPACK_ENABLED"] = True


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serialiser with an allow-list, and without values it cannot hold.

    As it comes, it imports and calls whatever the bytes name, which makes everybody who can
    write to the database able to run code here. This one rebuilds LangGraph's list of harmless
    types and the given ones; any other value comes back as the data it was made of, with a
    warning in the log.

    Integers of any size, numpy's numbers and halves of surrogate pairs come back as they were.
    What takes long in a thread lets the event loop run in between.

    Args:
        types: Your own types that may be rebuilt, or their modules and names.
    """

    def __init__(self, types: Iterable[type | tuple[str, str]] = ()) -> None:
        super().__init__(allowed_msgpack_modules=(*types, *_OURS))

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return a value's kind and bytes.

        Raises:
            CheckpointError: It holds something that cannot be stored.
        """
        if obj is None or isinstance(obj, bytes | bytearray):
            kind, data = super().dumps_typed(obj)
        else:
            kind, data = "msgpack", _packed(obj)
        if (written := WRITTEN.get()) is not None:
            written.bytes += len(data)
        return kind, data

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value that a kind and bytes stand for.

        Raises:
            CheckpointError: They are sealed, and nothing here opens them.
        """
        kind, content = data
        if "+" in kind:
            raise CheckpointError(NO_KEY)
        if kind != "msgpack":
            return super().loads_typed(data)
        rebuild = self._unpack_ext_hook

        def hook(code: int, content: bytes) -> Any:
            _POLITE.pause()
            return rebuild(code, content)

        if len(content) > _IN_PIECES and _is_list(content):
            return _unpacked_in_pieces(content, hook)
        return _unpacked(content, hook)


class _Polite(threading.local):
    """Lets other threads have the interpreter now and then.

    A thread that computes gives it up only when asked for five milliseconds, and a loop that
    wakes a thousand times a second asks each time.
    """

    def __init__(self) -> None:
        self.since = time.perf_counter()

    def pause(self) -> None:
        """Give the interpreter up when this thread has had it for long."""
        if time.perf_counter() - self.since > _STRETCH:
            time.sleep(_NAP)
            self.since = time.perf_counter()


_POLITE = _Polite()


def _unpacked(content: bytes, hook: Callable[[int, bytes], Any]) -> Any:
    return ormsgpack.unpackb(content, ext_hook=hook, option=ormsgpack.OPT_NON_STR_KEYS)


def _is_list(content: bytes) -> bool:
    return content[0] >> 4 == 0x9 or content[0] in (0xDC, 0xDD)


def _unpacked_in_pieces(content: bytes, hook: Callable[[int, bytes], Any]) -> list[Any]:
    """Return a list that is large; finding its items takes a tenth of decoding them."""
    items = _LIST_OF.decode(content)
    number = max(1, len(items) * _PIECE // len(content))
    whole: list[Any] = []
    for start in range(0, len(items), number):
        _POLITE.pause()
        some = items[start : start + number]
        whole += _unpacked(struct.pack(">BI", 0xDD, len(some)) + b"".join(some), hook)
    return whole


class _Halves:
    """A text with halves of surrogate pairs, which UTF-8 has no bytes for."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _packed(value: Any) -> bytes:
    try:
        return _encode(value)
    except RecursionError as error:
        raise CheckpointError("it is nested too deeply to be stored") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"it cannot be stored: {error}") from error


def _encode(value: Any) -> bytes:
    try:
        return ormsgpack.packb(value, default=_default, option=_OPTION)
    except TypeError as error:
        if "surrogates" not in f"{error}{error.__cause__}":
            raise
        return ormsgpack.packb(_without_halves(value), default=_default, option=_OPTION)


def _without_halves(value: Any) -> Any:
    if type(value) is str:
        return value if value.isascii() or _whole(value) else _Halves(value)
    if type(value) is list:
        return [_without_halves(item) for item in value]
    if type(value) is tuple:
        return tuple(_without_halves(item) for item in value)
    if type(value) is dict:
        return {key: _without_halves(item) for key, item in value.items()}
    return value


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _default(value: Any) -> Any:
    _POLITE.pause()
    if isinstance(value, int) and type(value) is int:
        return _call("builtins", "int", (hex(value), 16))
    if isinstance(value, _Halves):
        content = value.text.encode("utf-8", "surrogatepass")
        return _call("builtins", "str", (content, "utf-8", "surrogatepass"))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        name = type(value).__name__
        if name in _NUMBERS:
            return _call("numpy", name, (value.item(),))
    return _vendors_default(value)


def _call(module: str, name: str, args: tuple[Any, ...]) -> Any:
    return ormsgpack.Ext(jsonplus.EXT_CONSTRUCTOR_POS_ARGS, _encode((module, name, args)))


# The vendor's own, but for what is inside of its objects: that is encoded by us again.
_vendors_default = FunctionType(
    jsonplus._msgpack_default.__code__,  # noqa: SLF001
    {**vars(jsonplus), "_msgpack_enc": _encode},
)
