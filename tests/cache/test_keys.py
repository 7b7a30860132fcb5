"""Normalised text and the keys made of it."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import time
import uuid
import zoneinfo
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.cache.keys import (
    cache_key,
    compose,
    encode_context,
    encode_parts,
    normalize_text,
    normalizer,
    text_digest,
)
from agentinfra.errors import CacheError, ConfigurationError

parts = st.one_of(st.text(), st.binary(), st.integers(), st.booleans(), st.none())
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Hello\tWORLD \n", "hello world"),
        ("", ""),
        (" \u00a0 ", ""),
        ("e\u0301", "é"),
        ("É", "é"),
        ("Maßen", "maßen"),
        ("10\u2079 and x\u2082", "10\u2079 and x\u2082"),
        ("ﬁne", "ﬁne"),
        ("\uff21\uff11", "\uff41\uff11"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ],
)
def test_case_and_white_space_are_folded_and_nothing_else(text, normal):
    """Superscripts, ligatures, widths and ß stay what they are; Unicode is composed."""
    assert normalize_text(text) == normal


@pytest.mark.parametrize("text", ["5 mW", "a\n  b", "dQw4w9WgXcQ", " x "])
def test_exact_text_is_only_composed(text):
    """The exact choice keeps case and white space."""
    name, exact = normalizer("exact")
    assert (name, exact(text), exact("e\u0301")) == ("exact", text, "é")


def test_a_function_is_a_choice_with_a_name():
    """A function of the user's makes texts comparable, and has to give text."""
    name, first_word = normalizer(str.swapcase)
    assert first_word("aB") == "Ab"
    assert "swapcase" in name
    with pytest.raises(CacheError, match="has to give text"):
        normalizer(len)[1]("abc")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="normalize is 'loose'"):
        normalizer("loose")  # type: ignore[arg-type]


