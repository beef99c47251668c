-- Read-only, and run in one snapshot (see Explain). Their cost follows the rows that matter, not the size
-- of the workflow: LIMIT 1 keeps each look-up of a step one, whatever the planner believes of sizes.
-- An executor is judged by its heartbeats, as rescue and the repairs judge it; one that sends none, by Oban's producers:
-- one that was not refreshed for 60 s is gone, as in Oban's own clean-up.

-- name: explain_workflows
-- Args: ids (bigint[]).
-- Rows: the workflows that exist, with the step that runs each (NULL columns for an outermost one); the session that
--   holds the workflow or its outermost one in a transaction that idles, or lasts over 2 s (lock_pid, lock_session,
--   lock_since; NULL without one): a row names in xmax the transaction that locked or changed it; now is the database
--   clock. Index: the primary keys.
WITH holding AS MATERIALIZED (
  SELECT l.transactionid AS xid, a.pid AS lock_pid, coalesce(nullif(a.application_name, ''), a.usename, '?') AS lock_session,
    a.xact_start AS lock_since
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
    AND (a.state LIKE 'idle in transaction%%' OR a.xact_start < clock_timestamp() - interval '2 s')
)
SELECT
  w.id, w.name, w.state, w.semantics_version, w.total, w.open, w.cancel_requested_at, w.expired_at,
  w.parent_id, p.position AS parent_position, p.name AS parent_step, p.state AS parent_state, p.cause AS parent_cause,
  h.lock_pid, h.lock_session, h.lock_since, now() AS now
FROM powertools.workflows w
LEFT JOIN powertools.workflows r ON r.id = w.root_id
LEFT JOIN LATERAL (
  SELECT * FROM holding WHERE holding.xid IN (w.xmax, r.xmax) ORDER BY holding.lock_since LIMIT 1
) AS h ON true
LEFT JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
WHERE w.id = ANY (%(ids)s::bigint[]);

-- name: explain_counts
-- Reads every step of the workflow.
-- Args: workflow_id (bigint).
-- Rows: state (a live job's own), steps, held (of them); by state. Index: the primary key.
SELECT s.state, count(*) AS steps, count(s.held_until) AS held
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint
GROUP BY s.state
ORDER BY s.state;

-- name: explain_recovery
-- Why the recovery of a failed step, or of all of them, would be refused.
-- Args: workflow_id (bigint), position (int or NULL for all).
-- Rows: one; retry_refused, revival_refused (text or NULL), retryable (steps; NULL when one was asked for).
SELECT
  CASE WHEN %(position)s::int IS NOT NULL
    THEN powertools.retry_refusal_v1(%(workflow_id)s::bigint, %(position)s::int) END AS retry_refused,
  powertools.revival_refusal_v1(%(workflow_id)s::bigint) AS revival_refused,
  CASE WHEN %(position)s::int IS NULL THEN cardinality(powertools.retryable_v1(%(workflow_id)s::bigint)) END AS retryable;

-- name: explain_position
-- Args: workflow_id (bigint), step (text).
-- Rows: none, or one. Index: step_name_unique.
SELECT s.position
FROM powertools.steps s
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text;

-- name: explain_steps
-- Args: workflow_ids (bigint[]), positions (int[]): one entry a step.
-- Rows: the steps with their settle fault, their last wait and the workflow they run (NULL columns without one), by
--   workflow and position. Index: the primary keys.
SELECT
  s.workflow_id, s.position, s.name, s.kind, s.worker, s.queue, s.effects, s.state AS own_state, s.cause, s.job_id, s.attempt AS own_attempt,
  s.max_attempts, s.pending, cardinality(s.parents) + coalesce(cardinality(s.continue_parents), 0) AS parents, s.error,
  s.cancel_requested_at, s.held_until, s.hold_reason,
  v.signal AS wait_signal, v.correlation_key AS wait_correlation_key, v.registered_at AS wait_registered_at,
  v.deadline_at AS wait_deadline_at,
  c.id AS child_id, c.state AS child_state, c.total AS child_total, c.open AS child_open, c.failed AS child_uncompleted,
  e.failed AS child_failed, e.cancelled AS child_cancelled, e.expired AS child_expired, c.max_failures AS child_max_failures,
  f.state AS fault_state, f.message AS fault_message, f.sqlstate AS fault_sqlstate, f.faults AS fault_faults,
  f.first_fault_at AS fault_first_fault_at, f.last_fault_at AS fault_last_fault_at
FROM unnest(%(workflow_ids)s::bigint[], %(positions)s::int[]) AS wanted (workflow_id, position)
CROSS JOIN LATERAL (
  SELECT * FROM powertools.step_at_v1(wanted.workflow_id, wanted.position)
) AS s
LEFT JOIN powertools.waits v ON v.id = s.wait_id
LEFT JOIN powertools.workflows c ON c.id = s.child_id
CROSS JOIN LATERAL powertools.step_ends_v1(CASE WHEN c.failed + c.stopped > 0 THEN c.id END) AS e
LEFT JOIN powertools.settle_faults f ON f.job_id = s.job_id AND f.repaired_at IS NULL
ORDER BY s.workflow_id, s.position;

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
  SELECT * FROM powertools.step_at_v1(s.workflow_id, e.parent)
) AS p
LEFT JOIN public.oban_jobs j
  ON p.state = 'available' AND j.id = p.job_id AND powertools.is_job_of_v1(j.meta, p.workflow_id, p.position)
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = %(position)s::int
ORDER BY p.finished_at IS NOT NULL, j.state IS DISTINCT FROM 'retryable', p.position
LIMIT %(page)s;

