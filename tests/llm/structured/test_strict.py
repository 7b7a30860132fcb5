"""OpenAI's strict form: what is made of a schema, and why there is none of some."""

import json
from typing import Any, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field
from strict_rules import broken_rules

from agentinfra.errors import ConfigurationError
from agentinfra.llm.structured.nulls import without_nulls
from agentinfra.llm.structured.schemas import schema_of
from agentinfra.llm.structured.strict import strict_form
from agentinfra.llm.structured.tools import tool_of


def _object(**properties):
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _of(schema):
    return strict_form(_object(x=schema)).schema["properties"]["x"]


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        (
            {"type": "string", "minLength": 3},
            {"type": "string", "description": "(at least 3 characters)"},
        ),
        ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": "(format uri)"}),
        ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^a"}),
        (
            {"type": "string", "pattern": "(?=a)"},
            {"type": "string", "description": "(matching (?=a))"},
        ),
        ({"type": "integer", "minimum": 1, "title": "N"}, {"type": "integer", "minimum": 1}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"const": 5}, {"type": "integer", "const": 5}),
        ({"enum": ["a", None]}, {"type": ["null", "string"], "enum": ["a", None]}),
        (
            {"oneOf": [{"type": "null"}, {"type": "string"}]},
            {"anyOf": [{"type": "null"}, {"type": "string"}]},
        ),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        (
            {"type": "boolean", "default": True},
            {"type": "boolean", "description": "(default true)"},
        ),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
            {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string"},
                "description": "(no item twice)",
            },
        ),
        (
            {"allOf": [{"type": "string"}], "description": "d"},
            {"type": "string", "description": "d"},
        ),
    ],
)
def test_each_keyword_is_said_as_strict_mode_says_it(schema, form):
    """What it has no keyword for is said in the description, and validated all the same."""
    assert _of(schema) == form


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({}, "it says no type"),
        (True, "it allows anything"),
        ({"type": "object"}, "may have properties that are not named"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "that are not named"),
        ({"type": "array"}, "what its items are"),
        ({"type": "array", "items": {"type": "string"}, "prefixItems": [{}]}, "'prefixItems'"),
        ({"not": {}}, "no 'not'"),
        ({"type": "string", "if": {}}, "no 'if'"),
        ({"enum": [[1]]}, "an enum has to be"),
        (
            {"type": "object", "properties": {}, "patternProperties": {"a": {}}},
            "'patternProperties'",
        ),
        ({"$ref": "#/$defs/absent"}, "leads nowhere"),
        ({"$ref": "https://example.com/a"}, "does not begin at the schema's root"),
        ({"allOf": [{"type": "string"}, {"type": "number"}]}, "no 'allOf'"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "requires 'a'"),
        ({"anyOf": [{"type": "string"}], "properties": {}}, "beside anyOf"),
        ({"enum": [f"{n:0100}" for n in range(251)]}, "an enum of 251 values"),
        ({"enum": [str(n) for n in range(1001)]}, "1001 enum values"),
    ],
)
def test_what_strict_mode_cannot_say_has_its_reason(schema, reason):
    """There is no form then, and the reason names the place."""
    made = strict_form(_object(x=schema))
    assert made.schema is None
    assert reason in made.reason
    assert "$.x" in made.reason or "strict mode takes" in made.reason


def test_objects_are_counted_by_their_levels():
    """Ten levels of objects are taken, eleven are not."""
    schema = _object(x={"type": "string"})
    for _ in range(9):
        schema = _object(x=schema)
    assert strict_form(schema).schema is not None
    assert "11 levels" in strict_form(_object(x=schema)).reason


class Node(BaseModel):
    name: str
    children: list["Node"] = []
    parent: Optional["Node"] = Field(default=None, description="Above it.")


class Tree(BaseModel):
    root: Node
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize("kind", [Node, Tree])
def test_types_that_hold_themselves_have_a_form(kind):
    """References stay references, with nothing beside them; optional fields may be null."""
    made = schema_of(kind).strict.schema
    assert broken_rules(made) == []
    Draft202012Validator.check_schema(made)


