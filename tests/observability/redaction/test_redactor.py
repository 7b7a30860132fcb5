from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from agentinfra.observability.redaction import REDACTED, Redactor

SECRET_KEYS = [
    "api_key",
    "OPENAI_API_KEY",
    "apiKey",
    "x-api-key",
    "Authorization",
    "proxy-authorization",
    "password",
    "db_password",
    "passwd",
    "client_secret",
    "token",
    "access_token",
    "accessToken",
    "dsn",
    "DATABASE_DSN",
    "cookie",
    "Set-Cookie",
    "private_key",
    "credentials",
    "aws_secret_access_key",
    "X-Amz-Security-Token",
    "api_keys",
    "password_2",
    "client_secret_value",
]
MAYBE_KEYS = ["auth", "pwd", "pass", "tokens", "session_id", "csrf", "aws_access_key_id", "sig"]
PLAIN_KEYS = [
    "tokens",
    "total_tokens",
    "max_tokens",
    "token_count",
    "first_token",
    "seconds_per_token",
    "cache_key",
    "key",
    "author",
    "model",
    "user",
    "passed",
    "gen_ai.usage.input_tokens",
    "gen_ai.response.id",
    "secretary",
    "secret_name",
    "has_secret",
    "password_length",
    "passwordless_login",
    "cookies_enabled",
    "token_type",
    "eos_token",
    "authorization_model",
]

planted = st.lists(
    st.from_regex(r"[A-Za-z]{1,3}[0-9]{1,2}", fullmatch=True), min_size=8, max_size=12
).map("".join)
noise = st.text(st.characters(codec="utf-8", exclude_characters="'\"\\"), max_size=20)


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_secret_keys(key):
    """A value under the name of a secret is not shown, whatever the name's case and separators."""
    assert Redactor().fields({key: "hunter2"}) == {key: REDACTED}
    assert Redactor().value({"outer": [{key: {"inner": "hunter2"}}]}) == {
        "outer": [{key: REDACTED}]
    }


@pytest.mark.parametrize("key", MAYBE_KEYS)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], lambda v: {"a": v}])
def test_keys_that_may_be_secret(key, wrap):
    """Under a name that may be a secret's the value decides: what looks drawn by lot is hidden."""
    assert "Zq7Xk2Vb9Lm4" not in str(Redactor().fields({key: wrap("Zq7Xk2Vb9Lm4")}))
    assert Redactor().fields({key: "eight words"}) == {key: "eight words"}
    assert Redactor().fields({key: 512}) == {key: 512}


@pytest.mark.parametrize("key", PLAIN_KEYS)
def test_plain_keys(key):
    """A name that only looks like one of a secret keeps its value."""
    assert Redactor().fields({key: "value"}) == {key: "value"}


def test_extra_names():
    """The names from the settings are secrets too, as words inside a key and in text."""
    redactor = Redactor(["email", "card-number"])
    fields = {"email": "a@b.c", "userEmail": "a@b.c", "CARD_NUMBER": "4111", "emailed": True}
    hidden = dict.fromkeys(list(fields)[:3], REDACTED)
    assert redactor.fields(fields) == {**hidden, "emailed": True}
    assert redactor.text("card_number=4111, email: a@b.c") == (
        f"card_number={REDACTED}, email: {REDACTED}"
    )


def test_whether_a_secret_is_set_is_no_secret():
    """None and bools are shown even under the name of a secret."""
    assert Redactor().fields({"api_key": None, "has_password": True}) == {
        "api_key": None,
        "has_password": True,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sent with sk-proj-abcdefgh12345678.", f"sent with {REDACTED}."),
        ("Bearer abc.def-ghi", f"Bearer {REDACTED}"),
        ("Authorization: Basic dXNlcjpwdw==\nHost: x", f"Authorization: {REDACTED}\nHost: x"),
        ("Cookie: a=b; c=d", f"Cookie: {REDACTED}"),
        ("postgres://u:p@ss/w:rd@db:5432/x", f"postgres://u:{REDACTED}@db:5432/x"),
        ("redis://:secret@cache/0", f"redis://:{REDACTED}@cache/0"),
        ("password='two words' user='x'", f"password='{REDACTED}' user='x'"),
        ('{"api_key": "a\\"b", "n": 1}', f'{{"api_key": "{REDACTED}", "n": 1}}'),
        ('password="cut off', f'password="{REDACTED}'),
        ("key=0123456789abcdef0123456789abcdef", f"key={REDACTED}"),
        ("?token=abc&x=1", f"?token={REDACTED}&x=1"),
    ],
)
def test_patterns(text, shown):
    """What looks like a secret inside a text is replaced, and nothing around it."""
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8080/v1?mail=a@b.c",
        "https://example.org",
        "risk-assessment of the disk-encryption",
        "max_tokens=128, total tokens: 12",
        "key=short",
        "the basic plan",
        "2026-11-23T14:00:00Z",
    ],
)
def test_harmless_text(text):
    """Text without a secret stays as it is."""
    assert Redactor().text(text) == text


