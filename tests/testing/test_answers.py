"""What the server says of itself: values that fit a schema, results stated, echoes."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentinfra.testing.answers import default_answer
from agentinfra.testing.answers.patterns import fits, text_for


def ask(question, *after, **more):
    """Return the default answer to a question."""
    messages = [{"role": "user", "content": question}, *after]
    return default_answer({"model": "m", "messages": messages, **more})


def fill(schema, question):
    """Fill a schema from one question."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return json.loads(ask(question, response_format=form).text)


def one(name, schema, question, *, required=True):
    """Fill a schema of one property; return its value, None where it was left out."""
    whole = {
        "type": "object",
        "properties": {name: schema},
        "required": [name] if required else [],
    }
    value = fill(whole, question)
    jsonschema.validate(value, whole)
    return value.get(name)


INTEGER, NUMBER, STRING, BOOLEAN = (
    {"type": kind} for kind in ("integer", "number", "string", "boolean")
)


@pytest.mark.parametrize(
    ("name", "schema", "question", "value"),
    [
        ("unit", {"enum": ["celsius", "fahrenheit"]}, "How warm in Fahrenheit?", "fahrenheit"),
        ("level", {"enum": ["very_high", "low"]}, "a very high one", "very_high"),
        ("level", {"enum": ["a", "b"], "default": "b"}, "whatever", "b"),
        ("level", {"enum": [1, 2, 3]}, "make it 2", 2),
        ("level", {"const": "fixed"}, "whatever", "fixed"),
        ("base", INTEGER, "a base of 10 and a height of 5", 10),
        ("height", INTEGER, "a base of 10 and a height of 5", 5),
        ("height", INTEGER, "10 wide, height: 5", 5),
        ("ratio", NUMBER, "with ratio 2.5", 2.5),
        ("amount", NUMBER, "pay 1,250.75 now", 1250.75),
        ("charge", NUMBER, "a charge of 1e-9", 1e-9),
        ("count", INTEGER, "three of them", 10),
        ("year", INTEGER, "12 orders in 2024", 2024),
        ("orders", INTEGER, "in 2024 we had 12 of it", 12),
        ("top_k", INTEGER, "the top 7 in 2024", 7),
        ("top_k", {**INTEGER, "default": 4}, "all orders in 2024", 4),
        ("percent", {**INTEGER, "maximum": 50}, "99 of them", 50),
        ("percent", {**INTEGER, "exclusiveMinimum": 5}, "4 of them", 6),
        ("step", {**INTEGER, "multipleOf": 5}, "12 of them", 10),
        ("confidence", {**NUMBER, "minimum": 0, "maximum": 1}, "in 2024", 0.9),
        ("query", STRING, "Where is my order?", "Where is my order?"),
        ("title", STRING, 'Read "Dune" to me', "Dune"),
        ("title", STRING, "title: Dune please", "Dune"),
        ("city", STRING, "What is the weather in New York today?", "New York"),
        ("origin", STRING, "from Rome to Oslo", "Rome"),
        ("destination", STRING, "from Rome to Oslo", "Oslo"),
        ("person", STRING, "Tell Ada about it", "Ada"),
        ("thing", {**STRING, "default": "x"}, "nothing to see", "x"),
        ("thing", STRING, "nothing to see", "nothing to see"),
        ("code", {**STRING, "maxLength": 3}, "nothing to see", "not"),
        ("code", {**STRING, "minLength": 6}, "abc", "abc..."),
        ("code", {**STRING, "pattern": "^[A-Z]{3}$"}, "convert to EUR now", "EUR"),
        ("code", {**STRING, "pattern": r"^\d{2}-[a-c]+$"}, "nothing", "00-a"),
        ("day", {**STRING, "format": "date"}, "on 2024-05-06", "2024-05-06"),
        ("day", {**STRING, "format": "date"}, "some day", "2025-01-01"),
        ("date", STRING, "on 2024-05-06 at noon", "2024-05-06"),
        ("to", {**STRING, "format": "email"}, "write to ada@example.org now", "ada@example.org"),
        ("express", BOOLEAN, "send it express", True),
        ("express", BOOLEAN, "do not send it express", False),
        ("express", BOOLEAN, "send it", False),
        ("express", {**BOOLEAN, "default": True}, "send it", True),
        ("numbers", {"type": "array", "items": INTEGER}, "sort 3, 1 and 2", [3, 1, 2]),
        ("words", {"type": "array", "items": STRING}, 'join "a" and "b"', ["a", "b"]),
        ("cities", {"type": "array", "items": STRING}, "visit Rome and Oslo", ["Rome", "Oslo"]),
        (
            "colors",
            {"type": "array", "items": {"enum": ["red", "green", "blue"]}},
            "blue or red",
            ["red", "blue"],
        ),
        ("pair", {"type": "array", "prefixItems": [INTEGER, STRING]}, '4 of "x"', [4, "x"]),
        ("many", {"type": "array", "items": INTEGER, "maxItems": 1}, "1 and 2", [1]),
        ("maybe", {"type": ["integer", "null"]}, "no figure", None),
        ("maybe", {"type": ["string", "null"]}, 'call it "x"', "x"),
        ("maybe", {"anyOf": [INTEGER, {"type": "null"}]}, "maybe 4", 4),
        ("either", {"anyOf": [INTEGER, STRING]}, "either 4", 4),
        ("inner", {"type": "object", "properties": {"city": STRING}}, "x", {}),
    ],
)
def test_values(name, schema, question, value):
    """A required property gets what the question says, else a default, else something valid."""
    assert one(name, schema, question) == value


