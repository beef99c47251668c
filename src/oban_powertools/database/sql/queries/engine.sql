-- name: ack_jobs
-- Args and rows: powertools.ack_jobs_v1.
SELECT powertools.ack_jobs_v1(
  %(ids)s::bigint[], %(attempted_ats)s::timestamp[], %(states)s::text[], %(attempt_changes)s::int[],
  %(schedule_ins)s::int[], %(errors)s::jsonb[], %(metas)s::jsonb[], %(results)s::jsonb, %(fetching)s::jsonb
) AS id;

-- name: insert_jobs
-- Args and rows: powertools.insert_jobs_v1.
SELECT id, inserted_at, queue, scheduled_at, state
FROM powertools.insert_jobs_v1(
  %(states)s::text[], %(queues)s::text[], %(workers)s::text[], %(max_attempts)s::int[], %(priorities)s::int[],
  %(args)s::jsonb[], %(metas)s::jsonb[], %(tags)s::jsonb[], %(inserted_ats)s::timestamp[],
  %(scheduled_ats)s::timestamp[]
);

-- name: sweep_part
-- One batch of a part of the sweep, in a transaction of its own.
-- Args: part (text), batch (at most how many at a time).
-- Rows: one; swept is false when another node does it; done is how many it did, failed how many it
--   could not do now (the database's log says why), more whether there may be more to do at once.
SELECT swept, done, failed, more FROM powertools.sweep_part_v1(%(part)s, %(batch)s::int);

-- name: reconcile
-- Args: after_workflow_id, after_position (the cursor; 0, -1 starts over), batch (steps to compare).
-- Rows: one; reconciled is NULL when another node does it.
SELECT after_workflow_id, after_position, reconciled
FROM powertools.reconcile_v1(%(after_workflow_id)s::bigint, %(after_position)s::int, %(batch)s::int);

-- name: parts_succeeded
-- Args: parts (names of parts of the sweep that did all that was due).
-- Rows: one. Locks: the parts' rows, skipping locked ones.
SELECT powertools.parts_succeeded_v1(%(parts)s::text[]);
