"""Variables of other tools: read as their owners read them, and never a reason to stop."""

import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agentinfra import ConfigurationError, InfraRuntime, Settings
from agentinfra.settings.sources import WELL_KNOWN, made, read_sources

OTLP = "OTEL_EXPORTER_OTLP_"


def _of(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize(
    ("variables", "group", "field", "expected"),
    [
        ({"LOG_LEVEL": "WARN"}, "logging", "level", "warning"),
        ({"LOG_LEVEL": " Fatal "}, "logging", "level", "critical"),
        ({"LOG_LEVEL": "trace"}, "logging", "level", "debug"),
        ({"LOG_LEVEL": "notset"}, "logging", "level", "debug"),
        ({"LOG_LEVEL": "20"}, "logging", "level", "info"),
        ({"LOG_LEVEL": "25"}, "logging", "level", "warning"),
        ({"LOG_LEVEL": "0"}, "logging", "level", "debug"),
        ({"LOG_LEVEL": "info,hyper=warn"}, "logging", "level", "info"),
        ({"STRUCTLOG_JSON": "json"}, "logging", "json_output", True),
        ({"STRUCTLOG_JSON": "console"}, "logging", "json_output", False),
        ({"STRUCTLOG_JSON": "OFF"}, "logging", "json_output", False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "tracing", "exporter", "otlp-http"),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, "tracing", "exporter", "otlp-grpc"),
        ({"OTEL_TRACES_EXPORTER": "logging"}, "tracing", "exporter", "console"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", f"{OTLP}TRACES_PROTOCOL": "grpc"},
            "tracing",
            "exporter",
            "otlp-grpc",
        ),
        (
            {
                f"{OTLP}PROTOCOL": "grpc",
                f"{OTLP}TRACES_PROTOCOL": "http/protobuf",
                f"{OTLP}ENDPOINT": "h:1",
            },
            "tracing",
            "exporter",
            "otlp-http",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "none", f"{OTLP}ENDPOINT": "http://h:1"},
            "tracing",
            "exporter",
            "none",
        ),
        (
            {f"{OTLP}ENDPOINT": "http://a:1", f"{OTLP}TRACES_ENDPOINT": "http://b:2/v1/traces"},
            "tracing",
            "endpoint",
            "http://b:2/v1/traces",
        ),
        ({f"{OTLP}ENDPOINT": "localhost:4318"}, "tracing", "endpoint", "http://localhost:4318"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "tracing", "sample_ratio", 0.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, "tracing", "sample_ratio", 1.0),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            "tracing",
            "sample_ratio",
            0.25,
        ),
        (
            {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0.25"},
            "tracing",
            "sample_ratio",
            1.0,
        ),
        (
            {
                "OTEL_TRACES_SAMPLER": "jaeger_remote",
                "OTEL_TRACES_SAMPLER_ARG": "endpoint=http://h:1,initialSamplingRate=0.5",
            },
            "tracing",
            "sample_ratio",
            0.5,
        ),
        ({"OTEL_SDK_DISABLED": "TRUE"}, "tracing", "enabled", False),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=my%20shop"},
            "tracing",
            "service_name",
            "my shop",
        ),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"},
            "tracing",
            "service_name",
            "b",
        ),
        ({"REDIS_URL": "cache:6379/2"}, "cache", "redis_url", "redis://cache:6379/2"),
        ({"REDIS_URL": "valkeys://h:1"}, "cache", "redis_url", "rediss://h:1"),
        ({"DATABASE_URL": "host=h user=u"}, "database", "url", "host=h user=u"),
    ],
)
def test_the_usual_words(monkeypatch, variables, group, field, expected):
    """What is valid for its owner means the same here, in silence."""
    settings = _of(monkeypatch, variables)
    assert getattr(getattr(settings, group), field) == expected
    assert settings.warnings == ()


CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("true", True),
        ("span_only", True),
        ("SPAN_AND_EVENT", True),
        ("event_only", False),
        ("no_content", False),
        ("False", False),
    ],
)
def test_capturing_content(monkeypatch, word, meaning):
    """Contents go into spans where their variable says spans."""
    assert _of(monkeypatch, {CAPTURE: word}).tracing.capture_content is meaning


