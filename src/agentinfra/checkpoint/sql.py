"""The statements: LangGraph's tables, one statement an operation.

JSON goes in and comes out as text, so that no codec of a connection has a say in it.
"""

from __future__ import annotations

__all__ = [
    "CLEAN_REFUSED",
    "COPY",
    "DELETE",
    "DELETE_LATE",
    "FORGOTTEN",
    "PIECES",
    "PUT",
    "PUT_WRITES",
    "REPLACE_WRITES",
    "SELECT",
    "SETTLED",
    "TAKE_ON",
]

SELECT = """
SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id,
    c.checkpoint::text AS checkpoint, c.metadata::text AS metadata,
    (
        SELECT array_agg(ROW(b.channel, b.type,
            CASE WHEN octet_length(b.blob) <= 131072 THEN b.blob END,
            CASE WHEN octet_length(b.blob) > 131072 THEN b.version END))
        FROM jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
        JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
            AND b.channel = v.key AND b.version = v.value
    ) AS blobs,
    (
        SELECT array_agg(ROW(w.task_path, w.task_id, w.idx, w.channel, w.type, w.blob))
        FROM checkpoint_writes w WHERE w.thread_id = c.thread_id
            AND w.checkpoint_ns = c.checkpoint_ns AND w.checkpoint_id = c.checkpoint_id
    ) AS writes,
    CASE WHEN (c.checkpoint ->> 'v')::int < 4 THEN (
        SELECT array_agg(ROW(w.type, w.blob) ORDER BY w.task_path, w.task_id, w.idx)
        FROM checkpoint_writes w WHERE w.thread_id = c.thread_id
            AND w.checkpoint_id = c.parent_checkpoint_id AND w.channel = '__pregel_tasks'
    ) END AS sends
FROM checkpoints c
"""
"""A checkpoint with everything that belongs to it; before version 4 sends stood with its parent.

Of values larger than 128 KiB there is the version alone: the driver holds the event loop for each
row that it reads.
"""

# Joined to nothing, so that a compressed value is taken apart once and not for each of its pieces.
PIECES = """
WITH whole AS MATERIALIZED (
    SELECT b.channel, b.blob || ''::bytea AS blob FROM checkpoint_blobs b
    WHERE b.thread_id = $1 AND b.checkpoint_ns = $2
    AND (b.channel, b.version) IN (SELECT * FROM unnest($3::text[], $4::text[]))
)
SELECT w.channel, n AS number, substring(w.blob FROM n * 131072 + 1 FOR 131072) AS piece
FROM whole w CROSS JOIN LATERAL generate_series(0, (octet_length(w.blob) - 1) / 131072) AS n
"""

# A prune locks the blobs it takes and then looks once more who names them. A share of that lock
# makes either the prune see this checkpoint, or this statement see that the blob is gone: it then
# writes nothing, and is sent again with the values that are lacking.
PUT = """
WITH refused AS (
    UPDATE agentinfra_forgotten SET refused = array_append(refused, $3::text)
    WHERE thread_id = $1 AND ($3 < boundary OR $4 < boundary OR $7 < boundary
        OR $3 = ANY(refused) OR $4 = ANY(refused) OR $7 = ANY(refused))
    RETURNING 1
), kept AS (
    SELECT b.channel FROM unnest($8::text[], $9::text[]) AS n(channel, version)
    JOIN checkpoint_blobs b ON b.thread_id = $1 AND b.checkpoint_ns = $2
        AND b.channel = n.channel AND b.version = n.version
    FOR KEY SHARE OF b
), lacking AS (
    SELECT n.channel FROM unnest($8::text[]) AS n(channel)
    WHERE n.channel NOT IN (SELECT channel FROM kept)
), accepted AS (
    SELECT 1 WHERE NOT EXISTS (SELECT FROM refused) AND NOT EXISTS (SELECT FROM lacking)
), blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT $1, $2, n.channel, n.version, n.type, n.blob
    FROM accepted, unnest($10::text[], $11::text[], $12::text[], $13::bytea[])
        AS n(channel, version, type, blob)
    ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
), put AS (
    INSERT INTO checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT $1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb FROM accepted
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
)
SELECT EXISTS (SELECT FROM refused) AS refused, ARRAY(SELECT channel FROM lacking) AS lacking
"""

