-- Read-only, and run in one snapshot (see Explain). Their cost follows the rows that matter, not the size
-- of the workflow: LIMIT 1 keeps each look-up of a step one, whatever the planner believes of sizes.
-- A producer that was not refreshed for 60 s is gone, as in Oban's own clean-up.

-- name: explain_workflow
-- Args: workflow_id (bigint).
-- Rows: none, or one; now is the database clock. Index: the primary key.
SELECT w.id, w.name, w.state, w.semantics_version, w.total, w.open, w.cancel_requested_at, now() AS now
FROM powertools.workflows w
WHERE w.id = %(workflow_id)s::bigint;

-- name: explain_counts
-- Reads every step of the workflow.
-- Args: workflow_id (bigint).
-- Rows: state (a live job's own), steps; by state. Index: the primary key.
SELECT s.state, count(*) AS steps
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint
GROUP BY s.state
ORDER BY s.state;

-- name: explain_position
-- Args: workflow_id (bigint), step (text).
-- Rows: none, or one. Index: step_name_unique.
SELECT s.position
FROM powertools.steps s
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text;

-- name: explain_steps
-- Args: workflow_id (bigint), positions (int[]).
-- Rows: the steps with their settle fault (NULL columns without one), by position. Index: the primary key.
SELECT
  s.position, s.name, s.worker, s.queue, s.state, s.cause, s.job_id, s.attempt, s.max_attempts, s.pending,
  cardinality(s.parents) + coalesce(cardinality(s.continue_parents), 0) AS parents, s.error,
  f.state AS fault_state, f.sqlstate, f.message AS fault_message, f.faults, f.first_fault_at, f.last_fault_at
FROM unnest(%(positions)s::int[]) AS wanted (position)
CROSS JOIN LATERAL (
  SELECT * FROM powertools.steps
  WHERE workflow_id = %(workflow_id)s::bigint AND position = wanted.position LIMIT 1
) AS s
LEFT JOIN powertools.settle_faults f ON f.job_id = s.job_id AND f.repaired_at IS NULL
ORDER BY s.position;

-- name: explain_dependencies
-- Args: workflow_id (bigint), position (int), page (int, rows).
-- Rows: name, state, policy, has_result, open (no outcome yet), retry_at (when a retryable parent is due);
--   open parents first, retryable ones before the others, then by position. Index: the primary key.
SELECT
  p.name, coalesce(j.state::text, p.state) AS state, e.policy, p.result IS NOT NULL AS has_result,
  p.finished_at IS NULL AS open,
  CASE WHEN j.state = 'retryable' THEN j.scheduled_at AT TIME ZONE 'UTC' END AS retry_at
FROM powertools.steps s
CROSS JOIN LATERAL (
  SELECT unnest(s.parents) AS parent, 'cancel' AS policy
  UNION ALL
  SELECT unnest(s.continue_parents), 'continue'
) AS e
CROSS JOIN LATERAL (
  SELECT * FROM powertools.steps WHERE workflow_id = s.workflow_id AND position = e.parent LIMIT 1
) AS p
LEFT JOIN public.oban_jobs j ON p.state = 'available' AND j.id = p.job_id
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = %(position)s::int
ORDER BY p.finished_at IS NOT NULL, j.state IS DISTINCT FROM 'retryable', p.position
LIMIT %(page)s;

-- name: explain_causes
-- The steps that wait on nothing upstream and hold up the rest, in kinds that have one explanation.
-- Args: workflow_id (bigint); position (int: only ancestors of this step that it waits for or was cancelled
--   because of; NULL: all released steps without an outcome, and all failed ones); examples (int, of each kind);
--   page (int, rows).
-- Rows: position, place (1 for the first of its kind), members (steps of its kind), total (steps of all kinds);
--   the first of each kind before the second of any. Index: the primary key; one look-up a waiting ancestor and edge.
WITH RECURSIVE reached (position) AS (
  SELECT %(position)s::int
  UNION
  SELECT p.position
  FROM reached r
  CROSS JOIN LATERAL (
    SELECT state, CASE WHEN state = 'pending' THEN parents || continue_parents
                       WHEN cause = 'cancelled_by_dependency' THEN parents END AS parents
    FROM powertools.steps
    WHERE workflow_id = %(workflow_id)s::bigint AND position = r.position LIMIT 1
  ) AS s
  CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
  CROSS JOIN LATERAL (
    SELECT position, state, finished_at FROM powertools.steps
    WHERE workflow_id = %(workflow_id)s::bigint AND position = e.parent LIMIT 1
  ) AS p
  WHERE CASE s.state WHEN 'pending' THEN p.finished_at IS NULL ELSE p.finished_at IS NOT NULL AND p.state <> 'completed' END
), candidates AS (
  SELECT r.position FROM reached r WHERE r.position <> %(position)s::int
  UNION ALL
  SELECT s.position FROM powertools.steps s
  WHERE %(position)s::int IS NULL AND s.workflow_id = %(workflow_id)s::bigint AND s.state NOT IN ('pending', 'completed')
), kinds AS (
  SELECT
    s.position, s.finished_at IS NULL AS live, s.state, s.cause, coalesce(j.state::text, '') AS job_state,
    coalesce(j.queue, s.queue) AS queue, s.worker,
    j.state = 'available' AND j.attempt >= j.max_attempts AS exhausted,
    j.errors -> -1 ->> 'error' LIKE '%%WorkerResolutionError%%' AS unresolved,
    EXISTS (
      SELECT FROM powertools.settle_faults f WHERE f.job_id = s.job_id AND f.repaired_at IS NULL
    ) AS faulted,
    CASE WHEN j.state = 'executing' THEN EXISTS (
      SELECT FROM public.oban_producers o
      WHERE o.uuid::text = j.attempted_by[2] AND o.updated_at > timezone('UTC', now()) - interval '60 seconds'
    ) END AS attended
  FROM candidates c
  CROSS JOIN LATERAL (
    SELECT * FROM powertools.steps WHERE workflow_id = %(workflow_id)s::bigint AND position = c.position LIMIT 1
  ) AS s
  LEFT JOIN public.oban_jobs j ON s.state = 'available' AND j.id = s.job_id
  WHERE s.state NOT IN ('pending', 'completed') AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
), placed AS (
  SELECT k.position, count(*) OVER kind AS members, count(*) OVER () AS total,
    row_number() OVER (kind ORDER BY k.position) AS place
  FROM kinds k
  WINDOW kind AS (
    PARTITION BY k.live, k.state, k.cause, k.job_state, k.queue, k.worker, k.exhausted, k.unresolved, k.faulted, k.attended
  )
)
SELECT p.position, p.place, p.members, p.total
FROM placed p
WHERE p.place <= %(examples)s
ORDER BY p.place, p.position
LIMIT %(page)s;

-- name: explain_jobs
-- Args: ids (bigint[]).
-- Rows: the jobs that exist, with the step they belong to, their executor as Oban's producers know it, and
--   their settle fault (NULL columns without one); by id. Index: the primary keys.
SELECT
  j.id, j.state::text, j.queue, j.worker, j.attempt, j.max_attempts, j.errors -> -1 AS error,
  j.scheduled_at AT TIME ZONE 'UTC' AS scheduled_at, j.attempted_at AT TIME ZONE 'UTC' AS attempted_at,
  j.attempted_by[1] AS node, o.updated_at AT TIME ZONE 'UTC' AS executor_seen_at,
  coalesce(o.updated_at > timezone('UTC', now()) - interval '60 seconds', false) AS executor_alive,
  s.workflow_id, s.name AS step,
  f.state AS fault_state, f.sqlstate, f.message AS fault_message, f.faults, f.first_fault_at, f.last_fault_at,
  now() AS now
FROM public.oban_jobs j
LEFT JOIN public.oban_producers o ON o.uuid::text = j.attempted_by[2]
LEFT JOIN powertools.steps s ON s.job_id = j.id
  AND s.workflow_id = CASE WHEN j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' THEN (j.meta ->> 'workflow_id')::bigint END
  AND s.position = CASE WHEN j.meta ->> 'position' ~ '^[0-9]{1,9}$' THEN (j.meta ->> 'position')::int END
LEFT JOIN powertools.settle_faults f ON f.job_id = j.id AND f.repaired_at IS NULL
WHERE j.id = ANY (%(ids)s::bigint[])
ORDER BY j.id;

-- name: explain_queues
-- Args: queues (text[]).
-- Rows: queue, executors (alive), paused (of them), places (sum of the limits of those not paused; NULL when one
--   says none), running (jobs in those executors' hands); by queue.
-- Index: oban_jobs by state and queue; the producers are few.
SELECT
  q.queue, count(o.uuid) AS executors, count(o.uuid) FILTER (WHERE o.meta -> 'paused' = 'true') AS paused,
  CASE WHEN bool_and(jsonb_typeof(o.meta -> 'local_limit') = 'number')
    THEN least(sum(CASE WHEN o.meta -> 'paused' = 'true' THEN 0 ELSE (o.meta ->> 'local_limit')::numeric END), 1e9)::int
  END AS places,
  (
    SELECT count(*)
    FROM public.oban_jobs j
    WHERE j.state = 'executing' AND j.queue = q.queue AND j.attempted_by[2] = ANY (array_agg(o.uuid::text))
  ) AS running
FROM unnest(%(queues)s::text[]) AS q (queue)
LEFT JOIN public.oban_producers o
  ON o.queue = q.queue AND o.updated_at > timezone('UTC', now()) - interval '60 seconds'
GROUP BY q.queue
ORDER BY q.queue;
