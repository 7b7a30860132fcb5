"""The program itself: quick to help, and failures on one line."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agentinfra import __version__
from agentinfra.cli import main
from agentinfra.cli.failing import outcome_of
from agentinfra.errors import ConfigurationError, QueryError

AGENTINFRA = [sys.executable, "-m", "agentinfra"]
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
    "argv",
    [
        [],
        ["nope"],
        ["prices"],
        ["prices", "m", "--x"],
        ["prune", "--older-than", "3x"],
        ["prune", "--older-than", "999999999999d"],
        ["prune", "--older-than", "9999999w"],
        ["prune", "--keep-last", "0"],
        ["prune", "--keep-last", "two"],
        ["serve-fake", "--port", "70000"],
        ["serve-fake", "--port", "-1"],
        ["serve-fake", "--port", "http"],
        ["prices", "m", "--prompt-tokens", "-5"],
        ["prices", "m", "--prompt-tokens", "many"],
        ["prices", "m", "--prompt-tokens", "9" * 5000],
    ],
)
def test_wrong_usage_is_2(argv, capsys):
    """What cannot be understood ends with status 2 and the usage."""
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert "usage: agentinfra" in shown.out + shown.err
    assert "_value" not in shown.err  # argparse's words for a function of ours
    assert "Traceback" not in shown.err


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


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["prices", "--help"],
        ["prices", "gpt-4o"],
        ["prices", "gpt-4o", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["serve-fake"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("closed", ["nobody reads", "there is none"])
def test_a_closed_output_is_no_defect(home, argv, closed):
    """Whatever the command, no traceback; the status says that not everything was written."""
    reading, writing = os.pipe()
    os.close(reading)
    quoted = " ".join(shlex.quote(part) for part in [*AGENTINFRA, *argv])
    env = {"AGENTINFRA_DATABASE__ENABLED": "false", "AGENTINFRA_LLM__ENABLED": "false"}
    command = f"{quoted} >&-" if closed == "there is none" else quoted
    with subprocess.Popen(
        ["sh", "-c", f"exec {command}"],
        env={**home.env, **env, "AGENTINFRA_CHECKPOINTER__BACKEND": "memory"},
        cwd=home.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writing)
        if argv == ["serve-fake"] and closed == "there is none":
            process.kill()  # it serves without saying where
            return
        error = process.stderr.read()
        status = process.wait(60)
    assert "Traceback" not in error
    assert "Exception ignored" not in error
    assert status == (1 if closed == "nobody reads" else 0)


def test_a_full_disk_is_told(home):
    """What cannot be written is one line, and status 1."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as file:
        done = subprocess.run(
            [*AGENTINFRA, "prices", "gpt-4o"],
            env=home.env,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (1, "agentinfra: No space left on device\n")


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
