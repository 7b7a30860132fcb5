"""Secrets and addresses: usable by those who ask, shown to nobody."""

import copy
import json
import logging
import pickle
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra import ConfigurationError, Settings
from agentinfra.settings import EndpointSettings, LLMSettings
from agentinfra.settings.secret import Secret
from agentinfra.settings.url import CollectorUrl, DatabaseUrl, HttpUrl, RedisUrl


def test_text():
    """White space around a secret is no part of it."""
    assert Secret(" sk-1\r\n").get_secret_value() == "sk-1"
    assert Secret("sk-1") == Secret("sk-1\n") != Secret("sk-2")
    assert hash(Secret("sk-1")) == hash(Secret("sk-1\n"))


def test_a_path(tmp_path):
    """A path is read once, when the settings are made."""
    (tmp_path / "key").write_text("sk-1\n")
    settings = Settings(llm={"api_key": tmp_path / "key"})
    (tmp_path / "key").unlink()
    assert settings.llm.api_key.get_secret_value() == "sk-1"


async def test_functions():
    """A function, async or not, is asked each time, and only when awaited."""
    keys = iter(["one", " two\n", "th\nree", 4])

    async def later():
        return next(keys)

    secret, other = Secret(lambda: next(keys)), Secret(later)
    assert (secret.changes, Secret("x").changes) == (True, False)
    assert await secret.current() == "one"
    assert await other.current() == "two"
    assert await Secret("text").current() == "text"
    with pytest.raises(ConfigurationError, match="given by a function"):
        secret.get_secret_value()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="a function gave"):
            await other.current()


@pytest.mark.parametrize("value", ["sk-\n1", "sk-\x001", "sk-\x7f1", "sk-\x851", "sk-“1”", "ключ"])
@pytest.mark.parametrize("field", ["api_key", "organization"])
def test_what_no_header_can_carry(field, value):
    """It is refused where it is given, by the field's name and without the value."""
    for make in (lambda: Settings(llm={field: value}), lambda: EndpointSettings(**{field: value})):
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert field in str(caught.value)
        assert value not in str(caught.value)
        assert "1" not in str(caught.value).split(":", 1)[1]


@pytest.mark.parametrize("value", [3, b"sk", True, 1.5, ["sk"], "sk-\udcff"])
def test_what_is_no_text(value):
    """A key that is no text is refused."""
    with pytest.raises(ConfigurationError, match=r"llm\.api_key"):
        Settings(llm={"api_key": value})


@pytest.mark.parametrize("value", ["", "  \n"])
def test_empty_is_unset(value):
    """An empty key, address of a database or of a Redis is none."""
    settings = Settings(llm={"api_key": value}, database={"url": value}, cache={"redis_url": value})
    assert (settings.llm.api_key, settings.database.url, settings.cache.redis_url) == (None,) * 3


