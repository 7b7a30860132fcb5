"""The example of a settings file: every line of it can be uncommented."""

import re
from pathlib import Path

import pytest

from agentinfra import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINES = re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("name", "value"), LINES, ids=[name for name, _ in LINES])
def test_each_line_sets_something(plain, name, value):
    """A line with a value gives settings, which differ from the defaults or repeat them."""
    (plain / ".env").write_text(f"OPENAI_BASE_URL=http://127.0.0.1:1/v1\n{name}={value}\n")
    settings = Settings()
    group = re.match(r"AGENTINFRA_([A-Z]+)__([A-Z_]+)", name)
    if group:
        found = getattr(settings, group[1].lower())
        assert group[2].lower() in found.model_fields_set or value == ""


def test_the_example_as_it_is_changes_nothing(plain):
    """Everything in it is commented out."""
    (plain / ".env").write_text(EXAMPLE.read_text())
    assert Settings() == Settings(_env_file=None)