@pytest.mark.parametrize(
    ("name", "value", "field", "instead"),
    [
        ("LOG_LEVEL", "chatty", "level", "info"),
        ("STRUCTLOG_JSON", "maybe", "json_output", None),
        ("REDIS_URL", "amqp://u:hunter2@h", "redis_url", None),
        ("REDIS_URL", "redis://u:hunter2@h:99999", "redis_url", None),
        ("OPENAI_API_KEY", "sk-“hunter2”", "api_key", None),
        ("OPENAI_ORG_ID", "a\nhunter2", "organization", None),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "max_queue", 2048),
        ("OTEL_TRACES_EXPORTER", "zipkin", "exporter", "none"),
        ("OTEL_TRACES_SAMPLER", "xray", "sample_ratio", 1.0),
        ("OTEL_TRACES_SAMPLER_ARG", "often", "sample_ratio", 1.0),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "sample_ratio", 1.0),
        ("OTEL_SDK_DISABLED", "perhaps", "enabled", True),
        (CAPTURE, "some", "capture_content", False),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://u:hunter2@h", "exporter", "none"),
        ("DATABASE_URL", "sqlite:///hunter2.db", "embedded", False),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "embedded", False),
        ("DATABASE_URL", "postgresql://u:hunter2@h:port/d", "embedded", False),
    ],
)
def test_what_cannot_be_read_is_a_warning(monkeypatch, name, value, field, instead):
    """One warning names the variable and what follows, never its value."""
    settings = _of(monkeypatch, {name: value})
    group = WELL_KNOWN[name][0]
    assert getattr(getattr(settings, group), field) == instead
    (told,) = settings.warnings
    assert told.resource == group
    assert told.sentence.startswith(f"{name}: ")
    assert "hunter2" not in told.sentence


def test_several_exporters(monkeypatch):
    """Of several exporters the first that is known is used, and that is said."""
    settings = _of(monkeypatch, {"OTEL_TRACES_EXPORTER": "otlp,console"})
    assert settings.tracing.exporter == "otlp-http"
    assert "otlp is used" in settings.warnings[0].sentence


def test_a_resource_that_is_off_says_nothing(monkeypatch):
    """Another tool's database address is nobody's business where the database is off."""
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    assert _of(monkeypatch, {"DATABASE_URL": "sqlite:///db"}).warnings == ()


def test_what_ours_or_an_argument_says_is_not_asked_of_others(monkeypatch):
    """Where a field is set already, the others' variable is not even looked at."""
    monkeypatch.setenv("AGENTINFRA_LOGGING__LEVEL", "error")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db")
    monkeypatch.setenv("LOG_LEVEL", "chatty")
    settings = Settings(database={"url": "postgresql://h/d"})
    assert (settings.logging.level, settings.warnings) == ("error", ())
    assert settings.database.embedded


def test_the_embedded_server_can_be_asked_for(monkeypatch):
    """Beside another tool's database the embedded server starts where somebody asks for it."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db")
    assert not Settings().database.embedded
    assert Settings(database={"embedded": True}).database.embedded


@pytest.mark.parametrize("address", ["localhost:8000/v1", "http:// /v1", "http://u:hunter2@h:p/v1"])
def test_a_model_s_address_is_never_replaced(monkeypatch, address):
    """An OPENAI_BASE_URL that cannot be used is an error: OpenAI's own would see the prompts."""
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(ConfigurationError, match="^OPENAI_BASE_URL: ") as caught:
        Settings()
    assert "hunter2" not in str(caught.value)
    assert not Settings(llm={"enabled": False}).llm.enabled
    assert Settings(llm={"base_url": "http://h/v1"}).llm.base_url == "http://h/v1"


AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com",
    "AZURE_OPENAI_API_KEY": "azure-key",
    "OPENAI_API_VERSION": "2024-10-21",
    "OPENAI_API_KEY": "openai-key",
}


def _endpoint(llm):
    key = llm.api_key and llm.api_key.get_secret_value()
    return key, llm.base_url, llm.api_version


def test_a_version_beside_plain_openai(monkeypatch):
    """OPENAI_API_VERSION is Azure's: OpenAI and compatible servers take no notice of it."""
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert _endpoint(Settings().llm) == ("k", None, None)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert _endpoint(Settings().llm) == ("k", "http://localhost:8000/v1", None)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://x.openai.azure.com")
    assert _endpoint(Settings().llm) == ("k", "https://x.openai.azure.com", "2024-10-21")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://x.openai.azure.com/openai/v1/")
    assert _endpoint(Settings().llm) == ("k", "https://x.openai.azure.com/openai/v1/", None)


