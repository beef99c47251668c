-- name: deliver_signal
-- Args: signal, correlation_key (text), payload (jsonb text or NULL), dedupe_key (text or NULL), workflow_id (bigint or
--   NULL), expires_in (interval or NULL), only_begun (bool).
-- Rows: the signal as recorded; of a duplicate the first delivery, with status duplicate.
-- Locks: the dedupe key, then as settle.
SELECT id, signal, correlation_key, workflow_id, dedupe_key, payload, status, wait_id, inserted_at, consumed_at, expires_at,
  last_workflow_id IS NOT NULL AS only_begun
FROM powertools.deliver_signal_v1(
  %(signal)s::text, %(correlation_key)s::text, %(payload)s::jsonb, %(dedupe_key)s::text, %(workflow_id)s::bigint,
  %(expires_in)s::interval, %(only_begun)s::bool
);

-- name: lock_step_job
-- Locks the live job of a step, before its workflow is locked (settle/S4).
-- Args: workflow_id (bigint), step (text).
-- Rows: one without columns, or none.
SELECT
FROM powertools.steps s
JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text AND s.state = 'available'
FOR UPDATE OF j;

-- name: lock_workflow
-- Locks a workflow's family and reads what commands depend on.
-- Args: workflow_id (bigint). Rows: none, or one. Locks: the family's workflows by id.
WITH locked AS MATERIALIZED (
  SELECT powertools.lock_families_v1(ARRAY[%(workflow_id)s::bigint]) AS stopping
)
SELECT 1 AS locked FROM locked;

-- name: command_workflow
-- Args: workflow_id (bigint). Rows: none, or one.
SELECT w.id, w.state, w.generation, w.open, w.failed, w.semantics_version, w.cancel_requested_at
FROM powertools.workflows w WHERE w.id = %(workflow_id)s::bigint;

-- name: command_steps
-- The steps of a command.
-- Args: workflow_id (bigint), step (text; NULL for every failed step that may run again).
-- Rows: by position.
SELECT s.position, s.name, s.kind, s.state, s.cause, s.effects, s.generation, s.attempt,
  powertools.told_error_v1(s.error) AS error, s.job_id, s.held_until, s.cancel_requested_at,
  CASE WHEN %(step)s::text IS NOT NULL AND s.finished_at IS NOT NULL
    THEN powertools.retry_refusal_v1(s.workflow_id, s.position) END AS retry_refused,
  CASE WHEN %(step)s::text IS NOT NULL AND s.finished_at IS NOT NULL
    THEN powertools.revival_refusal_v1(s.workflow_id) END AS revival_refused
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint AND CASE
    WHEN %(step)s::text IS NOT NULL THEN s.name = %(step)s::text
    ELSE s.position IN (SELECT unnest(powertools.retryable_v1(%(workflow_id)s::bigint)))
  END
ORDER BY s.position;

-- name: revival_refusal
-- Args: workflow_id (bigint). Rows: one; refusal, why no failed step of it may come back, or NULL.
SELECT powertools.revival_refusal_v1(%(workflow_id)s::bigint) AS refusal;

-- name: stop_workflow
-- Args: workflow_id (bigint). Locks: as settle; then idle jobs, skipping locked ones.
SELECT powertools.stop_workflows_v1(ARRAY[%(workflow_id)s::bigint], false);

-- name: revive_steps
-- Args: workflow_id (bigint), positions (int[]), completed (bool), payload (jsonb text or NULL), cause (text or NULL).
-- Rows: revived, how many steps came back with the targets. The caller holds the family.
SELECT cardinality(powertools.revive_v1(
  %(workflow_id)s::bigint, %(positions)s::int[], %(completed)s::bool, %(payload)s::jsonb, %(cause)s::text
)) - cardinality(%(positions)s::int[]) AS revived;

-- name: cancel_step
-- Args: workflow_id (bigint), position (int).
SELECT powertools.cancel_step_v1(%(workflow_id)s::bigint, %(position)s::int) AS ended;

-- name: complete_waiting_step
-- Args: workflow_id (bigint), position (int), payload (jsonb text or NULL), cause (text).
SELECT powertools.complete_step_v1(%(workflow_id)s::bigint, %(position)s::int, %(payload)s::jsonb, %(cause)s::text);

-- name: note_cause
-- Stores why a step was completed whose job an operator ended.
-- Args: workflow_id (bigint), position (int), cause (text).
UPDATE powertools.steps s SET cause = %(cause)s::text
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = %(position)s::int AND s.state = 'completed';

-- name: hold
-- Args: workflow_id (bigint), position (int or NULL for all), hold_for (interval), reason (text). Rows: held, steps.
SELECT powertools.hold_v1(
  %(workflow_id)s::bigint, %(position)s::int, clock_timestamp() + %(hold_for)s::interval, %(reason)s::text
) AS held;

-- name: unhold
-- Args: workflow_id (bigint), position (int or NULL for all). Rows: released, steps that were held.
SELECT powertools.unhold_v1(%(workflow_id)s::bigint, %(position)s::int) AS released;

-- name: list_commands
-- Args: workflow_id (bigint), page (int, rows). Rows: newest first. Index: audit_workflow.
SELECT id, workflow_id, step, action, actor, source, reason, outcome, reason_code, legal_next_steps, details, inserted_at
FROM powertools.commands WHERE workflow_id = %(workflow_id)s::bigint ORDER BY id DESC LIMIT %(page)s;

-- name: steps_at
-- Args: workflow_id (bigint), positions (int[]). Rows: by position.
SELECT s.position, s.name, s.kind, s.state, s.cause, s.effects, s.generation, s.attempt,
  powertools.told_error_v1(s.error) AS error, s.job_id
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = ANY (%(positions)s::int[])
ORDER BY s.position;

-- name: cancelled_job_ids
-- Which of these executing jobs have been asked to stop, with their step or their whole workflow.
-- Args: ids (bigint[]). Rows: id.
SELECT j.id
FROM public.oban_jobs j
JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
JOIN powertools.workflows w ON w.id = s.workflow_id
WHERE j.id = ANY (%(ids)s::bigint[])
  AND (s.cancel_requested_at IS NOT NULL OR w.cancel_requested_at IS NOT NULL OR w.expired_at IS NOT NULL);

-- name: due_parts
-- Which parts of the sweep have something to do.
-- Args: incidents_every (interval).
-- Rows: one, parts (text[]).
-- Index: as due_parts_v1.
SELECT powertools.due_parts_v1(%(incidents_every)s::interval, powertools.span_setting_v1('events_kept_for')) AS parts;
