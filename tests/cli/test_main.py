"""The program itself: quick to help, and failures on one line."""

import subprocess
import sys

import pytest

from agentinfra import __version__
from agentinfra.cli import main
from agentinfra.cli.failing import outcome_of
from agentinfra.errors import ConfigurationError, QueryError

VENDORS = ("openai", "asyncpg", "psycopg", "langgraph", "aiocache", "pydantic", "aiohttp", "rich")


pytestmark = pytest.mark.usefixtures("plain")


def test_help_imports_no_vendor():
    """Help and usage are there at once: none of the packages behind is imported."""
    code = (
        "import sys; from agentinfra.cli import main; main(['--help']); main(['demo', '--help']); "
        f"print('loaded', [name for name in {VENDORS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "loaded []"


def test_the_version_is_the_packages(capsys):
    """--version names program and version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"agentinfra {__version__}\n"


@pytest.mark.parametrize(
    "argv", [[], ["nope"], ["prune", "--older-than", "3x"], ["prices"], ["prices", "m", "--x"]]
)
def test_wrong_usage_is_2(argv, capsys):
    """What cannot be understood ends with status 2 and the usage."""
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert "usage: agentinfra" in shown.out + shown.err


@pytest.mark.parametrize(
    ("argv", "env", "words"),
    [
        (["demo", "--docs", "/nowhere"], {}, "/nowhere does not exist"),
        (["demo", "--file", "/nowhere.txt"], {}, "/nowhere.txt: No such file"),
        (["prices", "m"], {"AGENTINFRA_LLM__TIMEOUT": "-1"}, "AGENTINFRA_LLM__TIMEOUT: "),
        (["doctor"], {"AGENTINFRA_LMM__MODEL": "m"}, "AGENTINFRA_LMM__MODEL sets nothing"),
        (["demo"], {"AGENTINFRA_DATABASE__URL": "mysql://x"}, "AGENTINFRA_DATABASE__URL: "),
    ],
)
def test_a_failure_is_one_line(argv, env, words, capsys, monkeypatch):
    """A failure is status 1 and a line that names the thing; the traceback comes with --debug."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert main(argv) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("agentinfra: ")
    assert words in shown.err
    for debug in (["--debug", *argv], [*argv, "--debug"]):
        assert main(debug) == 1
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_failures_while_closing_are_one_line(capsys):
    """A group of our errors is told in one line, each message once."""

    def fail() -> int:
        raise ExceptionGroup("closing", [ConfigurationError("a"), QueryError("b\nc"), OSError("a")])

    assert outcome_of(fail, debug=False) == 1
    assert capsys.readouterr().err == "agentinfra: a; b c\n"


def test_ctrl_c_is_130(capsys):
    """An interruption outside of the event loop ends with 130 and a line."""

    def interrupt() -> int:
        raise KeyboardInterrupt

    assert outcome_of(interrupt, debug=False) == 130
    assert capsys.readouterr().err == "agentinfra: interrupted\n"


def test_a_defect_keeps_its_traceback():
    """What is neither ours nor the system's is raised."""

    def break_down() -> int:
        raise ExceptionGroup("x", [ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        outcome_of(break_down, debug=False)