@pytest.mark.parametrize(
    ("name", "schema", "question", "value"),
    [
        ("unit", {"enum": ["celsius", "fahrenheit"]}, "How warm?", None),
        ("unit", {"enum": ["celsius", "fahrenheit"]}, "in celsius", "celsius"),
        ("limit", INTEGER, "orders in 2024", None),
        ("limit", INTEGER, "limit 5", 5),
        ("city", STRING, "Is it warm?", None),
        ("city", STRING, "Is it warm in Rome?", "Rome"),
        ("express", BOOLEAN, "send it", None),
        ("inner", {"type": "object", "properties": {"city": STRING}}, "x", None),
        (
            "inner",
            {"type": "object", "properties": {"city": STRING}},
            "in Rome",
            {"city": "Rome"},
        ),
        ("tags", {"type": "array", "items": STRING}, "Ask Ada", None),
    ],
)
def test_optional_values(name, schema, question, value):
    """An optional property is left out unless the question speaks of it."""
    assert one(name, schema, question, required=False) == value


def test_two_numbers_go_to_two_properties():
    """Each number of a question is used once, in order."""
    schema = {
        "type": "object",
        "properties": {"a": INTEGER, "b": INTEGER},
        "required": ["a", "b"],
    }
    assert fill(schema, "the divisor of two numbers: 40 and 50") == {"a": 40, "b": 50}