def test_azure(monkeypatch):
    """Azure's names are read together; without a version the resource speaks as OpenAI does."""
    llm = _of(monkeypatch, AZURE).llm
    assert _endpoint(llm) == ("azure-key", "https://x.openai.azure.com", "2024-10-21")
    monkeypatch.delenv("OPENAI_API_VERSION")
    llm = Settings().llm
    assert _endpoint(llm) == ("azure-key", "https://x.openai.azure.com/openai/v1", None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"base_url": "http://mine/v1"}, ("openai-key", "http://mine/v1", None)),
        ({"api_key": "mine"}, ("mine", None, None)),
        (
            {"base_url": "https://y.openai.azure.com", "api_key": "mine"},
            ("mine", "https://y.openai.azure.com", "2024-10-21"),
        ),
    ],
)
def test_azure_s_key_goes_to_azure_only(monkeypatch, given, expected):
    """Where the address or the key is given by somebody else, Azure's other half is not taken."""
    for name, value in AZURE.items():
        monkeypatch.setenv(name, value)
    assert _endpoint(Settings(llm=given).llm) == expected


def test_half_of_azure_is_none(monkeypatch):
    """An Azure endpoint without its key leaves plain OpenAI alone, and its key at home."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", AZURE["AZURE_OPENAI_ENDPOINT"])
    monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
    assert _endpoint(Settings().llm) == ("openai-key", None, None)


@pytest.mark.parametrize(
    ("name", "resource", "expected"),
    [
        ("DATABASE_URL_FILE", "database", {"url": None, "embedded": False}),
        ("OTEL_EXPORTER_OTLP_ENDPOINT_FILE", "tracing", {"endpoint": None, "exporter": "none"}),
    ],
)
def test_an_address_whose_file_is_gone_is_not_replaced(monkeypatch, name, resource, expected):
    """A file that cannot be read is an address that cannot be used."""
    settings = _of(monkeypatch, {name: "/nowhere"})
    group = getattr(settings, resource)
    assert {field: getattr(group, field) for field in expected} == expected
    assert [told.resource for told in settings.warnings] == [resource]
    monkeypatch.setenv("OPENAI_BASE_URL_FILE", "/nowhere")
    with pytest.raises(ConfigurationError, match="^OPENAI_BASE_URL_FILE: the file"):
        Settings()


async def test_what_was_not_used_is_shown(monkeypatch, capsys):
    """A runtime logs each warning once, and health says it in the resource's row."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///db")
    monkeypatch.setenv("REDIS_URL", "amqp://h")
    groups = {"llm": {"enabled": False}, "checkpointer": {"enabled": False}}
    async with InfraRuntime(Settings(**groups, logging={"json_output": True})) as rt:
        rows = {row.name: row for row in (await rt.health()).resources}
    assert rows["database"].state == "degraded"
    assert "DATABASE_URL: must start with postgresql://" in rows["database"].reason
    assert rows["cache"].state == "ready"
    assert "REDIS_URL: must start with redis://" in rows["cache"].detail
    assert rows["metrics"].detail == ""
    told = [
        (line["resource"], line["reason"].partition(":")[0])
        for line in map(json.loads, capsys.readouterr().err.splitlines())
        if line["event"] == "runtime.setting_ignored"
    ]
    assert sorted(told) == [("cache", "REDIS_URL"), ("database", "DATABASE_URL")]


GROUPS = {name: info.annotation for name, info in Settings.model_fields.items()}
WORDS = st.sampled_from(
    ["0", "-1", "nan", "1e999", "none", ",", "=", "http://", "h:1", "\n", "[", "%", "://", "@"]
)
VALUES = st.one_of(st.text(), st.lists(WORDS, max_size=5).map("".join), st.text("0123456789.e-"))


@examples(max_examples=200)
@given(
    variables=st.dictionaries(
        st.sampled_from(sorted(WELL_KNOWN)).flatmap(lambda n: st.sampled_from([n, n + "_FILE"])),
        VALUES.map(lambda value: value.replace("\0", "")),
        max_size=6,
    )
)
def test_no_variable_of_others_stops_a_program(variables):
    """Whatever they hold, there are settings; a model's address alone may be refused, by name."""
    sources = read_sources(GROUPS, {}, env_file=None, environment=variables)
    try:
        for name, kind in GROUPS.items():
            made(kind, name, sources)
    except ConfigurationError as error:
        assert str(error).startswith(("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"))