_WRITES = """
INSERT INTO checkpoint_writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT $1, $2, $3, $4, $5, w.idx, w.channel, w.type, w.blob
FROM unnest($6::int[], $7::text[], $8::text[], $9::bytea[]) AS w(idx, channel, type, blob)
WHERE NOT EXISTS (
    SELECT FROM agentinfra_forgotten f
    WHERE f.thread_id = $1 AND ($3 < f.boundary OR $3 = ANY(f.refused))
)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
"""

PUT_WRITES = f"{_WRITES} DO NOTHING"
REPLACE_WRITES = f"""{_WRITES}
DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob
"""

FORGOTTEN = """
INSERT INTO agentinfra_forgotten (thread_id, boundary)
SELECT thread_id, $2 FROM unnest($1::text[]) AS t(thread_id)
ON CONFLICT (thread_id) DO UPDATE SET boundary = EXCLUDED.boundary, at = now()
RETURNING pg_current_xact_id()::text AS xact
"""

DELETE = """
WITH writes AS (
    DELETE FROM checkpoint_writes WHERE thread_id = ANY($1)
), blobs AS (
    DELETE FROM checkpoint_blobs WHERE thread_id = ANY($1)
)
DELETE FROM checkpoints WHERE thread_id = ANY($1)
"""

SETTLED = "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8"

# For statements that were under way while the conversation was deleted, and saw no mark.
DELETE_LATE = """
WITH gone AS (
    DELETE FROM checkpoints WHERE thread_id = ANY($1) AND checkpoint_id COLLATE "C" < $2
    RETURNING thread_id, checkpoint_ns
), writes AS (
    DELETE FROM checkpoint_writes WHERE thread_id = ANY($1) AND checkpoint_id COLLATE "C" < $2
)
DELETE FROM checkpoint_blobs b USING gone
WHERE b.thread_id = gone.thread_id AND b.checkpoint_ns = gone.checkpoint_ns
"""

# What a run wrote before the checkpoint it belongs to was refused.
CLEAN_REFUSED = """
WITH lost AS (
    DELETE FROM checkpoints c USING agentinfra_forgotten f
    WHERE f.thread_id = $1 AND c.thread_id = $1
        AND (c.metadata -> 'parents' ->> '') = ANY(f.refused)
    RETURNING c.checkpoint_ns
), blobs AS (
    DELETE FROM checkpoint_blobs
    WHERE thread_id = $1 AND checkpoint_ns IN (SELECT checkpoint_ns FROM lost)
)
DELETE FROM checkpoint_writes w USING agentinfra_forgotten f
WHERE f.thread_id = $1 AND w.thread_id = $1
    AND (w.checkpoint_id = ANY(f.refused) OR w.checkpoint_ns IN (SELECT checkpoint_ns FROM lost))
"""

COPY = """
WITH known AS (
    DELETE FROM agentinfra_forgotten WHERE thread_id = $2
), blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT $2, checkpoint_ns, channel, version, type, blob
    FROM checkpoint_blobs WHERE thread_id = $1
    ON CONFLICT DO NOTHING
), writes AS (
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT $2, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob
    FROM checkpoint_writes WHERE thread_id = $1
    ON CONFLICT DO NOTHING
)
INSERT INTO checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
SELECT $2, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata
FROM checkpoints WHERE thread_id = $1
ON CONFLICT DO NOTHING
"""

TAKE_ON = """
INSERT INTO agentinfra_duties (name, due) VALUES ($1, now() + $2::float8 * interval '1 second')
ON CONFLICT (name) DO UPDATE SET due = EXCLUDED.due WHERE agentinfra_duties.due <= now()
RETURNING true
"""