def test_null_stands_for_what_was_left_out():
    """A field with a default is null in the form, and has its default in the value."""
    value = schema_of(Tree).read(
        '{"root": {"name": "x", "children": [{"name": "y", "children": null, "parent": null}], '
        '"parent": null}, "kind": null}'
    )
    assert value.value == Tree(root=Node(name="x", children=[Node(name="y")]))


def test_null_that_is_required_or_allowed_stays():
    """Only what the schema would refuse is taken out."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}, "c": {}},
        "required": ["a"],
    }
    assert without_nulls({"a": None, "b": None, "d": None}, schema) == {
        "a": None,
        "b": None,
        "d": None,
    }


def test_a_tool_that_is_to_be_strict_and_cannot_is_refused_before_it_is_sent():
    """The error says where and why; without the wish it goes without the form."""
    function = {"name": "f", "parameters": _object(x={"type": "object"})}
    with pytest.raises(ConfigurationError, match=r"'f' is to be strict.*\$\.x"):
        tool_of({"type": "function", "function": {**function, "strict": True}})
    tool = tool_of({"type": "function", "function": function})
    assert not tool.is_strict
    assert "$.x" in tool.loose_because
    assert tool.definition["function"] == function


def test_a_tool_that_says_it_is_not_strict_stays_so():
    """Its definition goes out as it was given."""
    function = {"name": "f", "parameters": _object(x={"type": "string"}), "strict": False}
    tool = tool_of({"type": "function", "function": function})
    assert "strict" not in tool.definition["function"]
    assert tool.definition["function"]["parameters"] == function["parameters"]


# -- properties

_leaf = st.one_of(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "maxLength": 20},
            {"type": "integer", "minimum": -5},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", "b", None]},
            {"const": "c"},
            {"$ref": "#/$defs/leaf"},
            {"$ref": "#/$defs/self"},
            {"$ref": "#"},
            {},
            True,
            {"type": "object", "additionalProperties": {"type": "string"}},
        ]
    )
)


def _closed(inner):
    names = st.lists(st.sampled_from("abcd"), unique=True, max_size=3)
    return st.builds(
        lambda keys, values, needed: {
            "type": "object",
            "properties": dict(zip(keys, values, strict=False)),
            "required": [key for key in keys[: len(values)] if key in needed],
            "description": "An object.",
        },
        names,
        st.lists(inner, min_size=3, max_size=3),
        st.sets(st.sampled_from("abcd")),
    )


_schemas = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        _closed(inner),
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda some: {"oneOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"allOf": [one], "title": "T"}, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_schemas, min_size=1, max_size=3), st.booleans())
def test_every_schema_has_a_form_within_the_rules_or_a_reason(schemas, needed):
    """Whatever the schema: the form breaks no rule, and is a schema; or the reason is said."""
    names = [f"p{place}" for place in range(len(schemas))]
    root = {
        "type": "object",
        "properties": dict(zip(names, schemas, strict=True)),
        "required": names if needed else [],
        "$defs": {
            "leaf": {"type": "string"},
            "self": {
                "type": "object",
                "properties": {"more": {"$ref": "#/$defs/self"}, "x": {"type": "string"}},
                "required": ["x"],
            },
        },
    }
    made = strict_form(root)
    assert (made.schema is None) == bool(made.reason)
    if made.schema is not None:
        assert broken_rules(made.schema) == []
        Draft202012Validator.check_schema(json.loads(json.dumps(made.schema)))


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(_values, _schemas)
def test_taking_nulls_out_ends_and_takes_nothing_else(value, schema):
    """Of any value and any schema only keys whose value is null are taken out."""
    if isinstance(schema, dict):
        schema = {**schema, "$defs": {"leaf": {"$ref": "#/$defs/leaf"}, "self": {"$ref": "#"}}}
        assert _bare(without_nulls(value, schema)) == _bare(value)


def _bare(value):
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value
