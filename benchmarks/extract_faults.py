"""Made-up answers of models with one known fault each, and what is right to read from them.

Every text is made from a value that is known, so nobody's opinion decides what is right. A text
that was cut off is read right when what is returned is the beginning of the value; the faults
of the last group hold no JSON and are right to refuse.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["FAULTS", "Made", "begins", "make", "same"]

_KEYS = [
    *("id", "name", "title", "city", "tags", "items", "score"),
    *("notes", "author", "summary", "price", "status", "user", "kind"),
]
_WORDS = [
    *("the", "red", "fox", "a", "quiet", "café", "don't", "runs", "over", "3"),
    *("lazy", "dogs,", "twice;", "it's", "5%", "(maybe)", "#1", "x=y"),
]
_PROSE = [
    "Sure, here is the result you asked for.",
    "I've looked at it; that's what I found:",
    "Based on [1] and the user's note, the answer is below.",
    "Let me know if you'd like {anything} else!",
    "Note: the second field wasn't given (see [2]).",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A text, the value in it (None with ``refuse``), and whether its beginning is enough."""

    fault: str
    text: str
    value: Any = None
    refuse: bool = False
    cut: bool = False


def make(rounds: int, *, seed: int = 2026) -> list[Made]:
    """Return ``rounds`` texts for each fault, always the same ones for a seed."""
    rng = random.Random(seed)
    return [made for _ in range(rounds) for fault in FAULTS for made in fault(rng)]


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, types and the order of keys included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or (left != left and right != right)  # NaN


def begins(part: Any, whole: Any) -> bool:
    """Whether ``part`` is how ``whole`` begins; only its very last leaf may be incomplete."""
    if isinstance(part, dict) and isinstance(whole, dict):
        part, whole = list(part.items()), list(whole.items())[: len(part)]
        if [key for key, _ in part] != [key for key, _ in whole]:
            return False
        part, whole = [value for _, value in part], [value for _, value in whole]
    if isinstance(part, list) and isinstance(whole, list):
        if len(part) > len(whole) or not all(map(same, part[:-1], whole)):
            return False
        return not part or begins(part[-1], whole[len(part) - 1])
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if type(part) in (int, float) and type(whole) in (int, float):
        return same(part, whole) or str(whole).startswith(str(part).removesuffix(".0"))
    return same(part, whole)


# -- values


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randint(1, 7)))


def _scalar(rng: random.Random) -> Any:
    number = rng.choice([rng.randint(-9, 99_999), round(rng.uniform(-5, 500), 2)])
    return rng.choice([_sentence(rng), _sentence(rng), number, True, False, None])


def _value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.random() if depth else 1
    if kind < 0.25:
        return [_value(rng, depth - 1) for _ in range(rng.randint(1, 4))]
    return _object(rng, depth - 1) if kind < 0.4 else _scalar(rng)


