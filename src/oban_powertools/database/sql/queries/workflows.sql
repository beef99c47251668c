-- name: insert_workflows
-- Args: one entry a workflow: names (text), totals (int, steps), contexts (jsonb text), tags (text[] literal),
--   definition_versions, definition_hashes, idempotency_keys (text or NULL), on_finished (jsonb text or NULL),
--   expires_in (interval or NULL); roots and parents (place of the outermost and of the enclosing workflow in the
--   args, from 1; parents NULL for an outermost one), parent_positions (int or NULL).
-- Rows: id, inserted; one an argument entry, in their order. inserted is false where the idempotency key
--   exists already; that id is then not used.
-- Locks: uncommitted inserts of the same keys are waited for, key by key in one order everywhere.
WITH given AS (
  SELECT nextval(pg_get_serial_sequence('powertools.workflows', 'id')) AS id, g.*
  FROM unnest(
    %(names)s::text[], %(totals)s::int[], %(contexts)s::jsonb[], %(tags)s::text[], %(definition_versions)s::text[],
    %(definition_hashes)s::text[], %(idempotency_keys)s::text[], %(on_finished)s::jsonb[], %(expires_in)s::interval[],
    %(roots)s::int[], %(parents)s::int[], %(parent_positions)s::int[]
  ) WITH ORDINALITY AS g (
    name, total, context, tags, definition_version, definition_hash, idempotency_key, on_finished, expires_in,
    root, parent, parent_position, place
  )
), outermost AS (
  INSERT INTO powertools.workflows (
    id, name, total, open, context, tags, definition_version, definition_hash, idempotency_key, on_finished, expires_in,
    expires_at, root_id
  )
  OVERRIDING SYSTEM VALUE
  SELECT
    g.id, g.name, g.total, g.total, g.context, g.tags::text[], g.definition_version, g.definition_hash,
    g.idempotency_key, g.on_finished, g.expires_in, now() + g.expires_in, g.id
  FROM given g
  WHERE g.parent IS NULL
  ORDER BY g.idempotency_key, g.place
  ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING id
), nested AS (
  INSERT INTO powertools.workflows (
    id, name, total, open, context, tags, definition_version, on_finished, expires_in, root_id, parent_id,
    parent_position
  )
  OVERRIDING SYSTEM VALUE
  SELECT
    g.id, g.name, g.total, g.total, g.context, g.tags::text[], g.definition_version, g.on_finished,
    g.expires_in, r.id, p.id, g.parent_position
  FROM given g
  JOIN given p ON p.place = g.parent
  JOIN given r ON r.place = g.root
  JOIN outermost o ON o.id = r.id
  RETURNING id
)
SELECT g.id, i.id IS NOT NULL AS inserted
FROM given g
LEFT JOIN (SELECT id FROM outermost UNION ALL SELECT id FROM nested) AS i USING (id)
ORDER BY g.place;

-- name: find_by_idempotency_keys
-- Args: keys (text[]).
-- Rows: id, idempotency_key, definition_hash. Index: workflows_idempotency_key.
SELECT id, idempotency_key, definition_hash
FROM powertools.workflows
WHERE idempotency_key = ANY (%(keys)s::text[]);

-- name: copy_steps
COPY powertools.steps (
  workflow_id, pending, child_id, parents, children, continue_parents, continue_children, position, kind, max_attempts,
  priority, depth, name, worker, queue, effects, args, template, tags, meta, scheduled_at, delay, deadline, item_template,
  max_failures
) FROM STDIN;

-- name: release_roots
-- Args: workflow_ids, positions: steps without parents, of workflows inserted in this transaction.
SELECT powertools.move_on_v1(powertools.apply_outcomes_v1(
  powertools.release_v1(%(workflow_ids)s::bigint[], %(positions)s::int[], 0), NULL), NULL);

-- name: get_workflows
-- Args: ids (bigint[]).
-- Rows: all columns of the record; by id. Index: the primary keys, as powertools.workflow_words_v1.
SELECT
  w.id, w.name, k.word AS status, w.state, k.code AS blocker,
  CASE WHEN k.leaf_workflow_id = w.id THEN k.leaf_name ELSE k.leaf_name || ' of workflow ' || k.leaf_workflow_id END AS held_up_by,
  w.context, w.tags, w.generation, w.semantics_version, w.definition_version,
  w.idempotency_key, w.total, w.open, e.failed, e.cancelled, e.expired, w.failures_handled, w.expires_at, w.cancel_requested_at,
  w.expired_at, w.parent_id, w.parent_position,
  w.inserted_at, w.finished_at,
  CASE WHEN w.failed = 0 THEN '{}' ELSE powertools.failed_steps_v1(w.id) END AS failed_steps
FROM powertools.workflow_words_v1(%(ids)s::bigint[]) AS k
CROSS JOIN LATERAL (SELECT * FROM powertools.workflows WHERE id = k.id LIMIT 1) AS w
CROSS JOIN LATERAL powertools.step_ends_v1(CASE WHEN w.failed + w.stopped > 0 THEN w.id END) AS e
ORDER BY w.id;

-- name: find_workflow_ids
-- Args: filters (jsonb text), before (bigint or NULL: only smaller ids), page (int, rows); as powertools.find_workflows_v1.
-- Rows: id, newest first. Index: those of 0013_finding.sql, workflows_name, workflows_unfinished and the primary keys.
SELECT f.id
FROM powertools.find_workflows_v1(%(filters)s::jsonb, %(before)s::bigint, %(page)s::int) AS f (id)
ORDER BY f.id DESC;

-- name: unawaited_workflow_ids
-- Args: ids (bigint[]): workflows that somebody waits for.
-- Rows: id of those that have ended or do not exist. Index: the primary key.
SELECT awaited.id
FROM unnest(%(ids)s::bigint[]) AS awaited (id)
LEFT JOIN powertools.workflows w ON w.id = awaited.id
WHERE w.id IS NULL OR w.finished_at IS NOT NULL;

-- name: list_callbacks
-- Args: workflow_id (bigint).
-- Rows: one for each time that the workflow ended and had a callback, oldest first; a job that lives speaks for itself, and
--   one that is gone though nothing says that it ended was deleted unseen. Index: the primary keys.
SELECT
  c.workflow_id, c.generation, c.job_id, c.worker, c.inserted_at,
  CASE WHEN j.id IS NOT NULL THEN j.state::text WHEN c.ended_at IS NULL THEN 'job_deleted' ELSE c.state END AS state,
  coalesce(j.attempt, c.attempt) AS attempt,
  coalesce(timezone('UTC', j.attempted_at), c.attempted_at) AS attempted_at,
  coalesce(timezone('UTC', coalesce(j.completed_at, j.discarded_at, j.cancelled_at)), c.ended_at) AS ended_at,
  coalesce(powertools.told_error_v1(j.errors -> -1), c.error) AS error
FROM powertools.callbacks c
LEFT JOIN public.oban_jobs j ON j.id = c.job_id AND powertools.ended_workflow_of_v1(j.meta) = c.workflow_id
WHERE c.workflow_id = %(workflow_id)s::bigint
ORDER BY c.generation;
