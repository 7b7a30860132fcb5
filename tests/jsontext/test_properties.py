"""What holds for every text: nothing valid is altered, nothing made up, nothing else raised."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentinfra.errors import JSONExtractionError
from agentinfra.jsontext.extract import extract, extract_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=True)
    | st.text()
    | st.text(alphabet="{}[]\"':,\\/#` \n<think>0a", max_size=20)
)


def containers_of(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.text(max_size=8)
    return st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4)


VALUES = st.recursive(SCALARS, containers_of, max_leaves=12)
CONTAINERS = containers_of(VALUES)
PROSE = st.text(
    alphabet=st.characters(exclude_characters='{}[]()`~<"“”„‟‘’‚«»\\&', exclude_categories=("Cs",))
)
DUMPS = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "ensure_ascii": st.booleans(),
        "sort_keys": st.booleans(),
        "separators": st.sampled_from([None, (",", ":"), (" , ", " : ")]),
    }
)
SCHEMAS = st.sampled_from(
    [None, {}, {"type": "object"}, {"type": "array"}, {"type": "string"}, {"type": "number"}]
)


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return bool(left == right)


def begins(part: Any, whole: Any) -> bool:
    """Whether ``part`` is what was written of ``whole`` when the text was cut."""
    if isinstance(part, dict) and isinstance(whole, dict):
        keys = list(part)
        if keys != list(whole)[: len(keys)]:
            return False
        return all(same(part[k], whole[k]) for k in keys[:-1]) and (
            not keys or begins(part[keys[-1]], whole[keys[-1]])
        )
    if isinstance(part, list) and isinstance(whole, list):
        if len(part) > len(whole):
            return False
        return all(map(same, part[:-1], whole)) and (
            not part or begins(part[-1], whole[len(part) - 1])
        )
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    # A number that the text ends in is what was there of it.
    return same(part, whole) or (type(part) in (int, float) and type(whole) in (int, float))


@given(VALUES, DUMPS)
@example("\ud800", {"ensure_ascii": True})
@example({"a": "\ud800"}, {"ensure_ascii": False})
@example([10**30, -(2**63) - 1, 2**64], {})
def test_valid_json_is_returned_as_json_reads_it(value: Any, options: dict[str, Any]) -> None:
    """A text that is JSON gives what json.loads gives."""
    text = json.dumps(value, **options)
    found = extract(text)
    assert same(found.value, json.loads(text))
    assert found.repaired == _has_constant(value)


def _has_constant(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_constant, value.values()))
    if isinstance(value, list):
        return any(map(_has_constant, value))
    return isinstance(value, float) and not math.isfinite(value)


@given(CONTAINERS, DUMPS, PROSE, PROSE)
def test_json_amid_prose_is_returned_exactly(
    value: Any, options: dict[str, Any], before: str, after: str
) -> None:
    """An object or array on lines of its own amid prose gives what json.loads gives."""
    text = json.dumps(value, **options)
    assert same(extract_json(f"{before}\n{text}\n{after}"), json.loads(text))


@given(CONTAINERS, DUMPS, PROSE, PROSE)
def test_json_in_a_fence_is_returned_exactly(
    value: Any, options: dict[str, Any], before: str, after: str
) -> None:
    """An object or array in a fence gives what json.loads gives."""
    text = json.dumps(value, **options)
    assert same(extract_json(f"{before}\n```json\n{text}\n```\n{after}"), json.loads(text))


@given(CONTAINERS)
def test_a_python_literal_is_read_as_python_reads_it(value: Any) -> None:
    """What repr() writes of JSON values is read back exactly."""
    text = repr(value)
    try:
        json.loads(text)
    except ValueError:
        assert same(extract_json(text), value)


@given(CONTAINERS, st.data())
def test_a_cut_off_text_gives_what_was_there(value: Any, data: st.DataObject) -> None:
    """A text cut off anywhere gives the beginning of its value, or nothing."""
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    try:
        found = extract(cut)
    except JSONExtractionError:
        return
    assert found.repaired
    assert begins(found.value, value)


@given(CONTAINERS, st.sampled_from([",", ", ", ",\n"]))
def test_a_trailing_comma_changes_nothing(value: Any, comma: str) -> None:
    """A comma before the last closing bracket is ignored."""
    text = json.dumps(value)
    if value:
        assert same(extract_json(text[:-1] + comma + text[-1]), value)


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \n\t\\u', max_size=30))
def test_whatever_json_takes_is_never_repaired(text: str) -> None:
    """A text that the grammar allows is neither altered nor reported as repaired."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return
    found = extract(text)
    assert same(found.value, value)
    assert not found.repaired


def _refuse(name: str) -> None:
    raise ValueError(name)


@given(
    st.text()
    | st.text(alphabet="{}[]()\"'`:,;#/*\\ \nab1<think>", max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "{",
                "}",
                "[",
                "]",
                '"a"',
                "'b'",
                ":",
                ",",
                " ",
                "\n",
                "1",
                "x",
                "None",
                "```json\n",
                "```",
                "<think>",
                "</think>",
                '\\"',
                "...",
                "“c”",
                "//",
                "/*",
                "&quot;",
                "1,234",
                "`",
            ]
        ),
        max_size=40,
    ).map("".join),
    SCHEMAS,
    st.booleans(),
)
@settings(max_examples=300)
def test_nothing_else_is_ever_raised(text: str, schema: Any, repair: bool) -> None:
    """Any text gives a value or a JSONExtractionError, whose lines are lines."""
    try:
        extract(text, schema, repair=repair)
    except JSONExtractionError as error:
        assert error.text == text
        assert error.errors
        assert all("\n" not in line for line in error.errors)
        assert "\n" not in str(error)


@given(st.text(alphabet="{}[]()\"':, \nab1", max_size=40))
def test_without_repair_everything_found_is_json(text: str) -> None:
    """With repair off, the source of a value is JSON by the grammar."""
    try:
        found = extract(text, repair=False)
    except JSONExtractionError:
        return
    assert not found.repaired
    if found.strategy != "lines":
        assert same(json.loads(found.source), found.value)


@pytest.mark.parametrize("opening", ["[", "{", '{"a":', '[{"a":', "((", '["', "{'", "{a:"])
@pytest.mark.parametrize("before", ["", "Here: ", "```json\n", "{'a': 1, 'b': "])
def test_deep_nesting_is_refused_without_recursion(opening: str, before: str) -> None:
    """A hundred thousand open brackets are refused, and quickly."""
    with pytest.raises(JSONExtractionError):
        extract_json(before + opening * 100_000)
