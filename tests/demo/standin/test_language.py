"""The stand-in reads English, and says so to whoever speaks otherwise."""

import pytest

from agentinfra.demo.standin import stand_in
from agentinfra.demo.standin.language import ENGLISH_ONLY


def say(text):
    """Return what the stand-in says."""
    return stand_in({"model": "m", "messages": [{"role": "user", "content": text}]}).text


@pytest.mark.parametrize(
    "question",
    [
        "Wie viele Bestellungen gab es 2025?",
        "Quel est le chiffre d'affaires en France ?",
        "¿Cuántos pedidos hay en total?",
        "売上はいくらですか",
        "Сколько было заказов?",
    ],
)
def test_another_language_is_told_so(question):
    """A question in another language is not guessed at."""
    assert say(question) == ENGLISH_ONLY


@pytest.mark.parametrize(
    "question",
    ["How many orders were placed?", "Revenue in München", "top 5", "42", "die cast cars"],
)
def test_english_with_foreign_names_is_read(question):
    """A name, a number or a single foreign word does not make a question foreign."""
    assert say(question) != ENGLISH_ONLY
