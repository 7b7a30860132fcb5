"""Pruning from the command line."""

import json

import pytest

from agentinfra.cli import main
from agentinfra.cli.numbers import duration


def test_conversations_are_counted_and_then_dropped(plain, monkeypatch, capsys, postgres_url):
    """A dry run drops nothing; what is dropped is told, and then nothing is left."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert main(["demo", "--json", "--ask", "How many orders were placed in total?"]) == 0
    capsys.readouterr()
    assert main(["prune", "--older-than", "0s", "--threads", "nobody-*"]) == 0
    assert capsys.readouterr().out == "nothing has aged\n"
    everything = ["prune", "--older-than", "0s"]
    assert main([*everything, "--dry-run", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["dry_run"] is True
    assert counted["threads"] >= 1
    assert counted["checkpoints"] >= 4
    assert main(everything) == 0
    assert f"dropped {counted['checkpoints']} checkpoints of" in capsys.readouterr().out
    assert main(everything) == 0
    assert capsys.readouterr().out == "nothing has aged\n"


def test_without_durable_checkpoints_there_is_nothing_to_prune(plain, monkeypatch, capsys):
    """Checkpoints in memory cannot be pruned, and the message says why."""
    monkeypatch.setenv("AGENTINFRA_DATABASE__ENABLED", "false")
    assert main(["prune", "--older-than", "30d"]) == 1
    assert "there is nothing to prune: " in capsys.readouterr().err


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_nothing_goes_unless_somebody_said_what(plain, capsys, dry):
    """Without arguments and settings nothing is pruned, and the sentence says what to give."""
    assert main(["prune", *dry]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "nothing was pruned" in shown.err
    assert "--older-than 30d" in shown.err
    assert "AGENTINFRA_CHECKPOINTER__RETENTION_DAYS" in shown.err


def test_what_is_not_aged_keeps_its_length(plain, monkeypatch, capsys, postgres_url):
    """An age says nothing of the others: they are shortened only where a number is given."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert main(["demo", "--json", "--ask", "How many orders were placed in total?"]) == 0
    capsys.readouterr()
    assert main(["prune", "--older-than", "30d"]) == 0
    assert capsys.readouterr().out == "nothing has aged\n"
    monkeypatch.setenv("AGENTINFRA_CHECKPOINTER__KEEP_LAST", "1")
    assert main(["prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoints"] >= 3


def test_durations_have_units():
    """Seconds, minutes, hours, days and weeks, with a fraction where it helps."""
    assert [duration(text) for text in ("90s", "2m", "12h", "1.5d", "2w")] == [
        *(90.0, 120.0, 43_200.0, 129_600.0, 1_209_600.0)
    ]
