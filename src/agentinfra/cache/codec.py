"""How values become bytes in the shared tier: never pickle, and nothing comes back changed."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from agentinfra.cache.forms import equal, from_form, to_form
from agentinfra.errors import CacheError, ConfigurationError

__all__ = ["Codec", "PlainCodec", "TypedCodec", "codec_for"]

V = TypeVar("V")


class Codec(Protocol[V]):
    """Turns the values of one cache into bytes and back.

    Attributes:
        number: What stands for the codec in an envelope.
    """

    number: ClassVar[int]

    def encode(self, value: V) -> bytes | None:
        """Return the bytes, None for a value that would not come back as it is."""
        ...

    def decode(self, data: bytes) -> V:
        """Return the value.

        Raises:
            CacheError: The bytes are not of this cache.
        """
        ...


class PlainCodec:
    """MessagePack that says what its values are: nothing comes back as something else.

    What JSON knows, tuples, sets, bytes, dates with their zones, decimals, UUIDs, enums, and
    dataclasses, structs and pydantic models, whose classes are found by name among the modules
    the reading process has imported. Others stay in memory.
    """

    number: ClassVar[int] = 1

    def encode(self, value: Any) -> bytes | None:
        """Return the MessagePack of a value that survives it, else None."""
        try:
            data = msgspec.msgpack.encode(to_form(value))
            return data if equal(self.decode(data), value) else None
        except Exception:  # noqa: BLE001 - classes of others run their own code
            return None

    def decode(self, data: bytes) -> Any:
        """Return the value of a MessagePack.

        Raises:
            CacheError: It is none, or of a class this process does not have.
        """
        try:
            return from_form(data)
        except Exception as error:
            raise CacheError(f"the shared tier holds something else ({error})") from error


class TypedCodec:
    """JSON of one type, checked when it is read, by msgspec or else by pydantic.

    Args:
        kind: A dataclass, a struct, a TypedDict, a pydantic model, or any type made of such.

    Raises:
        ConfigurationError: Neither package can read the type.
    """

    number: ClassVar[int] = 2

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._dumps, self._loads = _msgspec(kind) if _is_native(kind) else _pydantic(kind)

    def encode(self, value: Any) -> bytes | None:
        """Return the JSON of a value that survives it, else None."""
        try:
            data: bytes = self._dumps(value)
            return data if equal(self._loads(data), value) else None
        except Exception:  # noqa: BLE001 - classes of others run their own code
            return None

    def decode(self, data: bytes) -> Any:
        """Return the value.

        Raises:
            CacheError: It is none of the type.
        """
        try:
            return self._loads(data)
        except Exception as error:
            raise CacheError(f"the shared tier holds no {self._kind!r:.80} ({error})") from error


def codec_for(kind: Any) -> Codec[Any]:
    """Return the codec of a type, the one of all types where there is none.

    Raises:
        ConfigurationError: The type cannot be read.
    """
    return PlainCodec() if kind is None else TypedCodec(kind)


def _is_native(kind: Any) -> bool:
    """Say whether msgspec knows a type and all it is made of."""
    try:
        waiting: list[Any] = [msgspec.inspect.type_info(kind)]
    except (TypeError, NotImplementedError):
        return False
    seen: set[int] = set()
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.CustomType):
            return False
        if isinstance(info, tuple):
            waiting.extend(info)
        elif isinstance(info, msgspec.Struct) and id(info) not in seen:
            seen.add(id(info))
            waiting.extend(getattr(info, name) for name in info.__struct_fields__)
    return True


def _msgspec(kind: Any) -> tuple[Any, Any]:
    return msgspec.json.Encoder().encode, msgspec.json.Decoder(kind).decode


def _pydantic(kind: Any) -> tuple[Any, Any]:
    import pydantic

    try:
        adapter = pydantic.TypeAdapter(kind)
    except pydantic.errors.PydanticSchemaGenerationError as error:
        raise ConfigurationError(
            f"type is {kind!r:.80}, which neither msgspec nor pydantic can read ({error})"
        ) from None
    return adapter.dump_json, adapter.validate_json
