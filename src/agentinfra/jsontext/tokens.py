"""Strings, numbers and words as models write them, and what each of them stands for."""

from __future__ import annotations

import json.decoder
import math
import re
from collections.abc import Callable
from typing import Any, Final

__all__ = [
    "COLONS",
    "COMMAS",
    "CONSTANTS",
    "CURLY_QUOTES",
    "CUT_OFF_ESCAPE",
    "DOUBLE_QUOTED",
    "LITERALS",
    "QUOTES",
    "SINGLE_QUOTED",
    "THOUSANDS",
    "number",
    "quoted",
    "unescape",
]

COMMAS: Final = ",\uff0c"
"""The comma and the full-width one of Chinese and Japanese text."""

COLONS: Final = ":\uff1a"
"""The colon and the full-width one."""

CURLY_QUOTES: Final = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a`\u00ab"
"""Typographic quotes that open a string, and the backtick."""

QUOTES: Final = "\"'" + CURLY_QUOTES

DOUBLE_QUOTED: Final = re.compile(r'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
# An apostrophe between letters, or between a letter and a word, does not close its string.
SINGLE_QUOTED: Final = re.compile(r"'((?:[^'\\]++|\\.|(?<=\w)'(?= ?\w))*+)'", re.DOTALL)
CUT_OFF_ESCAPE: Final = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2})?(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z"
)
"""Half an escape, or half a pair of two, at the end of a text; group 1 is to be kept."""

LITERALS: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "None", "undefined")),
    **dict.fromkeys(("NaN", "nan", "NAN"), math.nan),
    **dict.fromkeys(("Infinity", "+Infinity", "inf"), math.inf),
    **dict.fromkeys(("-Infinity", "-inf"), -math.inf),
}
"""Words that stand for a value, in JSON, JavaScript and Python."""

CONSTANTS: Final = ("NaN", "Infinity", "-Infinity")
"""The words Python's ``json`` writes, and JSON does not have."""

THOUSANDS: Final = re.compile(r"-?\d{1,3}(?:,\d{3})++(?:\.\d++)?(?=\s*+[,}\n])")
"""A number with thousands separators, where a comma can be nothing else."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*+)(\.\d++)?([eE][+-]?\d++)?")
_LOOSE_NUMBER: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F]++|(?:0|[1-9][\d_]*+)(?:\.\d*+)?(?:[eE][+-]?\d++)?|\.\d++)"
)

_CLOSING: Final = {
    "\u201c": '\u201d\u201c"',
    "\u201d": '\u201d"',
    "\u201e": '\u201c\u201d"',
    "\u201f": '\u201d"',
    "\u2018": "\u2019'",
    "\u2019": "\u2019'",
    "\u201a": "\u2018\u2019",
    "`": "`",
    "\u00ab": "\u00bb",
}
# Such quotes also stand inside of strings, so one closes only before punctuation.
_CURLY_QUOTED: Final = {
    opening: re.compile(
        rf"{opening}(.*?)[{closing}](?=\s*+(?:[;}}\]){COMMAS}{COLONS}]|\Z))", re.DOTALL
    )
    for opening, closing in _CLOSING.items()
}

_POINT: Final = r"U(?:000[0-9a-fA-F]|0010)[0-9a-fA-F]{4}"
_ESCAPE: Final = re.compile(rf"\\({_POINT}|u[0-9a-fA-F]{{4}}|x[0-9a-fA-F]{{2}}|.)", re.DOTALL)
# An escape that no notation has: the string was written without escaping.
_FOREIGN: Final = re.compile(rf"(?<!\\)(?:\\\\)*\\(?!{_POINT}|u[0-9a-fA-F]{{4}}|[bfnrtx])[a-zA-Z]")
_ITSELF: Final = "\"'`\\/\n"
_CONTROL: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_scanstring: Final[Callable[[str, int, bool], tuple[str, int]]] = vars(json.decoder)["scanstring"]


def quoted(text: str, start: int, end: int) -> re.Match[str] | None:
    """Match the string whose opening quote is at ``start``; its body is group 1."""
    quote = text[start]
    if quote == '"':
        return DOUBLE_QUOTED.match(text, start, end)
    return (SINGLE_QUOTED if quote == "'" else _CURLY_QUOTED[quote]).match(text, start, end)


def unescape(body: str) -> str:
    r"""Return what stands between the quotes of a string, escapes resolved.

    A string with an escape that no notation has, such as ``C:\Users`` or ``\alpha``, was
    written without escaping: there a backslash before letters stays a backslash.
    """
    if "\\" not in body:
        return body
    try:
        text, end = _scanstring(body + '"', 0, False)  # noqa: FBT003 - strict, of a C function
    except ValueError:
        return _lenient(body)
    return text if end == len(body) + 1 else _lenient(body)


def _lenient(body: str) -> str:
    unescaped = _FOREIGN.search(body) is not None

    def resolve(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            return chr(int(escape[1:], 16))
        if escape in _ITSELF:
            return escape
        if unescaped and body[match.end() : match.end() + 1].isalpha():
            return match.group()
        return _CONTROL.get(escape, match.group())

    joined = _ESCAPE.sub(resolve, body)
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def number(word: str) -> int | float | None:
    """Return the number a word is, in JSON's notation or one near to it.

    Raises:
        ValueError: It is one, with more digits than ``int`` takes or an underscore out of place.
    """
    if match := _NUMBER.fullmatch(word):
        return float(word) if match[1] or match[2] else int(word)
    if not _LOOSE_NUMBER.fullmatch(word):
        return None
    digits = word.lstrip("+-")
    if digits[:2].lower() == "0x" or digits.replace("_", "").isdigit():
        return int(word, 0)
    return float(word)
