"""The calls: what they return, report and refuse, with and without a schema."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator
from typing_extensions import TypedDict

from agentinfra._mechanics.vendors import MissingPackageError
from agentinfra.errors import ConfigurationError, JSONExtractionError
from agentinfra.jsontext.extract import Extraction, extract, extract_json
from agentinfra.jsontext.schema import MAX_CACHED_SCHEMAS, judge

INVOICE = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "total": {"type": "number"}},
    "required": ["id", "total"],
}


class Invoice(BaseModel):
    id: str
    total: float


@dataclass
class Point:
    x: int
    y: int


class Named(TypedDict):
    name: str


class Colour(Enum):
    RED = "red"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date
    colour: Colour
    pair: tuple[int, int]


class Tree(BaseModel):
    children: list["Tree"] = []


@pytest.mark.parametrize(
    ("text", "schema", "value", "strategy", "repaired", "source"),
    [
        ('{"a": 1}', None, {"a": 1}, "direct", False, '{"a": 1}'),
        ("\ufeff 42\n", None, 42, "direct", False, "42"),
        ('"x"', None, "x", "direct", False, '"x"'),
        ("null", None, None, "direct", False, "null"),
        ('```json\n{"a": 1}\n```', None, {"a": 1}, "fence", False, '{"a": 1}'),
        ("```json\n7\n```", None, 7, "fence", False, "7"),
        ('So: {"a": 1}.', None, {"a": 1}, "span", False, '{"a": 1}'),
        ("<think>1?</think> 2", None, 2, "span", False, "2"),
        ('{"a": 1}\n{"a": 2}', None, [{"a": 1}, {"a": 2}], "lines", False, '{"a": 1}\n{"a": 2}'),
        ('"{\\"a\\": 1}"', {"type": "object"}, {"a": 1}, "string", False, '{"a": 1}'),
        ("{'a': 1,}", None, {"a": 1}, "repair", True, "{'a': 1,}"),
        ('x {"a": "b "c" d"} y', None, {"a": 'b "c" d'}, "repair", True, '{"a": "b "c" d"}'),
        ('{"a": [1, 2', None, {"a": [1, 2]}, "truncated", True, '{"a": [1, 2'),
        ('{\\"a\\": 1}', None, {"a": 1}, "repair", True, '{"a": 1}'),
    ],
)
def test_the_report_says_how_a_value_was_got(text, schema, value, strategy, repaired, source):
    """The strategy, whether it was a repair, and the part of the text come with the value."""
    assert extract(text, schema) == Extraction(
        value=value, repaired=repaired, strategy=strategy, source=source
    )
    assert extract_json(text, schema) == value


def test_the_report_is_frozen():
    """A report cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        extract("1").value = 2


def test_places_passed_over_are_in_the_report():
    """What was not readable elsewhere in the text is said, one line a place."""
    found = extract('{"a": 1 "b" and so on}\nFinal: {"a": 2}')
    assert found.value == {"a": 2}
    assert len(found.errors) == 1
    assert found.errors[0].startswith("at character 0: ")


# -- refusals


@pytest.mark.parametrize("text", ["", "  \n", "no JSON here", "see [1] and {x}", "a: 1\nb: 2", "{"])
def test_where_nothing_is_found_nothing_is_made_up(text):
    """A text without JSON raises, and the error carries the text and says why in one line."""
    with pytest.raises(JSONExtractionError) as raised:
        extract_json(text)
    assert raised.value.text == text
    assert raised.value.errors
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{'a': 1}", '{"a": 1,}', '{"a": 1', '{"a": NaN}', '{\\"a\\": 1}'])
def test_without_repair_broken_json_is_refused(text):
    """With repair off only JSON by the grammar is found."""
    with pytest.raises(JSONExtractionError):
        extract_json(text, repair=False)


def test_without_repair_no_piece_of_something_broken_is_taken():
    """An object inside of one that needs a repair is not the answer."""
    with pytest.raises(JSONExtractionError, match="repair is off"):
        extract_json('{"a": {"b": 1},}', repair=False)


