"""Secrets: text, a file or a function; shown nowhere, given by one method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

from pydantic import SecretBytes, SecretStr
from pydantic_core import core_schema

from agentinfra.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

__all__ = ["Secret", "SecretSource", "header_text", "text_of"]

SecretSource: TypeAlias = Callable[[], str | Awaitable[str]]
"""Gives a secret whenever it is needed, for secrets that change: a function, async or not."""

_MASK = "**********"
_LARGEST_FILE = 65_536


@final
class Secret:
    """A secret that goes into a header: a key, a token.

    It is text, a `Path` whose file holds the text, or a function that gives it for
    each request. White space around it is no part of it. Neither ``repr`` nor a dump shows it; two
    secrets are equal when they come from equal text or from the same function.

    Args:
        source: The text, the file, or the function. A file is read here, once.

    Raises:
        ValueError: The text is empty or cannot stand in a header, or the file cannot be read.
    """

    __slots__ = ("_source",)

    def __init__(self, source: str | Path | SecretStr | SecretSource) -> None:
        self._source: str | SecretSource
        if callable(source):
            self._source = source
        else:
            self._source = header_text(text_of(source))
            if not self._source:
                raise ValueError("is empty")

    @property
    def changes(self) -> bool:
        """Whether a function gives it, anew for each request."""
        return not isinstance(self._source, str)

    def get_secret_value(self) -> str:
        """Return the text.

        Raises:
            ConfigurationError: A function gives it: await `current`.
        """
        if not isinstance(self._source, str):
            raise ConfigurationError(
                "the secret is given by a function, and is only known when it is asked for"
            )
        return self._source

    async def current(self) -> str:
        """Return the text as it is now; a function is asked, and awaited where it is async.

        Raises:
            ConfigurationError: What the function gives cannot stand in a header.
        """
        if isinstance(self._source, str):
            return self._source
        given = self._source()
        text = await given if isawaitable(given) else given
        try:
            return header_text(text_of(text))
        except ValueError as error:
            raise ConfigurationError(f"the secret that a function gave {error}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._source == other._source

    def __hash__(self) -> int:
        return hash(self._source)

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (self._source,)

    @classmethod
    def _read(cls, value: Any) -> Secret:
        return value if isinstance(value, Secret) else cls(value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        text = core_schema.str_schema()
        return core_schema.no_info_plain_validator_function(
            cls._read,
            json_schema_input_schema=text,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=text, when_used="json"
            ),
        )


def text_of(value: Any) -> str:
    """Return what a value says, without the white space around it.

    Args:
        value: Text, pydantic's secret or URL, or a path, whose file is read.

    Raises:
        ValueError: It is something else, or the file cannot be read. The value is not repeated.
    """
    if isinstance(value, Path):
        return _content(value).strip()
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool | int | float | SecretBytes | bytes) or value is None:
        raise ValueError("must be text")
    if not isinstance(value, str) and "://" not in str(value):  # pydantic's URLs are no str
        raise ValueError("must be text")
    text = str(value).strip()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds bytes that are not UTF-8")
    return text


def header_text(text: str) -> str:
    """Return text that can stand in a header.

    Raises:
        ValueError: It cannot. The text is not repeated.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError("holds a line break or another control character")
    if not text.isascii() and any(character > "\xff" for character in text):
        raise ValueError(
            "holds a character that no header can carry, such as a typographic quote: copy it anew"
        )
    return text


def _content(path: Path) -> str:
    # Neither the path nor what was read is told: somebody may have put the secret into `..._FILE`.
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"the file it names cannot be read: {reason}") from None
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"the file it names is larger than {_LARGEST_FILE} bytes")
    return text