@pytest.mark.parametrize("run", [30, 64, 65, 1000])
def test_a_long_run_of_marks_is_left_as_it_is(run):
    """What people write is composed, in texts of any length; a hostile run costs nothing."""
    text = "x" * 600 + "a" + "\u0316\u0301" * (run // 2) + "\u0316" * (run % 2)
    assert (compose(text) == text) is (run > 64)


def test_the_work_grows_with_the_text_alone():
    """Forty thousand marks in a row take little more than as many letters."""
    text = "a" + "\u0301\u0316" * 20_000
    begun = time.process_time()
    for _ in range(10):
        normalize_text("é" * 40_001)
    letters = time.process_time() - begun
    begun = time.process_time()
    normalize_text(text)
    assert time.process_time() - begun < 20 * letters


@given(st.text())
def test_normalising_is_idempotent(text):
    """Normalising what is normalised changes nothing."""
    once = normalize_text(text)
    assert normalize_text(once) == once


@given(st.text(st.characters(max_codepoint=127)))
def test_the_ascii_path_gives_what_the_full_path_gives(text):
    """The fast path for ASCII is only faster."""
    assert normalize_text(text) == normalize_text(text + "é")[:-1].rstrip()


@given(st.lists(parts, max_size=4), st.lists(parts, max_size=4))
def test_different_parts_have_different_encodings(first, second):
    """No two lists of parts share an encoding, whatever is in them."""
    same = [(type(a), a) for a in first] == [(type(b), b) for b in second]
    assert (encode_parts(*first) == encode_parts(*second)) == same


@given(st.lists(parts), st.lists(parts))
def test_encodings_can_be_put_together(first, second):
    """A prefix encoded once gives the same key as all parts at once."""
    assert encode_parts(*first) + encode_parts(*second) == encode_parts(*first, *second)


def test_kinds_of_parts_differ():
    """1, True, "1", b"1" and None are five different parts."""
    keys = {cache_key(part) for part in (1, True, "1", b"1", None)}
    assert len(keys) == 5
    assert all(len(key) == 64 for key in keys)


def test_lone_surrogates_have_keys():
    """Text that cannot be UTF-8 still has a key of its own."""
    assert cache_key("\ud800") != cache_key("\ud801")


def test_a_part_of_another_kind_is_refused():
    """A part that has no encoding is named."""
    with pytest.raises(CacheError, match=r"cannot hold 1\.5 of type float"):
        cache_key(1.5)  # type: ignore[arg-type]


@given(st.dictionaries(st.text(), plain))
def test_the_order_of_keys_makes_no_difference(context):
    """Equal contexts have one JSON, whatever order their keys came in."""
    turned = dict(reversed(context.items()))
    assert encode_context(context) == encode_context(turned)


def test_what_is_different_stays_different():
    """Kinds and the order of lists tell contexts apart."""
    contexts = [{"a": v} for v in (1, True, "1", 1.0, [1, 2], [2, 1], None, "null", [], {})]
    for first, second in itertools.combinations(contexts, 2):
        assert encode_context(first) != encode_context(second)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float


class Plan(enum.Enum):
    RED = "red"


@dataclass
class Place:
    x: float


@dataclass
class User:
    id: int
    _tenant: str = ""


class Move(NamedTuple):
    x: float


class Model(pydantic.BaseModel):
    x: float
    _tenant: str = pydantic.PrivateAttr("")


def owned(tenant):
    model = Model(x=1)
    model._tenant = tenant
    return model


@pytest.mark.parametrize(
    "contexts",
    [
        [User(1, "acme"), User(1, "globex")],
        [Point(1.5), Place(1.5), Move(1.5), Model(x=1.5), {"x": 1.5}],
        [Colour.RED, Plan.RED, "red", Colour, Plan],
        [owned("acme"), owned("globex")],
        [(1, 2), [1, 2]],
        [uuid.UUID(int=1), str(uuid.UUID(int=1)), uuid.UUID(int=1).bytes],
        [dt.date(2025, 1, 1), dt.datetime(2025, 1, 1), "2025-01-01"],  # noqa: DTZ001
        [{1: "a"}, {"1": "a"}, {True: "a"}],
        [2**64, 2**64 + 1, float(2**64), Decimal(2**64)],
        ["ab", ["a", "b"], [["a"], "b"], ["a", ["b"]]],
    ],
)
def test_values_of_different_kinds_differ(contexts):
    """Classes go by their name, and every field of an instance counts, private ones too."""
    assert len({encode_context(context) for context in contexts}) == len(contexts)


@pytest.mark.parametrize(
    "contexts",
    [
        [0.0, -0.0],
        [
            dt.datetime(2025, 1, 1, 12, tzinfo=dt.UTC),
            dt.datetime(2025, 1, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2025, 1, 1, 13, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        ],
        [Decimal("1.50"), Decimal("1.5"), Decimal("15e-1")],
        [Decimal(0), Decimal("-0.00"), Decimal("0e7")],
        [Decimal(1000), Decimal("1e3")],
        [{"a": 1, "b": 2}, MappingProxyType({"b": 2, "a": 1}), OrderedDict(b=2, a=1)],
        [
            dt.time(1, tzinfo=dt.UTC),
            dt.time(2, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        ],
    ],
)
def test_equal_values_have_one_encoding(contexts):
    """Zones, the sign of zero, decimals' digits and the order of keys make no difference."""
    assert len({encode_context(context) for context in contexts}) == 1


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
def test_instants_are_told_apart_as_python_does(first, second):
    """Two aware times share an encoding just when they are the same instant."""
    same = first.astimezone(dt.UTC) == second.astimezone(dt.UTC)
    assert (encode_context(first) == encode_context(second)) is same


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_decimals_are_told_apart_by_value(number, zeros):
    """Digits that say nothing change nothing."""
    sign, digits, exponent = number.as_tuple()
    longer = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert encode_context(number) == encode_context(longer)
    other = Decimal((sign, (*digits, 1), exponent - 1))
    assert encode_context(number) != encode_context(other)


LOOP: list[object] = []
LOOP.append(LOOP)


class Name(str):
    """Text with something beside it."""


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"a": [{1, 2}]}, r"context\['a'\]\[0\] is \{1, 2\} of type set"),
        ({"a": {(object,): "x", 3: {1}}}, r"context\['a'\]\[3\] is \{1\} of type set"),
        ({frozenset(): 1}, r"the key frozenset\(\) of context is"),
        ({"a": float("nan")}, r"context\['a'\] is nan of type float"),
        ({"a": None, "b": [1, float("inf")]}, r"context\['b'\]\[1\] is inf"),
        (Point(float("nan")), r"context\.x is nan"),
        ({"a": Decimal("NaN")}, r"context\['a'\] is Decimal\('NaN'\)"),
        ({"a": Name("x")}, r"context\['a'\] is 'x' of type Name"),
        ([lambda: 1], r"context\[0\] is <function"),
        (object(), r"context is <object object"),
        (LOOP, r"nested too deeply"),
    ],
)
def test_what_has_no_canonical_form_is_named(context, complaint):
    """A context that cannot be a key is refused, and the message says where it is."""
    with pytest.raises(CacheError, match=complaint):
        encode_context(context)


def test_a_text_and_what_it_is_about_make_one_digest():
    """A digest is that of its parts together, for any text."""
    about = encode_parts("a", None)
    digests = {text_digest(about, text) for text in ("x", "xx", "", "\ud800", "\ud801")}
    assert len(digests) == 5
    assert text_digest(encode_parts("a"), "x") not in digests