def _object(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    keys = rng.sample(_KEYS, rng.randint(2, 5))
    return {key: _value(rng, depth) for key in keys}


def _dump(rng: random.Random, value: Any) -> str:
    return json.dumps(value, indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.3)


# -- around a sound value


def _fence(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    name = rng.choice(["json", "JSON", "", "json5"])
    body = f"{rng.choice(_PROSE)}\n\n```{name}\n{_dump(rng, value)}\n```\n\n{rng.choice(_PROSE)}"
    yield Made(fault="fence", text=body, value=value)


def _prose(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    gap = rng.choice([" ", "\n", "\n\n"])
    text = f"{rng.choice(_PROSE)}{gap}{_dump(rng, value)}{gap}{rng.choice(_PROSE)}"
    yield Made(fault="prose", text=text, value=value)


def _think(rng: random.Random) -> Iterator[Made]:
    value, draft = _object(rng), _dump(rng, _object(rng))
    thought = f'It could be {draft[: rng.randint(5, len(draft))]}. Hmm, "no.'
    opening = rng.choice(["<think>\n", "<think>\n", ""])
    text = f"{opening}{thought}\n</think>\n{_dump(rng, value)}"
    yield Made(fault="think", text=text, value=value)


def _draft(rng: random.Random) -> Iterator[Made]:
    draft, value = _object(rng), _object(rng)
    text = f"Input: {_dump(rng, draft)}\n\nThat gives:\n{_dump(rng, value)}"
    yield Made(fault="several", text=text, value=value)


def _lines(rng: random.Random) -> Iterator[Made]:
    rows = [_object(rng, 1) for _ in range(rng.randint(2, 4))]
    yield Made(fault="lines", text="\n".join(map(json.dumps, rows)), value=rows)


def _tool_call(rng: random.Random) -> Iterator[Made]:
    value = {"name": "f", "arguments": _object(rng, 1)}
    text = f"<tool_call>\n{json.dumps(value)}\n</tool_call>"
    yield Made(fault="tool call", text=text, value=value)


# -- inside of the value


def _trailing_commas(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = json.dumps(value, indent=1)
    text = re.sub(r"(?<=[\w\"}\]])(\s*)([}\]])(?=[\s,}\]]|$)", r",\1\2", text)
    yield Made(fault="trailing commas", text=text, value=value)


def _missing_commas(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = json.dumps(value, indent=2)
    places = [match.start() for match in re.finditer(r",\n", text)]
    for place in sorted(rng.sample(places, min(2, len(places))), reverse=True):
        text = text[:place] + text[place + 1 :]
    yield Made(fault="missing commas", text=text, value=value)


def _python(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    yield Made(fault="Python literal", text=repr(value), value=value)


def _script(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = re.sub(r'"(\w+)":', r"\1:", json.dumps(value, indent=2))
    yield Made(fault="unquoted keys", text=text, value=value)


def _curly(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = re.sub(r'"((?:[^"\\]|\\.)*)"', "“\\1”", json.dumps(value, ensure_ascii=False))
    yield Made(fault="curly quotes", text=text, value=value)


def _comments(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    remarks = ["// the user's value", "/* [checked] */", "# see {1}", '// "quoted" remark']
    lines = [
        f"{line}  {rng.choice(remarks)}" if rng.random() < 0.4 else line
        for line in json.dumps(value, indent=2).split("\n")
    ]
    yield Made(fault="comments", text="\n".join(lines), value=value)


def _raw_breaks(rng: random.Random) -> Iterator[Made]:
    body = f"{_sentence(rng)}\n\n- {_sentence(rng)}\n\t{_sentence(rng)}"
    value = {**_object(rng, 1), "body": body}
    text = json.dumps(value).replace("\\n", "\n").replace("\\t", "\t")
    yield Made(fault="raw line breaks", text=text, value=value)


def _inner_quotes(rng: random.Random) -> Iterator[Made]:
    words = f'{_sentence(rng)} "{rng.choice(_WORDS[:8])}" {_sentence(rng)}'
    value = {**_object(rng, 1), "quote": words, "last": rng.randint(0, 9)}
    yield Made(fault="inner quotes", text=json.dumps(value).replace('\\"', '"'), value=value)


def _bad_escapes(rng: random.Random) -> Iterator[Made]:
    path = rng.choice(["C:\\Users\\new\\Docs", "\\alpha + \\beta", "\\d+\\.\\w*", "\\Delta\\theta"])
    value = {**_object(rng, 1), "raw": path}
    yield Made(fault="bad escapes", text=json.dumps(value).replace("\\\\", "\\"), value=value)


def _open_end(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = json.dumps(value).rstrip("]}")
    yield Made(fault="no closing brackets", text=text, value=value, cut=True)


def _cut(rng: random.Random) -> Iterator[Made]:
    value = _object(rng)
    text = _dump(rng, value)
    text = text[: rng.randint(text.index(":") + 4, len(text) - 1)]
    if rng.random() < 0.3:
        text = f"Here it is:\n\n```json\n{text}"
    yield Made(fault="cut off", text=text, value=value, cut=True)


def _wrong_bracket(rng: random.Random) -> Iterator[Made]:
    value = {**_object(rng, 1), "rows": [_scalar(rng), _scalar(rng)]}
    yield Made(fault="wrong bracket", text=json.dumps(value)[:-2] + "}", value=value)


def _escaped(rng: random.Random) -> Iterator[Made]:
    value = _object(rng, 1)
    yield Made(fault="escaped once more", text=json.dumps(json.dumps(value))[1:-1], value=value)


def _mixed(rng: random.Random) -> Iterator[Made]:
    value = {**_object(rng, 1), "ok": True}
    members = ",\n  ".join(f"{key}: {item!r}" for key, item in value.items())
    text = "{\n  " + members + ",  // end\n}"
    yield Made(fault="several faults", text=f"<think>x</think>\n```json\n{text}\n```", value=value)


# -- nothing to find


def _no_json(rng: random.Random) -> Iterator[Made]:
    name, other = rng.sample(_KEYS, 2)
    number = rng.randint(1, 30)
    texts = [
        f"As shown in [{number}], {name} {{{other}}} depends on [{number}, {number + 1}].",
        f"{name}: {_sentence(rng)}\n{other}:\n  - {number}\n  - [{name}, {other}]",
        f"Dear {{{{{name}}}}}, please fill in {{{other}}} by [{number}:00].",
        f"def {name}(x):\n    return {{k: v[{number}] for k, v in x.{other}.items()}}",
        f"{name}({other}={number}, flags=[{other.upper()}])",
        f"| {name} | {other} |\n|---|---|\n| {number} | [{name}](#{other}) |",
        f".{name} {{ color: red; width: {number}px }} .{other} {{ top: 0 }}",
        f"if ({name}[{number}] > 0) {{ {other} = {name}[0]; }}",
        f"<{name}><{other}>{number}</{other}></{name}>",
        f"I can't answer that: the {name} has no {other} [citation needed].",
    ]
    yield Made(fault="no JSON", text=rng.choice(texts), refuse=True)


FAULTS: list[Callable[[random.Random], Iterator[Made]]] = [
    _fence, _prose, _think, _draft, _lines, _tool_call, _trailing_commas, _missing_commas,
    _python, _script, _curly, _comments, _raw_breaks, _inner_quotes, _bad_escapes, _open_end,
    _cut, _wrong_bracket, _escaped, _mixed, _no_json, _no_json,
]  # fmt: skip