# JSON by nobody's grammar: after the cases of this kind in JSONTestSuite (n_*.json).
NOT_JSON = [
    *('["": 1]', "[x", "[3[4]]", "[1:2]", "[,", "[-]", "[*]", "[fals]", "[nul]", "[tru]"),
    *("[++1234]", "[-01]", "[-1.0.]", "[-NaN]", "[.-1]", "[0.1.2]", "[0.3e+]", "[0E]", "[1eE2]"),
    *("[1 000.0]", "[1+2]", "[012]", "[- 1]", "[1.2a-3]", '["x", truth]', '{[: "x"}', "[1]x"),
    *('{"x", null}', '{"a":"a" 123}', '{"a" b}', '{:"b"}', '{"a":', '{"a"', '{"a', "{'a'", "{,"),
    *('{ "foo" : "bar", "a" }', '["\\uD800\\"]', "[\\n]", '"', "abc", '["a"b"]', '"x"#', "<.>"),
    *('[\\u0020"asd"]', "[<null>]", "1]", "[][]", "]", "2@", "{}}", "{]", "{[", "[{", "['", "*"),
]
MENDED = [
    *("[,1]", "[1,,2]", '["",]', '["x"', "[1,]", "[+1]", "[-2.]", "[2.e3]", "[NaN]", "[0x1]"),
    *("{key: 'value'}", '{"a" "b"}', "{1:1}", '{"id":0,,,,,}', '{"a":"a', '["\\a"]', '["asd]'),
    *("['single quote']", "[True]", '{"a":/*comment*/"b"}', "[1", '{"x": true,', '["\\x00"]'),
]
AMID = ['{"a":"b"}/**/', '{"a":"b"}#', '{"a": true} "x"', '["x"]]', '[""],']


@pytest.mark.parametrize("text", NOT_JSON)
def test_what_no_model_means_as_json_is_refused(text):
    """A text that is not JSON and not JSON with a known slip is refused, repair or not."""
    for repair in (True, False):
        with pytest.raises(JSONExtractionError):
            extract_json(text, repair=repair)


@pytest.mark.parametrize("text", MENDED)
def test_what_is_mended_is_reported_as_repaired(text):
    """A text that is not JSON is never read silently."""
    assert extract(text).repaired
    with pytest.raises(JSONExtractionError):
        extract(text, repair=False)


@pytest.mark.parametrize("text", AMID)
def test_json_with_something_around_is_a_span(text):
    """JSON amid other characters is a part of the text, not a repair of it."""
    found = extract(text)
    assert not found.repaired
    assert found.source != text
    assert json.loads(found.source) == found.value


# -- schemas


@pytest.mark.parametrize(
    "text",
    [
        'The format is {"id": "x", "total": 0}. My answer: {"id": "a", "total": 12}',
        'Use this format:\n```json\n{"id": "x", "total": 0}\n```\nAnswer: {"id": "a", "total": 12}',
        '```json\n{"id": "x", "total": 9}\n```\nWait, no:\n```json\n{"id": "a", "total": 12}\n```',
        'Draft: {"id": "x", "total": 9}\nFinal: {"id": "a", "total": 12}',
        'Answer: {"id": "a", "total": 12}. An example of another: {"id": "x", "total": 3}',
        '{"id": "a", "total": 12} and then {"id": "x", "tot',
    ],
)
def test_a_schema_takes_the_answer_and_not_a_draft_or_an_example(text):
    """Before or behind it, in a fence or not, whole or cut off."""
    assert extract(text, INVOICE).value == {"id": "a", "total": 12}


_MARKS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
    (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>commentary to=f <|constrain|>json<|message|>",
    ),
]


@pytest.mark.parametrize(("begin", "end"), _MARKS)
@pytest.mark.parametrize("schema", [None, INVOICE], ids=["any", "schema"])
def test_what_a_model_thinks_is_not_its_answer(begin, end, schema):
    """In the marks of whatever family, whether its beginning was sent or not, or its end."""
    thought = 'maybe {"id": "x", "total": 99}'
    answer = '{"id": "a", "total": 12}'
    assert extract(f"{begin}{thought}{end}{answer}", schema).value == {"id": "a", "total": 12}
    if "commentary" not in end:
        assert extract(f"{thought}{end}{answer}", schema).value == {"id": "a", "total": 12}
    with pytest.raises(JSONExtractionError):
        extract(f"{begin}{thought}", schema)


def test_of_values_side_by_side_the_first_that_fits_is_taken():
    """None of them is a draft of another; the others are accounted for."""
    found = extract('{"id": 1} {"id": "a", "total": 2} {"id": "b", "total": 3}', INVOICE)
    assert found.value == {"id": "a", "total": 2}
    assert any("'total' is a required property" in line for line in found.errors)