-- name: explain_causes
-- The steps that wait on nothing upstream and hold up the rest, in kinds that have one explanation. A step that runs
-- a workflow stands for the steps in it.
-- Args: workflow_id (bigint); position (int: only ancestors of this step that it waits for or was cancelled
--   because of, and what is in it when it runs a workflow; NULL: all released steps without an outcome, held ones,
--   and all failed ones); examples (int, of each kind); page (int, rows).
-- Rows: workflow_id, position, place (1 for the first of its kind), members (steps of its kind), total (steps of all
--   kinds); the first of each kind before the second of any.
-- Index: the primary keys; one look-up a waiting ancestor and edge, and every step of a workflow that is entered.
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
), candidates (workflow_id, position, live, child_id) AS (
  SELECT s.workflow_id, s.position, s.finished_at IS NULL,
    CASE WHEN s.state = 'executing' OR s.finished_at IS NOT NULL AND s.state <> 'completed' AND s.cause IS NULL
      THEN s.child_id END
  FROM (
    SELECT r.position FROM reached r WHERE r.position IS NOT NULL
    UNION ALL
    SELECT s.position FROM powertools.steps s
    WHERE %(position)s::int IS NULL AND s.workflow_id = %(workflow_id)s::bigint AND s.state <> 'completed'
      AND (s.state <> 'pending' OR s.held_until IS NOT NULL)
  ) AS own
  CROSS JOIN LATERAL (
    SELECT * FROM powertools.step_at_v1(%(workflow_id)s::bigint, own.position)
  ) AS s
  UNION ALL
  SELECT k.workflow_id, k.position, k.finished_at IS NULL,
    CASE WHEN k.state = 'executing' OR k.finished_at IS NOT NULL AND k.cause IS NULL THEN k.child_id END
  FROM candidates c
  JOIN powertools.workflows n ON n.id = c.child_id AND (c.live AND n.open > 0 OR NOT c.live AND n.failed > 0 AND n.stopped = 0)
  JOIN powertools.steps k ON k.workflow_id = n.id
  WHERE k.state <> 'completed' AND (k.state <> 'pending' OR k.held_until IS NOT NULL)
    AND (%(position)s::int IS NULL OR c.live = (k.finished_at IS NULL))
), executors AS MATERIALIZED (
  SELECT e.node, e.producer, h.state IN ('missing', 'stopped')
    OR e.executor_id IN (SELECT s.executor_id FROM powertools.silent_executors s) AS lost
  FROM powertools.executors e
  JOIN powertools.executor_health_v1() h ON h.executor_id = e.executor_id
), kinds AS (
  SELECT
    s.workflow_id, s.position, s.finished_at IS NULL AS live, s.state, s.cause, s.kind,
    s.held_until IS NOT NULL AS held, coalesce(j.state::text, '') AS job_state, coalesce(j.queue, s.queue) AS queue, s.worker,
    j.state = 'available' AND j.attempt >= j.max_attempts AS exhausted,
    j.errors -> -1 ->> 'error' LIKE '%%WorkerResolutionError%%' AS unresolved,
    EXISTS (
      SELECT FROM powertools.settle_faults f WHERE f.job_id = s.job_id AND f.repaired_at IS NULL
    ) AS faulted,
    CASE j.state
      WHEN 'executing' THEN coalesce(
        (SELECT e.lost FROM executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2] LIMIT 1),
        NOT EXISTS (
          SELECT FROM public.oban_producers o
          WHERE o.uuid::text = j.attempted_by[2] AND o.updated_at > timezone('UTC', now()) - interval '60 seconds'
        )
      )
      WHEN 'suspended' THEN EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined')
    END AS lost
  FROM candidates c
  CROSS JOIN LATERAL (
    SELECT * FROM powertools.step_at_v1(c.workflow_id, c.position)
  ) AS s
  LEFT JOIN powertools.workflows n ON n.id = c.child_id
  LEFT JOIN public.oban_jobs j
    ON s.state = 'available' AND powertools.is_its_job_v1(s, j.id, j.meta)
  WHERE s.state <> 'completed' AND (s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL)
    AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
    AND (c.live AND n.open > 0 OR NOT c.live AND n.failed > 0 AND n.stopped = 0) IS NOT TRUE
    AND (c.workflow_id, c.position) IS DISTINCT FROM (%(workflow_id)s::bigint, %(position)s::int)
), placed AS (
  SELECT k.workflow_id, k.position, count(*) OVER kind AS members, count(*) OVER () AS total,
    row_number() OVER (kind ORDER BY k.workflow_id, k.position) AS place
  FROM kinds k
  WINDOW kind AS (
    PARTITION BY k.live, k.state, k.cause, k.kind, k.held, k.job_state, k.queue, k.worker, k.exhausted, k.unresolved,
      k.faulted, k.lost
  )
)
SELECT p.workflow_id, p.position, p.place, p.members, p.total
FROM placed p
WHERE p.place <= %(examples)s
ORDER BY p.place, p.workflow_id, p.position
LIMIT %(page)s;

