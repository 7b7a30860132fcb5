"""Prices: what is known, where from, and that the unknown is never free."""

import json

import pytest

from agentinfra.cli import main

pytestmark = pytest.mark.usefixtures("plain")


def shown(capsys, *args: str) -> list[dict]:
    main(["prices", *args, "--json"])
    return json.loads(capsys.readouterr().out)


def test_known_prices_name_their_source(capsys):
    """A known model's prices are those of genai-prices, with its version."""
    [price] = shown(capsys, "gpt-4o-mini")
    assert (price["input"], price["cached"], price["output"]) == (0.15, 0.075, 0.6)
    assert price["source"].startswith("genai-prices ")
    assert price["call"] is None


def test_an_unknown_model_is_unknown_and_not_free(capsys):
    """Nobody's price is None and the status 1; the table says unknown."""
    [price] = shown(capsys, "nobodys-model")
    assert (price["input"], price["output"], price["source"]) == (None, None, "unknown")
    assert main(["prices", "gpt-4o-mini", "nobodys-model"]) == 1
    assert "unknown" in capsys.readouterr().out


def test_settings_win(capsys, monkeypatch):
    """A price of one's own goes before the built-in one, for dated names of the model too."""
    monkeypatch.setenv("AGENTINFRA_LLM__PRICES", '{"gpt-4o-mini": {"input": 1, "output": 2}}')
    plain, dated = shown(capsys, "gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert plain["input"] == dated["input"] == 1.0
    assert plain["source"] == dated["source"] == "your settings"


def test_a_call_is_computed(capsys):
    """Tokens give what one call costs, cached ones at their own price."""
    [price] = shown(
        capsys,
        "gpt-4o-mini",
        *("--prompt-tokens", "1,000,000", "--cached-tokens", "400_000"),
        *("--completion-tokens", "10000"),
    )
    assert price["call"] == pytest.approx(0.6 * 0.15 + 0.4 * 0.075 + 0.01 * 0.6)
    assert main(["prices", "gpt-4o-mini", "--prompt-tokens", "1000"]) == 0
    assert "$0.00015" in capsys.readouterr().out
