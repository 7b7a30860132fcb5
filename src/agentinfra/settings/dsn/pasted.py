"""Addresses as people paste them: with quotes, with the variable's name, with the whole command."""

from __future__ import annotations

import re
import shlex

__all__ = ["unwrapped"]

_NAMED = re.compile(r"(?:export\s+|set\s+)?[A-Za-z_]\w*\s*=\s*(['\"]?\w[\w+.\-:]*://.*)", re.DOTALL)
_COMMAND = re.compile(r"((export\s+)?PG[A-Z]+=\S+\s+)*psql(\s|$)")

_OPTIONS = {
    "-h": "host",
    "--host": "host",
    "-p": "port",
    "--port": "port",
    "-U": "user",
    "--username": "user",
    "-d": "dbname",
    "--dbname": "dbname",
}
_SWITCHES = frozenset({"-W", "--password", "-w", "--no-password", "-X", "--no-psqlrc"})

_VARIABLES = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGDATABASE": "dbname",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGOPTIONS": "options",
    "PGCHANNELBINDING": "channel_binding",
}


def unwrapped(text: str) -> tuple[str, dict[str, str]]:
    """Return the address itself, and the parameters that stood around it.

    Raises:
        ValueError: It is a command that cannot be understood.
    """
    bare = _unquoted(text.strip())
    if named := _NAMED.fullmatch(bare):
        bare = _unquoted(named[1].strip())
    if _COMMAND.match(bare):
        return _command(bare)
    return bare, {}


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _command(text: str) -> tuple[str, dict[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError:
        raise ValueError("is a psql command whose quotes are not closed") from None
    params: dict[str, str] = {}
    while words and (word := words.pop(0)) != "psql":
        name, _, value = word.partition("=")
        if name in _VARIABLES:
            params[_VARIABLES[name]] = value
        elif name != "export":
            raise ValueError("is a psql command with a variable that is not understood")
    plain = _options(words, params)
    for name in ("dbname", "user"):
        if plain and (name == "user" or name not in params):
            params[name] = plain.pop(0)
    if plain:
        raise ValueError("is a psql command with more than a database and a user")
    return params.pop("dbname", ""), params


def _options(words: list[str], params: dict[str, str]) -> list[str]:
    """Put what options say into the parameters, and return what is no option."""
    plain = []
    while words:
        word = words.pop(0)
        name, separator, value = word.partition("=")
        if not word.startswith("-"):
            plain.append(word)
        elif word in _OPTIONS and words:
            params[_OPTIONS[word]] = words.pop(0)
        elif separator and name.startswith("--") and name in _OPTIONS:
            params[_OPTIONS[name]] = value
        elif word[:2] in _OPTIONS and len(word) > 2 and word[1] != "-":
            params[_OPTIONS[word[:2]]] = word[2:]
        elif word not in _SWITCHES:
            raise ValueError("is a psql command with an option that is not understood")
    return plain
