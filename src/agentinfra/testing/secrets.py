"""Looks for secrets where none may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["assert_no_secrets"]

_SHOWN = 4


def assert_no_secrets(places: Any, *secrets: str) -> None:
    """Check that no secret stands in a text, nor in anything's ``str`` and ``repr``.

    Args:
        places: A text, or anything made of them: logs, spans, errors, pages, lists of these.
        secrets: What must not be found.

    Raises:
        AssertionError: One was found; the message says in which place, and not what it is.
        ValueError: No secret was given, or an empty one, which stands everywhere.
    """
    if not secrets or not all(secrets):
        raise ValueError("assert_no_secrets needs at least one secret, and none that is empty")
    for path, text in _texts(places, "it"):
        for secret in secrets:
            if secret in text:
                raise AssertionError(
                    f"the secret that begins with {secret[:_SHOWN]!r} stands in {path}"
                )


def _texts(place: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(place, dict):
        for key, value in place.items():
            yield from _texts(key, f"a key of {path}")
            yield from _texts(value, f"{path}[{key!r}]")
    elif isinstance(place, list | tuple | set | frozenset):
        for number, value in enumerate(place):
            yield from _texts(value, f"{path}[{number}]")
    elif isinstance(place, bytes):
        yield path, place.decode(errors="replace")
    else:
        yield f"str of {path}", str(place)
        yield f"repr of {path}", repr(place)
        yield from ((f"a note of {path}", note) for note in getattr(place, "__notes__", ()))