def test_reference_to_itself_ends():
    """A schema that refers to itself gets a value of finite depth."""
    node = {
        "type": "object",
        "properties": {
            "name": STRING,
            "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        },
        "required": ["name", "children", "next"],
    }
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    jsonschema.validate(fill(schema, "Ada has 3"), schema)


def test_all_of_is_merged():
    """The parts of an allOf are filled as one object."""
    schema = {
        "$defs": {"Base": {"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}},
        "allOf": [
            {"$ref": "#/$defs/Base"},
            {"properties": {"city": STRING}, "required": ["city"]},
        ],
    }
    assert fill(schema, "4 in Rome") == {"a": 4, "city": "Rome"}


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{2}\\d{3}$",
        "^(red|green)-\\w+$",
        "^[^@]+@[^@]+\\.[a-z]{2,}$",
        "^#(?:[0-9a-fA-F]{3}){1,2}$",
        "^\\S+\\s\\S+$",
        "^[^a-z]\\D\\W$",
        "colou?r",
        "^.{4}$",
        "^(?P<year>\\d{4})(-\\d\\d){2}$",
    ],
)
def test_patterns(pattern):
    """A text is made that fits the pattern."""
    made = text_for(pattern)
    assert made
    assert fits(pattern, made)


def test_a_pattern_that_python_cannot_read_is_fitted_by_the_first_text():
    """Patterns are JavaScript's: of one that this side does not know, nothing is demanded."""
    assert text_for(r"^\p{L}+$", "Paris") == "Paris"
    assert text_for(r"^\p{L}+$") == ""


def schemas():
    """Return a strategy of schemas as people write them."""
    numbers = st.builds(
        lambda kind, low, size: {"type": kind, "minimum": low, "maximum": low + size},
        st.sampled_from(["integer", "number"]),
        st.integers(-50, 50),
        st.integers(0, 100),
    )
    texts = st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
        st.integers(0, 12),
        st.integers(0, 20),
    )
    choices = st.lists(st.sampled_from(["red", "dark blue", "x", 1, 2.5, None]), min_size=1)
    leaves = st.one_of(
        numbers,
        texts,
        choices.map(lambda values: {"enum": values}),
        st.sampled_from([BOOLEAN, STRING, {"type": ["integer", "null"]}, {"const": 7}]),
    )

    def nested(inner):
        names = st.sampled_from(["city", "limit", "query", "score", "tags", "date", "is_new"])
        objects = st.dictionaries(names, inner, max_size=4).flatmap(
            lambda properties: st.builds(
                lambda required: {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": False,
                },
                st.lists(st.sampled_from(sorted(properties)), unique=True)
                if properties
                else st.just([]),
            )
        )
        arrays = st.builds(
            lambda item, low, size: {
                "type": "array",
                "items": item,
                "minItems": low,
                "maxItems": low + size,
            },
            inner,
            st.integers(0, 3),
            st.integers(0, 3),
        )
        either = st.builds(lambda item: {"anyOf": [item, {"type": "null"}]}, inner)
        return st.one_of(objects, arrays, either)

    return st.recursive(leaves, nested, max_leaves=8)


@settings(max_examples=150)
@given(
    schemas(),
    st.sampled_from(
        [
            "hello",
            'Find 5 red things called "Ada" in Rome on 2024-05-06, not 12.5',
            "What is the score of the dark blue one, limit 3?",
        ]
    ),
)
def test_values_are_always_valid(schema, question):
    """Whatever the schema and the question, the value is valid."""
    jsonschema.validate(fill(schema, question), schema)


def tool(name, **properties):
    """Return a tool whose properties are all required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER, CLOCK = tool("get_weather", city=STRING), tool("get_time", city=STRING)


@pytest.mark.parametrize(
    ("question", "choice", "called"),
    [
        ("What is the weather in Oslo?", "auto", ("get_weather", {"city": "Oslo"})),
        ("What time is it in Oslo?", "auto", ("get_time", {"city": "Oslo"})),
        ("Tell a joke about Oslo", "auto", None),
        ("Tell a joke about Oslo", "required", ("get_weather", {"city": "Oslo"})),
        ("What time is it in Oslo?", "required", ("get_time", {"city": "Oslo"})),
        ("What time is it in Oslo?", "none", None),
        (
            "What is the weather in Oslo?",
            {"type": "function", "function": {"name": "get_time"}},
            ("get_time", {"city": "Oslo"}),
        ),
        (
            "What is the weather in Oslo?",
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CLOCK]}},
            None,
        ),
        (
            "What is the weather in Oslo?",
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CLOCK]}},
            ("get_time", {"city": "Oslo"}),
        ),
    ],
)
def test_tools_are_called_where_named_or_required(question, choice, called):
    """A function is called when the question has a word of its name, or when one must be."""
    reply = ask(question, tools=[WEATHER, CLOCK], tool_choice=choice)
    made = [(call.name, call.arguments) for call in reply.tool_calls]
    assert made == ([] if called is None else [called])


def test_results_of_tools_are_stated():
    """With a result there is no further call; what the tool returned is said."""
    after = {"role": "tool", "tool_call_id": "c", "content": json.dumps([{"degrees": 18}])}
    reply = ask("What is the weather in Oslo?", after, tools=[WEATHER])
    assert (reply.tool_calls, reply.text) == ((), "The answer is 18 (degrees).")


def test_the_rest_is_echoed():
    """What nothing can be made of comes back; as JSON where JSON is asked for."""
    assert ask("hello").text == "You said: hello"
    said = ask("hello", response_format={"type": "json_object"}).text
    assert json.loads(said) == {"answer": "You said: hello"}
