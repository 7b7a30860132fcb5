"""Tells a question the stand-in cannot read from one in English."""

from __future__ import annotations

from agentinfra.testing.answers.words import STOPWORDS, tokens, word_set

__all__ = ["ENGLISH_ONLY", "is_foreign"]

ENGLISH_ONLY = (
    "I am a stand-in for a model and read English only; "
    "ask in English, or set OPENAI_API_KEY to have a model answer."
)

_LATIN = 0x24F  # the last letter of the Latin scripts
_FOREIGN = word_set(
    """
    der die das und ist wie viele was wo wer wann warum ein eine im wir gab es sind für von mit auf
    nicht wurden war welche welches le la les des du est une combien quel quelle quels quelles
    comment pourquoi où qui que dans pour avec sont sur nous el los las y es cuántos cuántas cuál
    cuáles cómo qué dónde quién por para con del una hay fue il lo gli e è quanti quante quale come
    dove chi perché sono nel della di o os as um uma quantos quantas como onde quem não foi het een
    hoeveel wat waar wie zijn van naar och är hur många vad ile jest jak gdzie kto
    """
)


def is_foreign(text: str) -> bool:
    """Return whether a text is in a language other than English.

    Letters of other scripts say so, and more function words of other languages than English ones.
    """
    letters = [character for character in text if character.isalpha()]
    if sum(ord(letter) > _LATIN for letter in letters) * 2 > len(letters):
        return True
    words = tokens(text)
    foreign = sum(word in _FOREIGN for word in words)
    return foreign > max(1, sum(word in STOPWORDS for word in words))
