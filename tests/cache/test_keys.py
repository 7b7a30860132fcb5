"""Normalised text and the keys made of it."""

from __future__ import annotations

import enum
import itertools
import uuid
from dataclasses import dataclass
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra.cache.keys import cache_key, canonical_json, encode_parts, normalize_text
from agentinfra.errors import CacheError

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
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("\uff21\uff11", "a1"),
        ("e\u0301", "é"),
        ("É", "é"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
    ],
)
def test_text_that_looks_alike_is_alike(text, normal):
    """Case, width, composition, ligatures and white space make no difference."""
    assert normalize_text(text) == normal


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
    assert canonical_json(context) == canonical_json(turned)


def test_what_is_different_stays_different():
    """Kinds and the order of lists tell contexts apart."""
    contexts = [{"a": v} for v in (1, True, "1", 1.0, [1, 2], [2, 1], None, "null", [], {})]
    for first, second in itertools.combinations(contexts, 2):
        assert canonical_json(first) != canonical_json(second)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float


def test_values_with_a_json_of_their_own_are_taken():
    """UUIDs, enums, dataclasses, tuples and read-only mappings count as the JSON they become."""
    number = uuid.UUID(int=1)
    assert canonical_json({"v": number}) == canonical_json({"v": str(number)})
    assert canonical_json([Colour.RED, Point(1.5)]) == b'["red",{"x":1.5}]'
    assert canonical_json(MappingProxyType({"b": (1, 2), "a": 1})) == b'{"a":1,"b":[1,2]}'


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"a": [{1, 2}]}, r"context\['a'\]\[0\] is \{1, 2\} of type set"),
        ({"a": {1: "x"}}, r"context\['a'\] has the key 1, and JSON keys are text"),
        ({"a": float("nan")}, r"context\['a'\] is nan of type float"),
        ({"a": None, "b": [1, float("inf")]}, r"context\['b'\]\[1\] is inf"),
        (Point(float("nan")), r"context\.x is nan"),
        ({"a": 2**64}, r"context\['a'\] is 18446744073709551616 of type int"),
        ({"a": b"x"}, r"context\['a'\] is b'x' of type bytes"),
        ("\ud800", r"context is '\\ud800' of type str"),
        (object, r"context is <class 'object'>"),
        (LOOP, r"nested too deeply"),
    ],
)
def test_what_has_no_json_is_named(context, complaint):
    """A context JSON cannot hold is refused, and the message says where it is."""
    with pytest.raises(CacheError, match=complaint):
        canonical_json(context)
