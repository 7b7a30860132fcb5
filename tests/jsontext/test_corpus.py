"""The corpus: six hundred texts as models write them, each with what is right to read from it.

``right`` lists the values to accept, ``refuse`` says that there is none. The corpus was written
before the code (batch 2 after its first version, before it was run on it), and says what a person
would read, not what the code does: where they differ, it is recorded here.
"""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from agentinfra.errors import JSONExtractionError
from agentinfra.jsontext.extract import extract

CORPUS = [
    json.loads(line) for line in (Path(__file__).parent / "corpus.jsonl").read_text().splitlines()
]

WRONG: dict[str, str] = {}

REFUSED = {
    "duplicates-101": "a repeated key beside a string with quotes in it: the repair drops one",
    "inner-5": "a lone quote in a string could as well end it",
    "inner-112": "a lone quote in a string could as well end it",
    "mixed-101": "a comment beside a string with quotes in it",
    "numbers-105": "digits in groups could be several numbers",
    "numbers-107": "a sum is not a number",
    "prose-10": "a few numbers in brackets in a sentence look like a citation",
    "smart-6": "a curly quote opens and a straight one closes, and the other way round",
    "unquoted-10": "a string without its opening quote",
    "unquoted-102": "several words without quotes",
    "unquoted-105": "several words without quotes, as a key",
    "unquoted-107": "a comma in a word without quotes",
}


def same(left, right):
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return left == right


def outcome(case):
    try:
        found = extract(case["text"], case.get("schema"))
    except JSONExtractionError:
        return "refused"
    return "right" if any(same(found.value, one) for one in case.get("right", [])) else "wrong"


def expected(case):
    if case["id"] in WRONG:
        return "wrong"
    return "refused" if "refuse" in case or case["id"] in REFUSED else "right"


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case["id"])
def test_each_text_is_read_right_or_refused(case):
    """What cannot be read right is refused; the exceptions are named above."""
    assert outcome(case) == expected(case)


def test_the_exceptions_are_cases_and_few():
    """Every exception names a case, and silent wrongs stay under one in a hundred."""
    ids = Counter(case["id"] for case in CORPUS)
    assert max(ids.values()) == 1
    assert set(WRONG) | set(REFUSED) <= set(ids)
    assert len(WRONG) < len(CORPUS) / 100


def test_what_json_reads_right_is_never_read_otherwise():
    """Where a strict parser reads what is right, so does extract, and reports no repair."""
    for case in CORPUS:
        try:
            value = json.loads(case["text"], parse_constant=lambda name: 1 / 0)
        except (ValueError, ZeroDivisionError, RecursionError):
            continue
        if any(same(value, one) for one in case.get("right", [])):
            assert not extract(case["text"], case.get("schema")).repaired, case["id"]
