"""Where values come from: the environment, files and names of others, each with its trust."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentinfra import ConfigurationError, Settings


def _refused(**groups):
    with pytest.raises(ConfigurationError) as caught:
        Settings(**groups)
    message = str(caught.value)
    assert type(caught.value) is ConfigurationError
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "name",
    [
        "AGENTINFRA_SERVICE_HOST",
        "AGENTINFRA_SERVICE_PORT",
        "AGENTINFRA_SERVICE_PORT_HTTP",
        "AGENTINFRA_PORT",
        "AGENTINFRA_PORT_80_TCP",
        "AGENTINFRA_PORT_80_TCP_ADDR",
        "AGENTINFRA_LLM_SERVICE_HOST",
        "AGENTINFRA_LLM_PORT",
        "AGENTINFRA_CACHE_PORT_6379_TCP_PROTO",
        "AGENTINFRA_DATABASE_PORT_5432_UDP_PORT",
        "AGENTINFRA_VENV",
        "AGENTINFRA_HOME",
        "AGENTINFRA_VERSION",
        "AGENTINFRA_DATABASE_USER",
        "AGENTINFRA_CACHE_DIR",
        "AGENTINFRA_IMAGE_TAG",
    ],
)
def test_names_that_only_begin_like_ours(monkeypatch, name):
    """Kubernetes' service links and variables of others' own stop nothing."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    assert Settings() == Settings.only()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AGENTINFRA_LLM_MODEL", "AGENTINFRA_LLM__MODEL"),
        ("AGENTINFRA_LLM__MODLE", "AGENTINFRA_LLM__MODEL"),
        ("AGENTINFRA_LMM__MODEL", "'llm'"),
        ("agentinfra_llm__modle", "AGENTINFRA_LLM__MODEL"),
        ("AGENTINFRA_LLM_API_KEY_FILE", "AGENTINFRA_LLM__API_KEY"),
        ("AGENTINFRA_LOG_LEVEL", "AGENTINFRA_LOGGING__LEVEL"),
        ("AGENTINFRA_LLM", "AGENTINFRA_LLM__<FIELD>"),
        ("AGENTINFRA_LLM__MODEL_FILE", "AGENTINFRA_LLM__MODEL"),
        ("AGENTINFRA_LLM__MODEL__NAME", "AGENTINFRA_LLM__MODEL"),
        ("AGENTINFRA_LLM__ENDPOINTS__B__KEY", "AGENTINFRA_LLM__ENDPOINTS__B__API_KEY"),
        ("AGENTINFRA___MODEL", "__"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_near_miss_is_an_error(monkeypatch, name, meant, place):
    """A name that was meant for a setting is named with where it stands and what was meant."""
    if place == "environment":
        monkeypatch.setenv(name, "m")
    else:
        Path(".env").write_text(f"# ours\n\nexport {name}=m\n")
    message = _refused()
    where = f"{name} in .env, line 3" if place == "file" else name
    assert message.startswith((f"{where} sets nothing", f"{where}: "))
    assert meant in message


def test_tables_are_set_part_by_part(monkeypatch):
    """A double underscore leads into tables, beside what JSON sets of them."""
    monkeypatch.setenv("AGENTINFRA_LLM__ENDPOINTS", '{"a": {"base_url": "http://a/v1"}}')
    monkeypatch.setenv("AGENTINFRA_LLM__ENDPOINTS__B__BASE_URL", "http://b/v1")
    monkeypatch.setenv("AGENTINFRA_LLM__ENDPOINTS__B__API_KEY", "sk-b")
    endpoints = Settings(llm={"endpoints": {"c": {"base_url": "http://c/v1"}}}).llm.endpoints
    assert {name: at.base_url for name, at in endpoints.items()} == {
        "a": "http://a/v1",
        "b": "http://b/v1",
        "c": "http://c/v1",
    }
    assert endpoints["b"].api_key.get_secret_value() == "sk-b"
    monkeypatch.setenv("AGENTINFRA_LLM__ENDPOINTS__B__BASE_URL", "b/v1")
    assert _refused().startswith("AGENTINFRA_LLM__ENDPOINTS__B__BASE_URL: must start with http://")


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfOPENAI_API_KEY=sk-1\r\nAGENTINFRA_LLM__MODEL=m\r\n",
        b"export OPENAI_API_KEY='sk-1'\nexport AGENTINFRA_LLM__MODEL=\"m\"",
        b"# note\n\nOPENAI_API_KEY = sk-1 # mine\n\n\nAGENTINFRA_LLM__MODEL=m\n",
        "# clé\nOPENAI_API_KEY=sk-1\nNAME=m\nAGENTINFRA_LLM__MODEL=${NAME}\n".encode(),
    ],
)
def test_a_file_as_editors_write_it(raw):
    """A mark at the start, Windows' line ends, quotes, notes and names in values are understood."""
    Path(".env").write_bytes(raw)
    llm = Settings().llm
    assert (llm.api_key.get_secret_value(), llm.model) == ("sk-1", "m")


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("OPENAI_API_KEY=sk-1\n".encode("utf-16"), 1),
        ("OPENAI_API_KEY=sk-1\n".encode("utf-16-be"), 1),
        ("A=1\n# cl\xe9\n".encode("latin-1"), 2),
        (b"A=1\n\nOPENAI_API_KEY='sk-1\nB=2\n", 3),
        (b"A=1\nAGENTINFRA_LLM__FALLBACK_MODELS=a,b\n", 2),
        (b"A=1\nAGENTINFRA_LLM__PRICES={'m': 1}\n", 2),
        (b"A=1\nAGENTINFRA_LLM__TIMEOUT=soon\n", 2),
    ],
)
def test_a_file_that_cannot_be_read(raw, line):
    """What cannot be read is refused in one sentence that names file and line, never the value."""
    Path(".env").write_bytes(raw)
    message = _refused()
    assert f".env, line {line}: " in message
    assert "sk-1" not in message


