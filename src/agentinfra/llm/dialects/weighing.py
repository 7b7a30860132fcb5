"""What a conversation holds beside its text: pictures, sounds, and what only the server can see."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentinfra.llm.dialects.values import as_mapping, plain

__all__ = ["NOTHING", "Attached", "attached_to"]

_PICTURES = frozenset({"image_url", "input_image", "image", "computer_screenshot"})
_FILES = frozenset({"file", "input_file", "document", "video_url", "input_video", "item_reference"})
_SOUNDS = frozenset({"input_audio", "audio_url"})
_DRAWN = "image_generation_call"

_READ_AS_TEXT = ("data:text/", "data:application/json", "data:application/xml")

TOKENS_A_SECOND = 32
"""Tokens a second of sound has at most: 10 with OpenAI, 32 with Gemini ("Audio understanding")."""

_RATES = ((24, 28), (28, 32), (32, 34))
"""Where the head has its samples a second, bytes a second, and bytes a sample."""

_SLOWEST = 1_000
"""Bytes a second of sound has at least: MP3 and Opus at 8 kbit/s."""


@dataclass(slots=True, kw_only=True)
class Attached:
    """What is in some messages beside text.

    Attributes:
        inline: Characters of the body that are data, not text.
        pictures: How many pictures.
        small: How many of them are looked at in low detail.
        sound: Tokens of sound at most.
        unseen: Whether there are files, or what is stored at the server: nobody here knows how
            many tokens those have.
    """

    inline: int = 0
    pictures: int = 0
    small: int = 0
    sound: int = 0
    unseen: bool = False


NOTHING = Attached()


def attached_to(messages: Sequence[Mapping[str, Any]]) -> Attached:
    """Return what some messages hold beside text."""
    found = Attached()
    _look(messages, found)
    return found


def _look(value: Any, found: Attached) -> None:
    if isinstance(value, list | tuple):
        for inner in value:
            _look(inner, found)
    if not isinstance(value, Mapping):
        return
    kind = plain(value.get("type"))
    if kind in _PICTURES:
        _picture(value, found)
    elif kind in _SOUNDS:
        _sound(as_mapping(value.get(kind)), found)
    elif kind in _FILES:
        _file(as_mapping(value.get("file")) or value, found)
    elif kind == _DRAWN:
        found.pictures += 1
        found.inline += len(plain(value.get("result")))
    else:
        # What it said aloud before is kept at the server.
        found.unseen = found.unseen or (value.get("role") == "assistant" and "audio" in value)
        for inner in value.values():
            _look(inner, found)


def _picture(part: Mapping[str, Any], found: Attached) -> None:
    given = part.get("image_url")
    inner = as_mapping(given)
    url = plain(given) or plain(inner.get("url"))
    found.pictures += 1
    found.small += plain(part.get("detail") or inner.get("detail")) == "low"
    if url.startswith("data:"):
        found.inline += len(url)


def _sound(part: Mapping[str, Any], found: Attached) -> None:
    data = plain(part.get("data"))
    if not data:
        found.unseen = True  # an address
        return
    found.inline += len(data)
    size = len(data) * 3 // 4
    found.sound += size * TOKENS_A_SECOND // _bytes_a_second(data) + TOKENS_A_SECOND


def _bytes_a_second(data: str) -> int:
    """Return what a second takes at least: as a WAV file's own head says."""
    try:
        head = base64.b64decode(data[:48], validate=True)
    except (binascii.Error, ValueError):
        return _SLOWEST
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt ":
        return _SLOWEST
    rate, told, block = (int.from_bytes(head[a:b], "little") for a, b in _RATES)
    return max(_SLOWEST, min(told, rate * block))


def _file(part: Mapping[str, Any], found: Attached) -> None:
    data = plain(part.get("file_data"))
    if data.startswith(_READ_AS_TEXT):
        return  # no more tokens than its characters
    found.inline += len(data)
    found.unseen = True
