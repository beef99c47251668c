-- What is removed when its time is over.

-- name: start_prune_run
-- Args: actor (NULL: the sweep), reason.
-- Rows: one, id.
INSERT INTO powertools.prune_runs (actor, reason) VALUES (%(actor)s::text, %(reason)s::text) RETURNING id;

-- name: prune_batch
-- Args: of_class, run, batch, after: as powertools.prune_batch_v1.
-- Rows: one; archived (NULL while another session is pruning), pruned, last, more.
-- Locks: the part's row; the rows it removes, passing over those that are locked.
-- Index: workflows_pkey from the oldest on; the others by the index on their age.
SELECT archived, pruned, last, more
FROM powertools.prune_batch_v1(
  %(of_class)s::text, powertools.span_setting_v1('retention.' || %(of_class)s::text),
  powertools.span_setting_v1('retention.audit'), %(run)s::bigint, %(batch)s::int, %(after)s::bigint
);

-- name: finish_prune_run
-- Args: id, outcome (done or failed), error (NULL when it was done).
-- Rows: one, the run.
UPDATE powertools.prune_runs r
SET finished_at = clock_timestamp(), outcome = %(outcome)s::text, error = left(%(error)s::text, 1000)
WHERE r.id = %(id)s::bigint
RETURNING r.*;

-- name: last_prune_run
-- Rows: one, the newest run; none when there was none.
SELECT r.* FROM powertools.prune_runs r ORDER BY r.id DESC LIMIT 1;

-- name: retention_sizes
-- Args: tables (names without the schema), schema.
-- Rows: name, rows (as the planner has them; NULL where nobody has analyzed yet), bytes (with indexes).
SELECT t.name, nullif(c.reltuples, -1)::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
FROM unnest(%(tables)s::text[]) AS t (name)
JOIN pg_class c ON c.oid = to_regclass(format('%%I.%%I', %(schema)s::text, t.name));

-- name: retention_oldest
-- Since when the oldest record of each class is there, and when the sweep last did its part.
-- Rows: name, oldest_at (NULL: none); and one, retention, with when it last succeeded. Index: the primary keys; the few executors
--   and faults are read through.
SELECT o.name, o.oldest_at
FROM (VALUES
  ('workflows', (SELECT w.inserted_at FROM powertools.workflows w ORDER BY w.id LIMIT 1)),
  ('signals', (SELECT g.inserted_at FROM powertools.signals g ORDER BY g.inserted_at LIMIT 1)),
  ('rescues', (SELECT r.at FROM powertools.rescues r ORDER BY r.at LIMIT 1)),
  ('late_results', (SELECT l.at FROM powertools.late_results l ORDER BY l.id LIMIT 1)),
  ('audit', (SELECT a.at FROM powertools.audit a ORDER BY a.id LIMIT 1)),
  ('incidents', (SELECT i.first_detected_at FROM powertools.incidents i ORDER BY i.id LIMIT 1)),
  ('previews', (SELECT p.inserted_at FROM powertools.previews p ORDER BY p.id LIMIT 1)),
  ('bulks', (SELECT b.inserted_at FROM powertools.bulks b ORDER BY b.id LIMIT 1)),
  ('executors', (SELECT min(e.started_at) FROM powertools.executors e)),
  ('settle_faults', (SELECT min(f.first_fault_at) FROM powertools.settle_faults f)),
  -- a run is kept while the archive has something of it
  ('archive', (SELECT r.started_at FROM powertools.prune_runs r WHERE r.archived <> '{}' ORDER BY r.id LIMIT 1)),
  ('prune_runs', (SELECT r.started_at FROM powertools.prune_runs r ORDER BY r.id LIMIT 1)),
  ('retention', (SELECT p.succeeded_at FROM powertools.sweep_parts p WHERE p.name = 'retention'))
) AS o (name, oldest_at);

-- name: retention_due
-- Args: of_class, kept_for, most (counts no further).
-- Rows: one, due (NULL where counting is not cheap).
-- Index: the age of each class; workflows are read through.
SELECT CASE %(of_class)s::text
  WHEN 'workflows' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.workflows w WHERE w.parent_id IS NULL AND w.finished_at < o.older_than LIMIT %(most)s::int
  ) AS d)
  WHEN 'signals' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.signals g
    WHERE g.inserted_at < o.older_than AND g.status NOT IN ('stored', 'consumed') LIMIT %(most)s::int
  ) AS d)
  WHEN 'rescues' THEN (SELECT count(*) FROM (SELECT FROM powertools.rescues r WHERE r.at < o.older_than LIMIT %(most)s::int) AS d)
  WHEN 'late_results' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.late_results l WHERE coalesce(l.adopted_at, l.dismissed_at) < o.older_than LIMIT %(most)s::int
  ) AS d)
  WHEN 'executors' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.executors e
    WHERE e.relieved_at < o.older_than AND coalesce(e.stopped_at, e.beat_at) < o.older_than LIMIT %(most)s::int
  ) AS d)
  WHEN 'settle_faults' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.settle_faults f WHERE f.repaired_at < o.older_than LIMIT %(most)s::int
  ) AS d)
  WHEN 'audit' THEN (SELECT least(coalesce(sum(s.count), 0), %(most)s::int) FROM powertools.audit_seals s
    WHERE s.sealed_at < o.older_than AND s.kept_until <= clock_timestamp())
  WHEN 'bulks' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.bulks b
    WHERE b.status IN ('ready', 'expired') AND coalesce(b.ended_at, b.expires_at) < o.older_than LIMIT %(most)s::int
  ) AS d)
  WHEN 'archive' THEN (SELECT count(*) FROM (
    SELECT FROM powertools.archive a WHERE a.archived_at < o.older_than LIMIT %(most)s::int
  ) AS d)
END AS due
FROM (SELECT clock_timestamp() - %(kept_for)s::interval AS older_than) AS o;

-- name: record_prune
-- Args: run (its id), reason.
-- Rows: one.
SELECT powertools.record_system_v1('archive_prune', 'records', ARRAY[%(run)s::bigint::text], %(reason)s::text);