-- name: explain_jobs
-- Args: ids (bigint[]).
-- Rows: the jobs that exist, by id, with the step they belong to, their settle fault, their quarantine, and while they
--   execute their executor: executor_state is as list_executor_health has it, or gone (rescue may act), silent (no heartbeat for its
--   gone_after, and nobody witnessed it), or unknown (NULL columns without one), and the session that holds it, as explain_workflows has it. Index: the primary keys,
--   rescues_quarantined; executors are few.
WITH holding AS MATERIALIZED (
  SELECT l.transactionid AS xid, a.pid AS lock_pid, coalesce(nullif(a.application_name, ''), a.usename, '?') AS lock_session,
    a.xact_start AS lock_since
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
    AND (a.state LIKE 'idle in transaction%%' OR a.xact_start < clock_timestamp() - interval '2 s')
), judged AS MATERIALIZED (
  SELECT e.node, e.producer, e.executor_id, coalesce(e.stopped_at, e.beat_at) AS seen_at,
    extract(epoch FROM clock_timestamp() - e.beat_at)::int AS seconds,
    CASE WHEN e.stopped_at IS NULL AND EXISTS (
      SELECT FROM powertools.gone_executors g WHERE g.executor_id = e.executor_id
    ) THEN 'gone' WHEN h.state = 'late' AND e.executor_id IN (SELECT s.executor_id FROM powertools.silent_executors s) THEN 'silent' ELSE h.state END AS state, e.aside, e.aside_since
  FROM powertools.executors e
  JOIN powertools.executor_health_v1() h ON h.executor_id = e.executor_id
)
SELECT
  j.id, j.state::text, j.queue, j.worker, j.attempt, j.max_attempts, powertools.told_error_v1(j.errors -> -1) AS error,
  j.scheduled_at AT TIME ZONE 'UTC' AS scheduled_at, j.attempted_at AT TIME ZONE 'UTC' AS attempted_at,
  j.attempted_by[1] AS node, e.executor_id, e.seconds AS beat_seconds, (
    SELECT powertools.missing_in_v1(x) FROM powertools.executors x WHERE x.executor_id = e.executor_id
  ) AS missing_in, coalesce(e.aside, 0) AS aside, e.aside_since,
  coalesce(e.seen_at, o.updated_at AT TIME ZONE 'UTC') AS executor_seen_at,
  CASE WHEN j.state = 'executing' THEN coalesce(
    e.state, CASE WHEN o.updated_at > timezone('UTC', now()) - interval '60 seconds' THEN 'healthy' ELSE 'unknown' END
  ) END AS executor_state,
  EXISTS (
    SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
  ) AS left_to_operator,
  q.at AS quarantine_at, q.crashes AS quarantine_crashes, q.executor_id AS quarantine_executor_id,
  j.meta ?& ARRAY['position', 'uid'] AS of_a_step, s.workflow_id, s.name AS step, s.effects, s.held_until,
  f.state AS fault_state, f.message AS fault_message, f.sqlstate AS fault_sqlstate, f.faults AS fault_faults,
  f.first_fault_at AS fault_first_fault_at, f.last_fault_at AS fault_last_fault_at,
  h.lock_pid, h.lock_session, h.lock_since, now() AS now