@pytest.mark.parametrize(
    ("kind", "real", "shown"),
    [
        (HttpUrl, "http://u:pw@h:9/v1?api-key=k&v=1", "http://u:***@h:9/v1?api-key=***&v=1"),
        (HttpUrl, "https://token@h/v1", "https://***@h/v1"),
        (HttpUrl, "https://token:@h/v1", "https://***@h/v1"),
        (HttpUrl, "HTTPS://h", "https://h"),
        (HttpUrl, "https://h/Zq7Xk2Vb9Lm4Np8Rt/v1", "https://h/***/v1"),
        (HttpUrl, "http://[::1]:80/v1", "http://[::1]:80/v1"),
        (HttpUrl, "http://h?Zq7Xk2Vb9Lm4Np8Rt", "http://h?***"),
        (HttpUrl, "http://u:a@b@h/v1", "http://u:***@h/v1"),
        (CollectorUrl, "localhost:4317", "http://localhost:4317"),
        (CollectorUrl, "[::1]:4317", "http://[::1]:4317"),
        (RedisUrl, "redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
        (RedisUrl, "redis://h/0?password=pw", "redis://h/0?password=***"),
        (RedisUrl, "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        (RedisUrl, "redis://", "redis://"),
        (DatabaseUrl, "postgres://u:p@ss@h/d", "postgresql://u:***@h/d"),
        (DatabaseUrl, "host=h user=u password=pw", "postgresql://u:***@h/"),
    ],
)
def test_addresses(kind, real, shown):
    """An address is shown without its secrets however it becomes text, and compares as it is."""
    url = kind(f" {real}\n")
    texts = [str(url), f"{url}", format(url), "".join([url]), json.loads(json.dumps(url)), url[:]]
    assert texts == [shown] * len(texts)
    assert repr(url) == repr(shown)
    for same in (
        url,
        kind(real),
        pickle.loads(pickle.dumps(url)),
        copy.deepcopy(url),
        copy.copy(url),
    ):
        assert same == url
        assert same.get_secret_value() == url.get_secret_value()
    assert url == url.get_secret_value()
    assert hash(url) == hash(url.get_secret_value())
    assert (url == shown) is (url.get_secret_value() == shown)


@pytest.mark.parametrize(
    ("real", "place", "header"),
    [
        ("http://u:a%40b@h:9/v1", "http://h:9/v1", "Basic dTphQGI="),
        ("http://u@h/?a=b@c", "http://h/?a=b@c", "Basic dTo="),
        ("http://h/v1", "http://h/v1", None),
    ],
)
def test_logins_of_addresses(real, place, header):
    """User and password can be had as the header that carries them."""
    assert (HttpUrl(real).without_login, HttpUrl(real).authorization) == (place, header)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (HttpUrl, "h/v1"),
        (HttpUrl, "localhost:8000"),
        (HttpUrl, "ftp://h"),
        (HttpUrl, "http://"),
        (HttpUrl, "http:///v1"),
        (HttpUrl, "http://:80/v1"),
        (HttpUrl, "http://h h/v1"),
        (HttpUrl, "http://h/v 1"),
        (HttpUrl, "http://h/\nv1"),
        (HttpUrl, "http://h:0/v1"),
        (HttpUrl, "http://h:65536/v1"),
        (HttpUrl, "http://h:hunter2/v1"),
        (HttpUrl, "http://h:/v1"),
        (HttpUrl, "http://[::1/v1"),
        (HttpUrl, "http://[h]/v1"),
        (HttpUrl, "http://::1/v1"),
        (HttpUrl, "http://h/v1#hunter2"),
        (HttpUrl, "http://u:12/hunter2@h/v1"),
        (HttpUrl, "http://u:12?hunter2@h/v1"),
        (HttpUrl, "http://u|hunter2/v1"),
        (CollectorUrl, "localhost"),
        (CollectorUrl, "unix:///hunter2"),
        (RedisUrl, "h:6379"),
        (RedisUrl, "redis://u:12/hunter2@h"),
        (RedisUrl, "redis://u:hunter2#x@h"),
        (DatabaseUrl, "mysql://u:hunter2@h/d"),
    ],
)
def test_addresses_that_cannot_be_used(kind, text):
    """Each is refused in one sentence that does not repeat it."""
    with pytest.raises(ValueError, match=r".{10}") as caught:
        kind(text)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