@given(
    secret=planted,
    before=noise,
    after=noise,
    form=st.sampled_from(
        [
            "{before} sk-{secret} {after}",
            "{before} Bearer {secret} {after}",
            "{before} https://user:{secret}@host/path {after}",
            "{before} api_key={secret} {after}",
            "{before} PASSWORD: '{secret}' {after}",
            "{before} Authorization: Basic {secret} {after}",
            '{before} {{"token": "{secret}"}} {after}',
            "{before} some_key={secret} {after}",
        ]
    ),
)
def test_no_planted_secret_survives_in_text(secret, before, after, form):
    """No text around a secret keeps it from being found."""
    assert secret not in Redactor().text(form.format(before=before, secret=secret, after=after))


@given(
    secret=planted,
    key=st.sampled_from(SECRET_KEYS),
    wrap=st.lists(st.sampled_from(["dict", "list", "tuple", "deque", "pair", "data"]), max_size=9),
)
def test_no_planted_secret_survives_in_structures(secret, key, wrap):
    """No nesting keeps a value under the name of a secret from being found."""

    @dataclass
    class Data:
        inner: object

    value: object = {key: [secret, {"deep": secret}]}
    for kind in wrap:
        value = {
            "dict": {"inner": value},
            "list": [1, value],
            "tuple": (value,),
            "deque": deque([value]),
            "pair": ("inner", value),
            "data": Data(value),
        }[kind]
    assert secret not in json.dumps(Redactor().value(value))


def test_pairs():
    """Headers given as pairs are treated as the mapping they stand for."""
    headers = [(b"authorization", b"Basic x"), ("X-Api-Key", "abc"), ("accept", "*/*")]
    assert Redactor().value(headers) == [
        ["authorization", REDACTED],
        ["X-Api-Key", REDACTED],
        ["accept", "*/*"],
    ]


class Colour(Enum):
    RED = "red"


class Mood(StrEnum):
    FINE = "fine"


@dataclass
class Login:
    user: str
    password: str
    raw: object = field(default=None, repr=False)


class Model(BaseModel):
    user: str
    password: str
    key: SecretStr


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (Decimal("1.50"), "1.50"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"\x00x", "b'\\x00x'"),
        ({3, 1, 2}, [1, 2, 3]),
        ((1, "a"), [1, "a"]),
        (2**70, str(2**70)),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (UUID(int=1), str(UUID(int=1))),
        (Colour.RED, "red"),
        (Mood.FINE, "fine"),
        (ValueError("password=x"), f"ValueError('password={REDACTED}')"),
        (Login("u", "hunter2", raw=object()), {"user": "u", "password": REDACTED}),
        ("\ud800", "?"),
        ({1: "x", None: "y", b"z": 2}, {"1": "x", "None": "y", "z": 2}),
    ],
)
def test_values_json_does_not_know(value, clean):
    """Every kind of value becomes one that JSON knows, as close to it as can be."""
    assert Redactor().value(value) == clean


def test_reprs_are_searched():
    """A secret in the repr of a vendor's object is found."""
    shown = Redactor().value(Model(user="u", password="hunter2", key=SecretStr("hunter2")))
    assert "hunter2" not in shown
    assert "user='u'" in shown


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class BrokenMapping(dict):
    def items(self):
        raise RuntimeError("no items")


@pytest.mark.parametrize(
    "value",
    [Broken(), [Broken()], {Broken(): 1}, BrokenMapping(a=1), 10**5000],
    ids=["object", "item", "key", "mapping", "number"],
)
def test_broken_values(value):
    """A value whose own methods fail is shown as unprintable, and raises nothing."""
    assert "unprintable" in json.dumps(Redactor().value(value))


def test_endless_values():
    """Circular, deep and huge values are cut, in bounded time."""
    circle: list[object] = []
    circle.extend([circle] * 100)
    deep: object = "bottom"
    for _ in range(10_000):
        deep = [deep]
    began = time.perf_counter()
    maybe = ({"auth": circle}, {"tokens": {"a": circle}}, {"pin": deep}, {"auth": [1] * 10**6})
    for value in (*maybe, circle, deep, list(range(10**6)), {"x": "y" * 10**5, "z": range(10**9)}):
        assert len(json.dumps(Redactor().value(value))) < 200_000
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "://a:",
        "token=",
        "token='",
        "a-",
        "key=",
        "authorization=",
        "authorization: '",
        "cookie: a ",
        '"token","',
        "<token>a",
        "sk-",
        "sk-ab1-",
        "basic aaaaaa ",
        " --token a1",
        "password is a1b2c3d4e5 ",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_hostile_text_takes_little_more_than_any(text):
    """A text made to be looked at for long takes hardly longer than one full of short names."""
    redactor = Redactor()

    def least(text):
        made = (text * (4_000_000 // len(text)))[:4_000_000]
        redactor.text(made)  # what is made once is made
        took = []
        for _ in range(3):
            began = time.thread_time()
            redactor.text(made)
            took.append(time.thread_time() - began)
        return min(took)

    assert least(text) < 8 * least("token: x1 ")


def test_keys_without_end():
    """Judging ever new keys keeps no memory of all of them."""
    redactor = Redactor()
    for number in range(10_000):
        assert not redactor.is_secret(f"key{number}")
    assert redactor.is_secret("api_key")
    assert len(redactor._known) < 5_000


def test_huge_mappings():
    """A huge mapping is cut, and says so."""
    clean = Redactor().value({n: n for n in range(100_000)})
    assert len(clean) < 10_000
    assert clean["[...]"] == "[...]"
