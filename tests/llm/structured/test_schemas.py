"""Whatever pydantic can adapt is a schema, and its values come back as the caller's own."""

import dataclasses
import datetime
import enum
import functools
import json
import typing
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_support import HELLO
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter
from strict_rules import broken_rules

from agentinfra.errors import ConfigurationError
from agentinfra.llm.structured.schemas import TruncatedError, schema_of
from agentinfra.llm.structured.tools import tool_of
from agentinfra.testing.replies import Reply


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = Field(default_factory=list, max_length=3)


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Old(typing.TypedDict):
    kind: str
    more: typing_extensions.NotRequired[int]


class New(typing_extensions.TypedDict, total=False):
    pets: list[Cat]


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line."""

    start: Point
    end: Point | None = None


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(typing.NamedTuple):
    left: int
    right: str


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    class_: str = Field(alias="class")


class Names(RootModel[list[str]]):
    pass


class Recursive(BaseModel):
    children: list["Recursive"] = []


VALUES = [
    (Cat, Cat(kind="cat", lives=3), True),
    (Dog, Dog(kind="dog", tricks=["sit"]), True),
    (Cat | Dog, Dog(kind="dog"), True),
    (Pet, Cat(kind="cat"), True),
    (list[Cat], [Cat(kind="cat"), Cat(kind="cat", lives=1)], True),
    (dict[str, Cat], {"a": Cat(kind="cat")}, False),
    (tuple[int, str], (1, "a"), False),
    (set[int], {1, 2}, True),
    (Old, {"kind": "a"}, True),
    (list[Old], [{"kind": "a", "more": 1}], True),
    (Old | None, None, True),
    (New, {"pets": [Cat(kind="cat")]}, True),
    (Point, Point(x=1.0), True),
    (Line, Line(start=Point(x=1.0), end=Point(x=2.0, y=3.0)), True),
    (Color, Color.BLUE, True),
    (Pair, Pair(left=1, right="a"), False),
    (Aliased, Aliased(**{"class": "x"}), True),
    (Names, Names(["a"]), True),
    (Recursive, Recursive(children=[Recursive(), Recursive(children=[Recursive()])]), True),
    (Literal["a", 1], 1, True),
    (int, 7, True),
    (str, "text", True),
    (bool, False, True),
    (float, 1.5, True),
    (datetime.date, datetime.date(2026, 1, 2), True),
    (uuid.UUID, uuid.UUID(int=5), True),
    (Decimal, Decimal("1.50"), True),
    (bytes, b"abc", True),
    (int | None, None, True),
    (Annotated[int, Field(ge=3)], 4, True),
    (TypeAdapter(list[int]), [1, 2], True),
    (Any, {"a": [1]}, False),
]


def _adapter(kind):
    if isinstance(kind, TypeAdapter):
        return kind
    return TypeAdapter(New if kind is Old else kind) if kind is not Old else TypeAdapter(dict)


def _json(value):
    return TypeAdapter(Any).dump_python(value, mode="json", by_alias=True)


@pytest.mark.parametrize(("kind", "value", "strict"), VALUES, ids=lambda part: str(part)[:40])
def test_a_value_of_a_type_comes_back_as_it_was(kind, value, strict):
    """Wrapped as it is asked for, or bare as models give it: an equal instance, strictly formed."""
    schema = schema_of(kind)
    sent = _json(value)
    asked = {"value": sent} if schema.wraps else sent
    for text in (json.dumps(asked), json.dumps(sent), f"Here: ```json\n{json.dumps(asked)}\n```"):
        found = schema.read(text).value
        assert found == value
        assert type(found) is type(value)
    assert schema.sent["type"] == "object"
    assert (schema.strict.schema is not None) == strict, schema.strict.reason
    if strict:
        assert broken_rules(schema.strict.schema) == []


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (Cat, "Cat", "A cat."),
        (Dog, "Dog", ""),
        (Point, "Point", ""),
        (Line, "Line", "A line."),
        (Pair, "Pair", ""),
        (Old, "Old", ""),
        (Color, "Color", ""),
        (int, "int", ""),
        (list[Cat], "answer", ""),
        (Cat | Dog, "answer", ""),
    ],
)
def test_only_a_docstring_of_its_own_is_sent(kind, name, said):
    """Neither an inherited one nor one that dataclasses and named tuples write is."""
    schema = schema_of(kind)
    assert (schema.name, schema.description) == (name, said)
    assert json.dumps(schema.sent).count("BaseModel") == 0


def test_schemas_without_a_root_of_their_own_are_wrapped_with_their_references():
    """A reference in a wrapped schema still means what it meant."""
    given = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#"}]},
        "$defs": {"leaf": {"type": "string"}},
    }
    schema = schema_of(given)
    assert schema.read('{"value": ["a", ["b", []]]}').value == ["a", ["b", []]]
    assert broken_rules(schema.strict.schema) == []


def test_json_that_is_cut_off_is_no_value():
    """However well the rest would fit."""
    with pytest.raises(TruncatedError):
        schema_of(Dog).read('{"kind": "dog", "tricks": ["si')


@pytest.mark.parametrize("given", ["a text", 42, None, object()])
def test_what_is_no_schema_is_refused_in_words(given):
    """With an error of ours, that says what to give."""
    with pytest.raises(ConfigurationError):
        schema_of(given)


# -- functions


def every(
    a: int,
    /,
    b: Annotated[str, Field(description="The b.")],
    *rest: float,
    c: bool = True,
    _d: int | None = None,
    e: int = Field(default=3, ge=1),
    json: str = "j",
    **more: int,
):
    """Do everything."""
    return a, b, rest, c, _d, e, json, more


class Options(typing_extensions.TypedDict, total=False):
    speed: int


def with_options(q: str, **options: typing_extensions.Unpack[Options]):
    return q, options


class Shop:
    """Sells."""

    def order(self, item: str, count: int = 1) -> str:
        """Order."""
        return f"{count} {item}"

    def __call__(self, item: str):
        return item


def test_every_kind_of_parameter_is_one_of_the_model():
    """None is dropped; each goes back to its own kind of place when the function is called."""
    tool = tool_of(every)
    assert list(tool.parameters["properties"]) == ["a", "b", "rest", "c", "_d", "e", "json", "more"]
    assert tool.parameters["required"] == ["a", "b"]
    assert tool.parameters["properties"]["b"]["description"] == "The b."
    assert tool.description == "Do everything."
    made = tool.parse('{"a": 1, "b": "x", "rest": [1, 2], "_d": 4, "more": {"z": 5}}')
    assert (made.a, made.b, made.rest, made.json) == (1, "x", [1.0, 2.0], "j")
    assert made() == (1, "x", (1.0, 2.0), True, 4, 3, "j", {"z": 5})
    assert tool.parse('{"a": 1, "b": "x"}')() == (1, "x", (), True, None, 3, "j", {})


def test_partial_functions_methods_and_objects_are_tools():
    """What is fixed already is no parameter; the name and the docstring are the function's own."""
    assert tool_of(Shop().order).parse('{"item": "tea"}')() == "1 tea"
    fixed = tool_of(functools.partial(every, 1, c=False, b="x"))
    assert (fixed.name, fixed.description) == ("every", "Do everything.")
    assert not fixed.parameters["properties"].keys() & {"a", "b", "c"}
    assert fixed.parse("{}")() == (1, "x", (), False, None, 3, "j", {})
    called = tool_of(Shop())
    assert (called.name, called.description) == ("Shop", "Sells.")
    assert called.parse('{"item": "tea"}')() == "tea"
    assert tool_of(with_options).parse('{"q": "a", "options": {"speed": 1}}')() == (
        "a",
        {"speed": 1},
    )


