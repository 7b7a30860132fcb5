"""A database with something to steal, to change and to fall over."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

MADE = """
CREATE TABLE victim (id int, t text);
INSERT INTO victim VALUES (1, 'a'), (2, 'b');
CREATE SEQUENCE victim_seq;
CREATE FUNCTION write_it() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO victim VALUES (666, 'x'); RETURN 1; END $$;
CREATE FUNCTION said_to_read() RETURNS int STABLE LANGUAGE sql AS 'SELECT write_it()';
CREATE FUNCTION writes_of(int) RETURNS int LANGUAGE sql AS 'SELECT write_it()';
CREATE FUNCTION of_two(int, int) RETURNS int LANGUAGE sql AS 'SELECT write_it()';
CREATE OPERATOR @+@ (FUNCTION = of_two, LEFTARG = int, RIGHTARG = int);
CREATE VIEW v_writes AS SELECT write_it();
"""


@pytest.fixture
def traps() -> str:
    """What makes tables, functions, an operator and a view that attacks are after."""
    return MADE


@pytest.fixture
async def target(places) -> AsyncIterator[str]:
    """The name of a database with traps in it."""
    name = f"effects_{secrets.token_hex(4)}"
    server = await asyncpg.connect(places.server.url)
    await server.execute(f"CREATE DATABASE {name}")
    await server.execute(
        "DO $$ BEGIN CREATE ROLE owning LOGIN; EXCEPTION WHEN duplicate_object THEN END $$"
    )
    yield name
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()
