-- Stored signals and open waits, as operators look for them.

-- name: list_signals
-- Args: filters (jsonb text), before (bigint or NULL: only smaller ids), page (int, rows); as powertools.stored_signals_v1.
-- Rows: id, signal, correlation_key, workflow_id, dedupe_key, inserted_at, expires_at, only_begun; newest first. Index: as that.
SELECT g.id, g.signal, g.correlation_key, g.workflow_id, g.dedupe_key, g.inserted_at, g.expires_at,
  g.last_workflow_id IS NOT NULL AS only_begun
FROM powertools.stored_signals_v1(%(filters)s::jsonb, %(before)s::bigint, %(page)s::int) AS g
ORDER BY g.id DESC;

-- name: list_waits_alike
-- Args: signal_ids (bigint[]): stored signals.
-- Rows: signal_id, wait_id, workflow_id, step, signal, correlation_key, meant (as powertools.is_meant_for_v1); by signal, the most alike first. Index: as
--   powertools.waits_alike_v1, and the primary keys.
SELECT a.signal_id, a.wait_id, a.workflow_id, s.name AS step, a.signal, a.correlation_key,
  powertools.is_meant_for_v1(g.correlation_key, a.correlation_key) AS meant
FROM powertools.waits_alike_v1(%(signal_ids)s::bigint[]) WITH ORDINALITY AS a
CROSS JOIN LATERAL (SELECT * FROM powertools.signals WHERE id = a.signal_id LIMIT 1) AS g
CROSS JOIN LATERAL (SELECT * FROM powertools.waits WHERE id = a.wait_id LIMIT 1) AS v
CROSS JOIN LATERAL powertools.step_at_v1(v.workflow_id, v.position) AS s
ORDER BY a.ordinality;

-- name: list_waits
-- Args: as list_signals; as powertools.open_waits_v1.
-- Rows: id, signal, correlation_key, workflow_id, workflow_name, step, registered_at, deadline_at; newest first. Index: as that,
--   and the primary keys.
SELECT v.id, v.signal, v.correlation_key, v.workflow_id, w.name AS workflow_name, s.name AS step, v.registered_at, v.deadline_at
FROM powertools.open_waits_v1(%(filters)s::jsonb, %(before)s::bigint, %(page)s::int) AS v
-- row by row: for the many that a function may return the planner would read the tables
CROSS JOIN LATERAL (SELECT * FROM powertools.workflows WHERE id = v.workflow_id LIMIT 1) AS w
CROSS JOIN LATERAL powertools.step_at_v1(v.workflow_id, v.position) AS s
ORDER BY v.id DESC;
