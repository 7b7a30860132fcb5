"""Long, deep and hostile texts: bounded time, named limits, no RecursionError."""

import json
import time

import pytest

from agentinfra.errors import JSONExtractionError
from agentinfra.jsontext.extract import extract, extract_json
from agentinfra.jsontext.mend import MAX_DEPTH
from agentinfra.jsontext.repair import MAX_REPAIR_CHARS, MAX_REPAIR_DEPTH
from agentinfra.jsontext.scan import (
    MAX_BROKEN_STARTS,
    MAX_MEND_CHARS,
    MAX_PLACES,
    MAX_SCAN_CHARS,
)

ROWS = [{"id": i, "title": f"item {i}", "ok": True, "score": i / 3} for i in range(20_000)]
LONG = json.dumps({"rows": ROWS})

SECONDS = 8.0
"""Far more than any of these takes, far less than anything quadratic would."""


@pytest.fixture(autouse=True)
def bounded():
    """Fail a test that takes far longer than a linear search would."""
    begun = time.perf_counter()
    yield
    assert time.perf_counter() - begun < SECONDS


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        (LONG, "direct"),
        (f"Here:\n```json\n{LONG}\n```\nDone.", "fence"),
        (f"Here: {LONG} Done.", "span"),
        (f"{LONG[:-1]},}}", "repair"),
        (repr({"rows": ROWS}), "repair"),
        (LONG[:-2], "truncated"),
        ("<think>" + "hm { [ \" ' " * 50_000 + "</think>" + LONG, "span"),
        ("lorem ipsum " * 200_000 + LONG, "span"),
    ],
    ids=["whole", "fence", "prose", "comma", "python", "cut", "think", "long prose"],
)
def test_megabytes_are_read(text, strategy):
    """A long text is read as a short one is."""
    found = extract(text)
    assert found.strategy == strategy
    assert found.value == {"rows": ROWS}


HOSTILE = [
    *("[", "{", "]", '"', "'", "\\", "(((", "``", "```json\n", "<think>", "</think>", "/*", "{/*"),
    *('{"a":', '[{"a":', '{"', '["', "{'a': \"", "[1,", "[[1],", "[//\n", "{a:", '{"a":1,', "“"),
    *('{"a":1}{', "{a:1 ", "{“", '{"a": "x" y ', '["a" b ', "[1x", '{"a": [1, 2}, "c": ', "{`"),
    *("- [ ] ", '{"a":{} x', '{"a": 1}, "b": ', '["[" x', "a: [\n", '{"k": ...}', "[1] ", "[#\n"),
    *("{'a': 'b' c ", "&quot;", '{\\"a', "items: [1]\n", "{}", "[]\n", "\u200b{", "\\u0041{"),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("before", ["", '{"a": 1, "b": '])
def test_hostile_repetitions_take_bounded_time(before, piece):
    """Thirty thousand times the same piece gives a value or the error, in linear time."""
    try:
        extract(before + piece * 30_000)
    except JSONExtractionError as error:
        assert error.errors


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("x " * (MAX_SCAN_CHARS // 2 + 1), MAX_SCAN_CHARS),
        ("[1] " * (MAX_PLACES + 1), MAX_PLACES),
        ("{'a': 1 b " * (MAX_BROKEN_STARTS + 1), MAX_BROKEN_STARTS),
        ("['" + "x" * MAX_MEND_CHARS + "', b]", MAX_MEND_CHARS),
        ("[" * (MAX_DEPTH + 1) + "'a'", MAX_DEPTH),
        ('{"a": "' + "x" * MAX_REPAIR_CHARS + ' "b" c"}', MAX_REPAIR_CHARS),
        (
            "[" * (MAX_REPAIR_DEPTH + 1) + '"a "b" c"' + "]" * (MAX_REPAIR_DEPTH + 1),
            MAX_REPAIR_DEPTH,
        ),
    ],
    ids=["length", "places", "broken starts", "mended", "depth", "repaired", "repair depth"],
)
def test_each_limit_is_named_when_it_is_met(text, limit):
    """A text beyond a limit is refused with the limit in the message."""
    with pytest.raises(JSONExtractionError, match=str(limit)):
        extract_json(text)


def test_a_whole_text_has_no_length_limit():
    """JSON as a whole is read whatever its length."""
    text = "[" + "1," * MAX_SCAN_CHARS + "1]"
    assert len(extract_json(text)) == MAX_SCAN_CHARS + 1


@pytest.mark.parametrize("depth", [MAX_DEPTH, 900])
def test_depth_that_json_reads_is_read(depth):
    """Nesting that the strict parsers take is no obstacle, alone or amid prose."""
    text = '{"a":' * depth + "1" + "}" * depth
    assert extract(text).strategy == "direct"
    assert extract(f"Here: {text}").strategy == "span"


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000])
def test_depth_that_no_parser_reads_is_refused(text):
    """Nesting beyond the parsers' depth is an error that says so."""
    with pytest.raises(JSONExtractionError, match="nested"):
        extract_json(text)


def test_an_integer_with_too_many_digits_is_refused():
    """A number that Python does not convert is refused, not approximated."""
    with pytest.raises(JSONExtractionError):
        extract_json("{'a': " + "9" * 5_000 + "}")