def test_a_folder_of_that_name():
    """A folder called .env is no file to read."""
    Path(".env").mkdir()
    assert Settings() == Settings.only()


def test_another_file(tmp_path):
    """Another file may be named, or none."""
    Path(".env").write_text("AGENTINFRA_LLM__MODEL=here\n")
    (tmp_path / "other").write_text("AGENTINFRA_LLM__MODEL=there\n")
    assert Settings(_env_file=tmp_path / "other").llm.model == "there"
    assert Settings(_env_file=None) == Settings.only()


def test_an_empty_variable_takes_the_file_s_away(monkeypatch):
    """Empty is not set; set empty in the process, a variable of the file counts no more."""
    Path(".env").write_text("OPENAI_API_KEY=sk-1\nAGENTINFRA_LLM__MODEL=m\n")
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("AGENTINFRA_LLM__MODEL", " ")
    assert Settings() == Settings.only()


@pytest.mark.parametrize(
    ("name", "content", "group", "field"),
    [
        ("AGENTINFRA_LLM__API_KEY_FILE", "sk-1\n", "llm", "api_key"),
        ("OPENAI_API_KEY_FILE", "\ufeffsk-1\r\n", "llm", "api_key"),
        ("DATABASE_URL_FILE", "postgresql://u:p@h/d\n", "database", "url"),
        ("AGENTINFRA_DATABASE__URL_FILE", "postgresql://u:p@h/d\n", "database", "url"),
        ("REDIS_URL_FILE", "redis://:p@h\n", "cache", "redis_url"),
    ],
)
def test_secrets_from_files(monkeypatch, tmp_path, name, content, group, field):
    """A name with _FILE names the file that holds the value, as Docker and Kubernetes mount it."""
    (tmp_path / "secret").write_text(content)
    monkeypatch.setenv(name, str(tmp_path / "secret"))
    settings = Settings()
    value = getattr(getattr(settings, group), field)
    assert value.get_secret_value() == content.strip().strip("\ufeff")
    assert settings.origins[f"{group}.{field}"].name == name


def test_a_secret_file_that_cannot_be_read(monkeypatch, tmp_path):
    """Ours is an error, another tool's a warning; neither tells what the variable holds."""
    monkeypatch.setenv("AGENTINFRA_LLM__API_KEY_FILE", "sk-put-here-by-mistake")
    assert _refused() == (
        "AGENTINFRA_LLM__API_KEY_FILE: the file it names cannot be read: No such file or directory"
    )
    monkeypatch.delenv("AGENTINFRA_LLM__API_KEY_FILE")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", "sk-put-here-by-mistake")
    settings = Settings()
    assert settings.llm.api_key is None
    assert [told.resource for told in settings.warnings] == ["llm"]
    assert "OPENAI_API_KEY_FILE: the file" in settings.warnings[0].sentence
    assert "mistake" not in settings.warnings[0].sentence


