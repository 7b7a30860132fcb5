"""The file ``.env``: read whole, or refused in a sentence that names the line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from agentinfra.errors import ConfigurationError
from agentinfra.settings.origins import Variable

__all__ = ["read_dotenv"]


def read_dotenv(path: Path) -> list[Variable]:
    """Return the variables a file sets, in its order; none where there is no file.

    Lines may begin with ``export``, values be quoted and name others as ``${NAME}``.

    Raises:
        ConfigurationError: It is not UTF-8, or a line cannot be read.
    """
    text = _text(path)
    return list(_variables(text, str(path))) if text else []


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        raw = path.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw:
        raise ConfigurationError(
            f"{path}, line 1: is UTF-16, as PowerShell's > writes it: save the file as UTF-8"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
    raise ConfigurationError(f"{path}, line {line}: is not UTF-8: save the file as UTF-8")


def _variables(text: str, file: str) -> Iterator[Variable]:
    from dotenv.main import resolve_variables
    from dotenv.parser import parse_stream

    lines: dict[str, int] = {}
    values: list[tuple[str, str | None]] = []
    for binding in parse_stream(io.StringIO(text)):
        said = binding.original.string
        line = binding.original.line + said[: len(said) - len(said.lstrip())].count("\n")
        if binding.error:
            raise ConfigurationError(
                f"{file}, line {line}: cannot be read: write NAME=value, and close every quote"
            )
        if binding.key is not None:
            lines[binding.key] = line
            values.append((binding.key, binding.value))
    for name, value in resolve_variables(values, override=False).items():
        if value is not None:
            yield Variable(name, value, file, lines[name])