def test_the_errors_of_a_schema_are_lines_with_paths():
    """Each line of the error names the place in the value and what is wrong there."""
    with pytest.raises(JSONExtractionError) as raised:
        extract_json('{"id": 1, "total": "2"}', INVOICE)
    assert raised.value.errors == (
        "$.id: 1 is not of type 'string'",
        "$.total: '2' is not of type 'number'",
    )
    assert "fits the schema" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ('So: {"id": "a", "total": 2}', Invoice, Invoice(id="a", total=2)),
        ('{"x": 1, "y": 2}', Point, Point(1, 2)),
        ('{"name": "Ada"}', Named, {"name": "Ada"}),
        ('[{"id": "a", "total": 1}]', list[Invoice], [Invoice(id="a", total=1)]),
        ('{"id": "a", "total": 1}\n{"id": "b", "total": 2}', list[Invoice],
         [Invoice(id="a", total=1), Invoice(id="b", total=2)]),
        ("Numbers: [3, 5]", list[int], [3, 5]),
        ('"red"', Colour, Colour.RED),
        ('"red"', Literal["red"], "red"),
        ('{"x": 1, "y": 2}', TypeAdapter(Point), Point(1, 2)),
        ("[1, 2]", Annotated[list[int], Field(min_length=1)], [1, 2]),
        ("7", Annotated[int, {"unhashable": []}], 7),
        ('{"day": "2024-01-31", "colour": "red", "pair": [1, 2],}', Strict,
         Strict(day=date(2024, 1, 31), colour=Colour.RED, pair=(1, 2))),
        ('"\\ud800"', str | None, "\ud800"),
    ],
)  # fmt: skip
def test_a_type_gives_its_instance(text, schema, value):
    """A type is a schema whose values are instances, validated as JSON."""
    assert extract_json(text, schema) == value


def test_the_errors_of_a_type_are_lines_with_paths():
    """Each line names the place in the value and what is wrong there."""
    with pytest.raises(JSONExtractionError) as raised:
        extract_json('[{"id": "a", "total": 1}, {"id": "b"}]', list[Invoice])
    assert raised.value.errors == ("$[1].total: Field required",)


def test_a_validator_decides_among_values():
    """A model's own validators judge candidates, too."""

    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            if n % 2:
                raise ValueError("odd")
            return n

    assert extract_json('{"n": 1} then {"n": 2}', Even).n == 2


@pytest.mark.parametrize(
    "schema",
    [{"type": "no such type"}, {"pattern": "("}, {"x": object()}, object(), 3, "object"],
)
def test_what_is_no_schema_is_a_configuration_error(schema):
    """A schema that cannot be used says so, whatever the text."""
    with pytest.raises(ConfigurationError, match="schema"):
        extract_json("{}", schema)


def test_a_reference_is_never_fetched():
    """A schema that refers to the network is refused without going there."""
    with pytest.raises(ConfigurationError, match=r"http://127\.0\.0\.1:9/x\.json"):
        extract_json("{}", {"$ref": "http://127.0.0.1:9/x.json"})


def test_a_schema_is_compiled_once():
    """Equal schemas share one validator, and no more than a bounded number is kept."""
    assert judge(INVOICE) is judge(json.loads(json.dumps(INVOICE)))
    assert judge(Invoice) is judge(Invoice)
    first = judge({"const": -1})
    for number in range(MAX_CACHED_SCHEMAS):
        judge({"const": number})
    assert judge({"const": -1}) is not first


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"items": {"$ref": "#"}}, Tree, list])
def test_a_value_too_deep_for_its_schema_is_refused(schema):
    """No schema makes a deep value a RecursionError."""
    text = '{"children": [' * 400 + "]}" * 400
    try:
        extract_json(text, schema)
    except JSONExtractionError as error:
        assert error.errors


# -- what may be missing


def test_without_json_repair_the_rest_works(monkeypatch):
    """Slips that are known are mended; where a guess is needed the error says what to install."""
    monkeypatch.setitem(sys.modules, "json_repair", None)
    assert extract_json("Here: {'a': True, b: [1, 2,],}") == {"a": True, "b": [1, 2]}
    with pytest.raises(JSONExtractionError, match="pip install 'agentinfra'"):
        extract_json('{"a": "say "x" now"}')


def test_without_jsonschema_types_still_work(monkeypatch):
    """A JSON Schema needs jsonschema, and the error says so; a type does not."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert extract_json('{"id": "a", "total": 1}', Invoice).id == "a"
    with pytest.raises(MissingPackageError, match="jsonschema"):
        extract_json("{}", {"title": "never compiled before"})


def test_importing_it_loads_no_vendor():
    """The module is light until it is used."""
    code = (
        "import sys, agentinfra.jsontext.extract;"
        "print([m for m in 'json_repair jsonschema pydantic msgspec'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