def test_text_and_file_at_once(monkeypatch, tmp_path):
    """Of ours one has to go; of others the text goes first."""
    (tmp_path / "secret").write_text("sk-file")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-text")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "secret"))
    assert Settings().llm.api_key.get_secret_value() == "sk-text"
    monkeypatch.setenv("AGENTINFRA_LLM__API_KEY", "sk-text")
    monkeypatch.setenv("AGENTINFRA_LLM__API_KEY_FILE", str(tmp_path / "secret"))
    assert "AGENTINFRA_LLM__API_KEY is set too" in _refused()


def test_origins(monkeypatch):
    """Each value that is no default knows its argument, variable or line."""
    Path(".env").write_text("\nAGENTINFRA_CACHE__TENANT=t\nOPENAI_API_KEY=sk-1\n")
    monkeypatch.setenv("LOG_LEVEL", "WARN")
    settings = Settings(llm={"model": "m"}, database={"enabled": False})
    assert {name: (str(at), at.trusted) for name, at in settings.origins.items()} == {
        "llm.model": ("Settings(llm.model)", True),
        "llm.api_key": ("OPENAI_API_KEY in .env, line 3", False),
        "database.enabled": ("Settings(database.enabled)", True),
        "cache.tenant": ("AGENTINFRA_CACHE__TENANT in .env, line 2", True),
        "logging.level": ("LOG_LEVEL", False),
    }


def test_a_group_as_its_class_is_taken_whole(monkeypatch):
    """Nothing of the environment goes into a group that was made, and nothing is said of it."""
    from agentinfra.settings import LLMSettings, LoggingSettings

    monkeypatch.setenv("AGENTINFRA_LLM__MODEL", "m")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("LOG_LEVEL", "chatty")
    mine = LLMSettings(timeout=3)
    settings = Settings(llm=mine, logging=LoggingSettings())
    assert settings.llm is mine
    assert settings.warnings == ()
    assert list(settings.origins) == ["llm.timeout"]


def test_changes_keep_what_is_known(monkeypatch):
    """with_changes reads nothing again, and keeps origins and warnings."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("LOG_LEVEL", "chatty")
    before = Settings()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-2")
    after = before.with_changes(llm={"model": "m"})
    assert after.llm.api_key.get_secret_value() == "sk-1"
    assert after.origins["llm.api_key"].name == "OPENAI_API_KEY"
    assert after.origins["llm.model"].name == "Settings(llm.model)"
    assert after.warnings == before.warnings != ()
    assert after.with_changes(logging={"level": "info"}).warnings == ()
    assert after != before
    with pytest.raises(ConfigurationError, match=r"llm\.timeout"):
        before.with_changes(llm={"timeout": 0})


def test_a_dump_makes_equal_settings():
    """What a dump in Python's own types holds makes the same settings again."""
    settings = Settings(llm={"api_key": "sk-1", "base_url": "http://u:pw@h/v1"})
    assert Settings.only(**settings.model_dump()) == settings
    assert json.loads(settings.model_dump_json())["llm"]["base_url"] == "http://u:***@h/v1"


def test_copies_and_pickles_are_equal():
    """Settings go to another process as they are, secrets, origins and warnings included."""
    import copy
    import pickle

    settings = Settings(llm={"api_key": "sk-1"}, database={"url": "postgresql://u:p@h/d"})
    for again in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert again == settings
        assert again.origins == settings.origins
        assert again.llm.api_key.get_secret_value() == "sk-1"
        assert again.database.dsn.password == "p"
    assert settings != Settings(llm={"api_key": "sk-2"}, database={"url": "postgresql://u:p@h/d"})


PARTS = st.sampled_from(
    [b"A", b"=", b"'", b'"', b"\n", b"\r", b"#", b" ", b"${A}", b"$", b"\\", b"export ", b"\xff"]
)


@given(raw=st.one_of(st.binary(), st.lists(PARTS, max_size=20).map(b"".join)))
def test_no_file_breaks_the_reader(raw):
    """Whatever bytes a .env holds, it is read or refused in a sentence that names it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, ".env")
        file.write_bytes(raw)
        try:
            assert Settings(_env_file=file) == Settings.only()
        except ConfigurationError as error:
            assert str(error).startswith(f"{file}, line ")