def test_defaults_that_can_change_and_that_json_cannot_hold_are_defaults():
    """Neither a list nor an object of the caller's keeps a function from being a tool."""
    marker = object()

    def search(q: str, tags: list[str] = ["a"], how: Any = marker):  # noqa: B006
        return q, tags, how

    assert tool_of(search).parse('{"q": "x"}')() == ("x", ["a"], marker)


def unresolvable(x: "NoSuchType"):  # noqa: F821
    return x


def unadaptable(x: typing.Iterator["object"], y: type(object())):
    return x, y


@pytest.mark.parametrize(
    "function", [unresolvable, unadaptable, lambda x: x, dict.fromkeys, functools.partial(print)]
)
def test_functions_that_cannot_be_tools_are_refused_in_words(function):
    """With an error of ours: no parameter is dropped without a word."""
    with pytest.raises(ConfigurationError):
        tool_of(function)


# -- round trips

_cats = st.builds(Cat, kind=st.just("cat"), lives=st.integers(-(10**20), 10**20))
_dogs = st.builds(Dog, kind=st.just("dog"), tricks=st.lists(st.text(max_size=5), max_size=3))
_points = st.builds(
    Point, x=st.floats(allow_nan=False, allow_infinity=False), y=st.integers(0, 9).map(float)
)
_lines = st.builds(Line, start=_points, end=st.none() | _points)
_trees = st.recursive(
    st.builds(Recursive), lambda inner: st.builds(Recursive, children=st.lists(inner, max_size=3))
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just(list[Pet]), st.lists(_cats | _dogs, max_size=4)),
        st.tuples(st.just(Line), _lines),
        st.tuples(st.just(Recursive), _trees),
        st.tuples(st.just(dict[str, int]), st.dictionaries(st.text(max_size=4), st.integers())),
        st.tuples(st.just(int | str | None), st.integers() | st.text() | st.none()),
    )
)
def test_every_value_survives_the_way_through_json(case):
    """Any value of a type, as JSON in the form that is asked for, is read as the same value."""
    kind, value = case
    schema = schema_of(kind)
    sent = _json(value)
    assert schema.read(json.dumps({"value": sent} if schema.wraps else sent)).value == value


# -- through the client


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_values_come_through_either_api(client_of, server, api):
    """Wrapped on their way where they are no objects, and the caller's own when they are back."""
    async with client_of(server, max_attempts=1, api=api) as client:
        server.script(Reply.calling("answer", value=[{"kind": "cat", "lives": None}]))
        assert await client.structured(HELLO, list[Pet]) == [Cat(kind="cat")]
        server.script(Reply.calling("Line", start={"x": 1, "y": None}, end=None))
        assert await client.structured(HELLO, Line) == Line(start=Point(x=1.0))
        server.script(Reply.calling("every", a=1, b="x"))
        assert (await client.structured(HELLO, every))()[:2] == (1, "x")
        tool = server.ledger.last.body["tools"][0]
        assert tool.get("strict", tool.get("function", {}).get("strict", False)) is False


async def test_a_schema_is_written_once_however_it_is_given(client, server):
    """What cannot be hashed, and a dict that says the same, are known again."""
    unhashable = Annotated[int, Field(json_schema_extra={"x": []})]
    for _ in range(2):
        server.script(Reply.calling("answer", value=1))
        assert await client.structured(HELLO, unhashable) == 1
        server.script(Reply.calling("P", x=1))
        given = {"title": "P", "type": "object", "properties": {"x": {"type": "integer"}}}
        assert await client.structured(HELLO, given) == {"x": 1}
    assert len(client._calls.structured._works) == 2