CORE = "Xq7Zk2Vb9Lm4"
SECRETS = st.text(string.ascii_letters + string.digits + "!~*_.-", max_size=12).map(
    lambda s: CORE + s
)
SPOILT = st.sampled_from(["", "\n", "\x00", "“", " ", "/", "@", "#", "?", ":", "%", "\\"])
PLACES = st.sampled_from(
    [
        lambda s: {"llm": {"api_key": s}},
        lambda s: {"llm": {"organization": s + "\x01"}},
        lambda s: {"llm": {"base_url": f"http://u:{s}@h:9/v1"}},
        lambda s: {"llm": {"base_url": f"http://h:{s}/v1"}},
        lambda s: {"llm": {"base_url": f"http://h/v1?key={s}"}},
        lambda s: {"llm": {"base_url": s}},
        lambda s: {"llm": {"endpoints": {"b": {"api_key": s, "base_url": "nowhere"}}}},
        lambda s: {"database": {"url": f"postgresql://u:{s}@h/d"}},
        lambda s: {"database": {"url": f"host=h user=u password='{s}'"}},
        lambda s: {"database": {"url": f"mysql://u:{s}@h/d"}},
        lambda s: {"database": {"url": s}},
        lambda s: {"cache": {"redis_url": f"redis://:{s}@h:6379/0"}},
        lambda s: {"cache": {"redis_url": f"redis://h?password={s}"}},
        lambda s: {"tracing": {"endpoint": f"https://h/v1/traces?api-key={s}"}},
        lambda s: {"tracing": {"endpoint": f"https://{s.replace(':', '')}@h"}},
    ]
)


@given(place=PLACES, secret=SECRETS, spoilt=SPOILT, at=st.integers(12, 24))
def test_no_secret_is_shown(place, secret, spoilt, at):
    """Not in a repr, a string, a dump, an error, what is behind it, nor in its pickle."""
    groups = place(secret[:at] + spoilt + secret[at:])
    try:
        settings = Settings(**groups)
    except ConfigurationError as error:
        behind, shown = error, []
        while behind is not None:
            shown += [repr(behind), str(behind), str(vars(behind)), str(pickle.dumps(behind))]
            behind = behind.__cause__ or behind.__context__
    else:
        dumps = (
            settings.model_dump(),
            settings.model_dump(mode="json"),
            settings.model_dump_json(),
        )
        shown = [repr(settings), str(settings), *map(str, dumps), str(settings.origins)]
        shown += [repr(getattr(settings, name)) for name in groups]
        if settings.database.dsn:
            shown += [repr(settings.database.dsn), str(settings.database.dsn)]
    assert not [text for text in shown if CORE in text]


def test_groups_made_by_themselves_are_as_careful():
    """A group refuses with an error of ours, whose fields have names and whose values are gone."""
    with pytest.raises(
        ConfigurationError, match=r"LLMSettings\(endpoints\.b\.base_url\): "
    ) as caught:
        LLMSettings(api_key=CORE, endpoints={"b": {"api_key": CORE, "base_url": CORE}})
    assert CORE not in str(vars(caught.value)) + str(pickle.dumps(caught.value))
    assert caught.value.__context__ is None


def test_schemas_can_be_made():
    """Tools that draw forms from a model's JSON Schema can draw one of the settings."""
    fields = Settings.model_json_schema()["$defs"]["LLMSettings"]["properties"]
    assert {"type": "string"} in fields["api_key"]["anyOf"]


@pytest.mark.parametrize("transport", ["direct", "sdk"])
async def test_a_key_that_changes_is_sent_as_it_is(openai_server, transport):
    """A function in the settings gives the key of each request."""
    from agentinfra import AsyncLLMClient

    keys = iter(["sk-one", "sk-two\n", "sk\nthree"])
    settings = LLMSettings(
        api_key=lambda: next(keys), base_url=openai_server.base_url, transport=transport
    )
    async with AsyncLLMClient(settings) as llm:
        for _ in range(2):
            await llm.chat_completion([{"role": "user", "content": "hi"}])
        with pytest.raises(ConfigurationError, match="a function gave"):
            await llm.chat_completion([{"role": "user", "content": "hi"}])
    assert openai_server.ledger.count() == 2


def test_logging_a_url_shows_what_may_be_shown(caplog):
    """The standard library's logging writes the masked address."""
    logging.getLogger("test").warning("at %s", HttpUrl("http://u:hunter2@h"))
    assert "hunter2" not in caplog.text
    assert "http://u:***@h" in caplog.text


def test_relative_paths_are_read(tmp_path, monkeypatch):
    """A path may be relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("key").write_text("sk-1")
    assert LLMSettings(api_key=Path("key")).api_key == Secret("sk-1")
