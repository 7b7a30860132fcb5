"""Pruning from the command line."""

import json

from agentinfra.cli import main
from agentinfra.cli.prune import duration


def test_conversations_are_counted_and_then_dropped(plain, monkeypatch, capsys, postgres_url):
    """A dry run drops nothing; what is dropped is told, and then nothing is left."""
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    assert main(["demo", "--json", "--ask", "How many orders were placed in total?"]) == 0
    capsys.readouterr()
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
    assert main(["prune"]) == 1
    assert "there is nothing to prune: " in capsys.readouterr().err


def test_durations_have_units():
    """Seconds, minutes, hours, days and weeks, with a fraction where it helps."""
    assert [duration(text) for text in ("90s", "2m", "12h", "1.5d", "2w")] == [
        *(90.0, 120.0, 43_200.0, 129_600.0, 1_209_600.0)
    ]