FROM public.oban_jobs j
LEFT JOIN holding h ON h.xid = j.xmax
LEFT JOIN judged e ON j.state = 'executing' AND e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
LEFT JOIN public.oban_producers o ON o.uuid::text = j.attempted_by[2]
LEFT JOIN LATERAL (
  SELECT r.at, r.crashes, r.executor_id FROM powertools.rescues r
  WHERE j.state = 'suspended' AND r.job_id = j.id AND r.action = 'quarantined' ORDER BY r.id DESC LIMIT 1
) AS q ON true
LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
LEFT JOIN powertools.settle_faults f ON f.job_id = j.id AND f.repaired_at IS NULL
WHERE j.id = ANY (%(ids)s::bigint[])
ORDER BY j.id;

-- name: explain_queues
-- Args: queues (text[]).
-- Rows: queue, executors, paused, places, running, as powertools.queue_facts_v1 says; paused_by, pause_reason, paused_at (of a
--   paused one, where the audit says so: the last that was told is a pause); by queue. Index: audit_target.
SELECT q.queue, q.executors, q.paused, q.places, q.running, a.actor_id AS paused_by, a.reason AS pause_reason, a.at AS paused_at
FROM powertools.queue_facts_v1(%(queues)s::text[]) AS q
LEFT JOIN LATERAL (
  SELECT l.action, l.actor_id, l.reason, l.at FROM powertools.audit l
  WHERE q.paused > 0 AND l.target_type = 'queue' AND l.target_id = q.queue AND l.outcome = 'executed'
    AND l.action IN ('queue_pause', 'queue_resume')
  ORDER BY l.id DESC LIMIT 1
) AS a ON a.action = 'queue_pause'
ORDER BY q.queue;

-- name: explain_incidents
-- The open incidents that concern these subjects: steps, whole workflows (position NULL), plain jobs (workflow_id NULL).
-- Args: workflow_ids, job_ids (bigint[]), positions (int[]): one entry a subject; page (int, rows).
-- Rows: id, fingerprint, incident_class, status, state, title, subject_type, subject_id, opened_at; subject (the first that it
--   concerns, counted from 1); late_result_id and adoptable of a late result; signal_id of a stored signal that looks
--   like its wait; queue, resumable and scale_to of one about a queue. By subject, then the last opened first.
-- Index: incidents_open, incident_fingerprint; the primary keys.
SELECT f.*
FROM (
  SELECT DISTINCT ON (i.id) i.id, i.fingerprint, i.class AS incident_class,
    powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS status, i.state, i.title,
    i.subject_type, i.subject_id, i.opened_at, c.subject, l.id AS late_result_id, l.adoptable, g.id AS signal_id,
    q.queue, q.resumable, q.scale_to
  FROM powertools.incidents_concerning_v1(%(workflow_ids)s::bigint[], %(positions)s::int[], %(job_ids)s::bigint[]) AS c
  JOIN powertools.incidents i ON i.id = c.incident_id
  LEFT JOIN LATERAL (
    SELECT r.id, powertools.is_adoptable_v1(r, j.state::text, s.state) AS adoptable
    FROM powertools.late_results r
    JOIN public.oban_jobs j ON j.id = r.job_id
    LEFT JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position AND powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE r.job_id = c.job_id AND r.adopted_at IS NULL AND r.dismissed_at IS NULL
      AND coalesce(r.attempted_by[1], '?') = i.evidence ->> 'node' AND coalesce(r.attempted_by[2], '?') = i.evidence ->> 'producer'
    ORDER BY r.id LIMIT 1
  ) AS l ON true
  LEFT JOIN powertools.steps k
    ON i.evidence ? 'alike' AND k.workflow_id = (%(workflow_ids)s::bigint[])[c.subject]
    AND k.position = (%(positions)s::int[])[c.subject]
  LEFT JOIN powertools.signals g ON g.status = 'stored' AND g.id = powertools.alike_signal_v1(i.evidence, k.wait_id)
  LEFT JOIN LATERAL powertools.queue_remedies_v1(i) AS q ON i.subject_type IN ('queue', 'webhook')
  ORDER BY i.id, c.subject
) AS f
ORDER BY f.subject, f.opened_at DESC, f.id
LIMIT %(page)s;
