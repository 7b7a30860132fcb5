"""The tables of the budgets' ledger, and the two things that are done with them.

Both are functions of the server: one round trip each, and whoever is stopped or killed in the
middle of one holds no lock that the others wait for.
"""

from __future__ import annotations

from typing import Any, Final

from agentinfra.db.scope import quoted

__all__ = ["make_ledger"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS {place}.agentinfra_budgets (
    key text NOT NULL,
    per text NOT NULL,
    usd numeric,
    set_usd numeric,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key, per)
);
COMMENT ON COLUMN {place}.agentinfra_budgets.usd IS 'the cap that programs name';
COMMENT ON COLUMN {place}.agentinfra_budgets.set_usd IS 'the cap an operator has set; it wins';
CREATE TABLE IF NOT EXISTS {place}.agentinfra_budget_periods (
    key text NOT NULL,
    per text NOT NULL,
    period timestamptz NOT NULL,
    spent numeric NOT NULL,
    PRIMARY KEY (key, per, period)
);
CREATE TABLE IF NOT EXISTS {place}.agentinfra_budget_leases (
    id text PRIMARY KEY,
    key text NOT NULL,
    per text NOT NULL,
    period timestamptz NOT NULL,
    amount numeric NOT NULL,
    busy numeric NOT NULL,
    reported numeric NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS agentinfra_budget_leases_of
    ON {place}.agentinfra_budget_leases (key, per, period)
"""

_BOOK: Final = """
CREATE OR REPLACE FUNCTION {place}.agentinfra_budget_book(
    a_lease text, a_key text, a_per text, a_period timestamptz, a_spent numeric
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $do$
DECLARE
    l_before numeric;
BEGIN
    -- What is told is the total: to be told twice, or again after an answer was lost, books once.
    SELECT l.reported INTO l_before FROM {place}.agentinfra_budget_leases l WHERE l.id = a_lease;
    IF a_spent <> coalesce(l_before, 0) THEN
        INSERT INTO {place}.agentinfra_budget_periods AS p (key, per, period, spent)
        VALUES (a_key, a_per, a_period, a_spent - coalesce(l_before, 0))
        ON CONFLICT (key, per, period) DO UPDATE SET spent = p.spent + excluded.spent;
    END IF;
END $do$
"""

_TURN: Final = """
CREATE OR REPLACE FUNCTION {place}.agentinfra_budget_turn(
    a_key text, a_per text, a_usd numeric, a_now timestamptz, a_until timestamptz,
    a_horizon timestamptz, a_lease text, a_period timestamptz,
    a_spent numeric, a_busy numeric, a_kept numeric, a_queued numeric, a_spare numeric,
    a_least numeric
) RETURNS TABLE (
    cap numeric, granted numeric, used numeric, lent numeric, gone numeric, idle numeric,
    ended text[]
) LANGUAGE plpgsql SET search_path = pg_catalog AS $do$
DECLARE
    l_named numeric;
    l_left numeric;
    l_more numeric;
BEGIN
    INSERT INTO {place}.agentinfra_budgets (key, per, usd) VALUES (a_key, a_per, a_usd)
        ON CONFLICT (key, per) DO NOTHING;
    -- Processes that ask about one account take turns from here on; each statement below sees
    -- what those before have done.
    SELECT b.usd, coalesce(b.set_usd, a_usd) INTO l_named, cap
        FROM {place}.agentinfra_budgets b WHERE b.key = a_key AND b.per = a_per FOR UPDATE;
    IF l_named IS DISTINCT FROM a_usd THEN
        UPDATE {place}.agentinfra_budgets b SET usd = a_usd WHERE b.key = a_key AND b.per = a_per;
    END IF;
    PERFORM {place}.agentinfra_budget_book(a_lease, a_key, a_per, a_period, a_spent);
    SELECT coalesce(sum(p.spent), 0) INTO used FROM {place}.agentinfra_budget_periods p
        WHERE p.key = a_key AND p.per = a_per AND p.period >= a_horizon;
    -- An expired lease counts like any other: its calls may have been paid for.
    SELECT coalesce(sum(l.amount) FILTER (WHERE l.expires_at > a_now), 0),
           coalesce(sum(l.amount) FILTER (WHERE l.expires_at <= a_now), 0),
           coalesce(sum(l.amount - l.busy) FILTER (WHERE l.expires_at > a_now), 0)
        INTO lent, gone, idle FROM {place}.agentinfra_budget_leases l
        WHERE l.key = a_key AND l.per = a_per AND l.period >= a_horizon AND l.id <> a_lease;
    SELECT coalesce(array_agg(l.id), '{{}}') INTO ended FROM {place}.agentinfra_budget_leases l
        WHERE l.key = a_key AND l.per = a_per AND l.expires_at <= a_now
        AND l.expires_at > '-infinity' AND l.amount > 0 AND l.id <> a_lease;
    granted := a_kept;
    IF a_period >= a_horizon THEN
        l_left := greatest(cap - used - lent - gone - a_kept, 0);
        granted := a_kept + least(a_queued, l_left);
        l_more := least(a_spare, trunc((l_left - a_queued) / 4, 12));
        IF l_more > 0 AND a_kept - a_busy + l_more >= a_least THEN
            granted := granted + l_more;
        END IF;
    END IF;
    INSERT INTO {place}.agentinfra_budget_leases AS l
        (id, key, per, period, amount, busy, reported, expires_at)
        VALUES (a_lease, a_key, a_per, a_period, granted, a_busy, a_spent, a_until)
        ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, busy = excluded.busy,
            reported = excluded.reported, expires_at = excluded.expires_at;
    DELETE FROM {place}.agentinfra_budget_leases l WHERE l.key = a_key AND l.per = a_per
        AND l.expires_at < a_now - interval '7 days' AND (l.amount = 0 OR l.period < a_horizon)
        AND l.id <> a_lease;
    DELETE FROM {place}.agentinfra_budget_periods p WHERE p.key = a_key AND p.per = a_per
        AND p.period < least(a_horizon, a_now - interval '62 days');
    RETURN NEXT;
END $do$
"""

_SETTLE: Final = """
CREATE OR REPLACE FUNCTION {place}.agentinfra_budget_settle(
    a_lease text, a_spent numeric, a_held numeric
) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $do$
DECLARE
    l_lease {place}.agentinfra_budget_leases;
BEGIN
    SELECT l.* INTO l_lease FROM {place}.agentinfra_budget_leases l WHERE l.id = a_lease;
    PERFORM FROM {place}.agentinfra_budgets b
        WHERE b.key = l_lease.key AND b.per = l_lease.per FOR UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM {place}.agentinfra_budget_book(
        a_lease, l_lease.key, l_lease.per, l_lease.period, a_spent);
    UPDATE {place}.agentinfra_budget_leases l
        SET amount = a_held, busy = a_held, reported = a_spent, expires_at = '-infinity'
        WHERE l.id = a_lease;
    RETURN true;
END $do$
"""


async def make_ledger(connection: Any, schema: str) -> None:
    """Make the tables and functions; a step of the layout."""
    for statement in (_TABLES, _BOOK, _TURN, _SETTLE):
        await connection.execute(statement.format(place=quoted(schema)))
