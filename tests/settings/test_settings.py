"""Settings: where values come from, and what is said about bad ones."""

import re
from pathlib import Path

import pytest

from agentinfra import ConfigurationError, Settings
from agentinfra.settings.sources import WELL_KNOWN


def test_our_names_set_fields(monkeypatch):
    """AGENTINFRA_<GROUP>__<FIELD> sets a field, in its type."""
    monkeypatch.setenv("AGENTINFRA_LLM__TIMEOUT", "7.5")
    monkeypatch.setenv("AGENTINFRA_LLM__FALLBACK_MODELS", '["gpt-4o"]')
    settings = Settings()
    assert (settings.llm.timeout, settings.llm.fallback_models) == (7.5, ("gpt-4o",))


@pytest.mark.parametrize(
    ("variable", "value", "group", "field", "expected"),
    [
        ("OPENAI_BASE_URL", "http://h/v1", "llm", "base_url", "http://h/v1"),
        ("STRUCTLOG_JSON", "true", "logging", "json_output", True),
        ("LOG_LEVEL", "DEBUG", "logging", "level", "debug"),
        ("OTEL_SERVICE_NAME", "shop", "tracing", "service_name", "shop"),
        ("OTEL_SDK_DISABLED", "true", "tracing", "enabled", False),
        ("OTEL_TRACES_EXPORTER", "otlp", "tracing", "exporter", "otlp-http"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "tracing", "exporter", "otlp-http"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25", "tracing", "sample_ratio", 0.25),
    ],
)
def test_names_people_already_have_set_work(monkeypatch, variable, value, group, field, expected):
    """The usual variables are honoured."""
    monkeypatch.setenv(variable, value)
    assert getattr(getattr(Settings(), group), field) == expected


def test_our_names_win_over_the_usual(monkeypatch):
    """Arguments win over our variables, those over .env, that over the usual names."""
    Path(".env").write_text("AGENTINFRA_LLM__MODEL=from-file\nOPENAI_API_KEY=sk-file\n")
    assert Settings().llm.model == "from-file"
    assert Settings().llm.api_key.get_secret_value() == "sk-file"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-usual")
    assert Settings().llm.api_key.get_secret_value() == "sk-usual"
    monkeypatch.setenv("AGENTINFRA_LLM__MODEL", "from-env")
    assert Settings().llm.model == "from-env"
    assert Settings(llm={"model": "given"}).llm.model == "given"
    assert Settings(llm={"model": "given"}).llm.api_key.get_secret_value() == "sk-usual"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AGENTINFRA_LLM__TIMEOUT", "soon"),
        ("AGENTINFRA_LLM__MAX_ATTEMPTS", "0"),
        ("AGENTINFRA_LLM__PRICES", "not json"),
        ("AGENTINFRA_DATABASE__URL", "mysql://localhost/x"),
        ("AGENTINFRA_TRACING__SAMPLE_RATIO", "2"),
        ("AGENTINFRA_RUNTIME__SERVE", "nowhere"),
        ("AGENTINFRA_LLM__TIMOUT", "3"),
        ("AGENTINFRA_LMM__TIMEOUT", "3"),
        ("OPENAI_BASE_URL", "localhost:8000"),
    ],
)
def test_a_bad_value_names_its_variable(monkeypatch, variable, value):
    """One line, with the variable's name."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    message = str(caught.value)
    assert variable.lower() in message.lower() or variable.split("__")[-1].lower() in message
    assert "\n" not in message


def test_a_bad_argument_is_named():
    """The group and field of the argument."""
    with pytest.raises(ConfigurationError, match=r"llm\.timeout"):
        Settings(llm={"timeout": -1})
    with pytest.raises(ConfigurationError, match="'lm'.*'llm'"):
        Settings(lm={})
    with pytest.raises(ConfigurationError, match=r"llm\.modle\): .*\(did you mean 'model'\?\)"):
        Settings(llm={"modle": "m"})
    with pytest.raises(ConfigurationError, match=r"llm\.endpoints\): b\.url: .*api_key, base_url"):
        Settings(llm={"endpoints": {"b": {"url": "m"}}})
    with pytest.raises(ConfigurationError, match=r"Settings\(llm\): give a dict or LLMSettings"):
        Settings(llm="gpt-4o")


def test_secrets_are_masked():
    """No secret is in a repr, a dump or a complaint."""
    settings = Settings(
        llm={"api_key": "sk-secret-one"},
        database={"url": "postgresql://u:secret-two@h/d"},
        cache={"redis_url": "redis://:secret-three@h"},
    )
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert not re.search("secret-(one|two|three)", shown)
    with pytest.raises(ConfigurationError) as caught:
        Settings(database={"url": "mysql://u:secret-four@h/d"})
    assert "secret-four" not in str(caught.value)


def test_settings_do_not_change():
    """A settings object is a value."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().llm = None


def test_changes_make_a_new_object():
    """with_changes keeps everything else."""
    before = Settings(llm={"model": "a", "timeout": 5})
    after = before.with_changes(llm={"model": "b"})
    assert (before.llm.model, after.llm.model, after.llm.timeout) == ("a", "b", 5)


def test_every_setting_is_documented():
    """The reference page has a row for each field, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    rows = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)`", page, re.MULTILINE))
    fields = {
        f"{group}.{field}"
        for group, info in Settings.model_fields.items()
        for field in info.annotation.model_fields
    }
    assert rows == fields
    assert {name for name in WELL_KNOWN if f"`{name}`" not in page} == set()
