-- The history of one workflow, from the events, the audit, signals, incidents and rescues that are kept.

-- name: history_bounds
-- Args: workflow_id (bigint), step (text or NULL).
-- Rows: none, or one; known_step (bool), began_at, first_number (of the oldest event that is kept; NULL without any), known_from (when it
--   was), jobs_gone (steps whose job is gone). Index: the primary keys, step_name_unique.
SELECT
  %(step)s::text IS NULL OR EXISTS (
    SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.name = %(step)s::text
  ) AS known_step, w.inserted_at AS began_at, e.number AS first_number, e.at AS known_from,
  (
    SELECT count(*) FROM powertools.steps s
    WHERE s.workflow_id = w.id AND s.job_id IS NOT NULL AND (%(step)s::text IS NULL OR s.name = %(step)s::text)
      AND NOT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position))
  ) AS jobs_gone
FROM powertools.workflows w
LEFT JOIN LATERAL (
  SELECT e.number, e.at FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number LIMIT 1
) AS e ON true
WHERE w.id = %(workflow_id)s::bigint;

-- name: history_entries
-- Args: workflow_id (bigint), step (text or NULL: the workflow and all of its steps), at (timestamptz), rank (int) and id (bigint)
--   of the last entry of the page before (NULL: the first page), page (int, rows).
-- Rows: at, rank, id, kind, change, step, status (NULL without a state), state, generation, attempt, job_id, phase, goes_on, lasts_for
--   (interval), node, actor, outcome, reason, error, detail; by at,
--   rank and id. Index: the primary keys, waits_workflow, signals_wait, signals_stored, audit_workflow, audit_target,
--   incident_entries_incident, rescues_job.
-- A command is recorded at the end of its transaction, after what it did: it stands where its first effect does, before it. That
-- is the first of the workflow's events and rescues that were written since the transaction of its record began to write, and before the
-- record: whoever writes them holds the workflow's lock. Rows of a restored dump do not say who wrote them; there the oldest
-- event that is kept seems to be an effect as well.
WITH workflow AS MATERIALIZED (
  SELECT w.id, w.inserted_at, w.finished_at, w.state, w.generation FROM powertools.workflows w WHERE w.id = %(workflow_id)s::bigint
), steps AS MATERIALIZED (
  SELECT s.position, s.name, s.job_id FROM powertools.steps s
  WHERE s.workflow_id = %(workflow_id)s::bigint AND (%(step)s::text IS NULL OR s.name = %(step)s::text)
), jobs AS MATERIALIZED (
  SELECT s.job_id, s.name FROM steps s WHERE s.job_id IS NOT NULL
  UNION
  SELECT e.job_id, s.name FROM powertools.events e JOIN steps s ON s.position = e.position
  WHERE e.workflow_id = %(workflow_id)s::bigint AND e.job_id IS NOT NULL
), acts AS MATERIALIZED (
  SELECT a.*, a.xmin::text::bigint AS marker, NULL::bigint AS job_id FROM powertools.audit a
  WHERE a.workflow_id = %(workflow_id)s::bigint AND a.action <> 'preview_repair' AND (%(step)s::text IS NULL OR a.step = %(step)s::text)
), written AS MATERIALIZED (
  -- a start is told when it is read, whoever reads it
  SELECT e.xmin AS version, min(e.at) AS at FROM powertools.events e
  WHERE e.workflow_id = %(workflow_id)s::bigint AND e.change <> 'started' AND EXISTS (SELECT FROM acts) GROUP BY e.xmin
  UNION ALL
  SELECT r.xmin, r.at FROM jobs j JOIN powertools.rescues r ON r.job_id = j.job_id WHERE EXISTS (SELECT FROM acts)
), oldest AS MATERIALIZED (
  SELECT e.xmin AS version FROM powertools.events e WHERE e.workflow_id = %(workflow_id)s::bigint ORDER BY e.number LIMIT 1
), entries AS (
  SELECT w.inserted_at AS at, 0 AS rank, 0::bigint AS id, 'workflow' AS kind, 'inserted' AS change, NULL::text AS step,
    NULL::text AS state, NULL::int AS generation, NULL::int AS attempt, NULL::bigint AS job_id, NULL::text AS phase, w.finished_at AS until,
    NULL::text AS node, NULL::text AS actor, NULL::text AS outcome, NULL::text AS reason, NULL::text AS error, '{}'::jsonb AS detail
  FROM workflow w WHERE %(step)s::text IS NULL
  UNION ALL
  SELECT e.at, 1, e.number, 'workflow', 'finished', NULL, e.state, e.generation, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    jsonb_build_object('generation', e.generation)
  FROM powertools.events e
  WHERE e.workflow_id = %(workflow_id)s::bigint AND e.position IS NULL AND %(step)s::text IS NULL
  UNION ALL
  SELECT p.at, 1, CASE WHEN p.kept THEN p.number ELSE -p.position::bigint * 3 + p.number END, 'step', p.change, p.step, p.state,
    p.generation, p.attempt, p.job_id, p.phase, p.until, p.node, NULL, NULL, NULL, p.error, '{}'
  FROM powertools.step_phases_v2(
    %(workflow_id)s::bigint, CASE WHEN %(step)s::text IS NOT NULL THEN ARRAY[%(step)s::text] END
  ) AS p
  WHERE p.change IS NOT NULL
  UNION ALL
  -- those that it took, those that name it, and those of the name and key of a wait of its that nobody took
  SELECT g.inserted_at, 2, g.id, 'signal', g.status, g.step, NULL, NULL, NULL, NULL, NULL, g.consumed_at, NULL, NULL, NULL, NULL, NULL,
    jsonb_build_object('signal', g.signal, 'correlation_key', g.correlation_key)
  FROM (
    SELECT g.*, s.name AS step FROM powertools.waits v
    JOIN steps s ON s.position = v.position
    JOIN powertools.signals g ON g.wait_id = v.id AND g.wait_id IS NOT NULL
    WHERE v.workflow_id = %(workflow_id)s::bigint
    UNION
    SELECT g.*, NULL FROM powertools.signals g
    WHERE g.workflow_id = %(workflow_id)s::bigint AND g.status = 'stored' AND %(step)s::text IS NULL
    UNION
    SELECT g.*, s.name FROM powertools.waits v
    JOIN steps s ON s.position = v.position
    JOIN powertools.signals g ON g.signal = v.signal AND g.correlation_key = v.correlation_key AND g.status IN ('late', 'ambiguous', 'duplicate')
    WHERE v.workflow_id = %(workflow_id)s::bigint AND (g.workflow_id IS NULL OR g.workflow_id = v.workflow_id)
      AND g.inserted_at >= (SELECT w.inserted_at FROM workflow w)
  ) AS g
  UNION ALL
  SELECT a.at, 0, a.id, 'command', a.action, a.step, NULL, NULL, NULL, CASE a.target_type WHEN 'job' THEN a.job_id END, NULL, NULL, NULL,
    CASE a.actor_type WHEN 'system' THEN NULL ELSE a.actor_id END, a.outcome, a.reason, NULL,
    CASE jsonb_typeof(a.details) WHEN 'object' THEN a.details ELSE '{}' END
  FROM (
    SELECT coalesce((
      SELECT min(w.at) FROM written w, oldest o
      WHERE a.outcome = 'executed' AND w.at <= a.at AND w.at > a.at - interval '1 min'
        AND powertools.is_since(w.version, a.marker) AND NOT powertools.is_since(o.version, a.marker)
    ), a.at) AS at, a.id, a.action, a.step, a.target_type, a.actor_type, a.actor_id, a.outcome, a.reason, a.details, a.job_id
    FROM acts a
    UNION ALL
    -- what Powertools did by itself says only its target
    SELECT a.at, a.id, a.action, a.step, a.target_type, a.actor_type, a.actor_id, a.outcome, a.reason, a.details, t.job_id
    FROM (
      SELECT 'step' AS of, %(workflow_id)s::bigint || '/' || s.name AS id, NULL::bigint AS job_id FROM steps s
      UNION ALL
      SELECT 'job', j.job_id::text, j.job_id FROM jobs j
      UNION ALL
      SELECT 'workflow', (%(workflow_id)s::bigint)::text, NULL WHERE %(step)s::text IS NULL
    ) AS t
    JOIN powertools.audit a ON a.target_type = t.of AND a.target_id = t.id
    WHERE a.workflow_id IS NULL AND a.action <> 'preview_repair' AND NOT a.details ? 'rescue_id' AND a.at >= (SELECT w.inserted_at FROM workflow w)
  ) AS a
  UNION ALL
  SELECT r.at, 4, r.id, 'rescue', powertools.became_v1(r), j.name, NULL, NULL, r.attempt, r.job_id, NULL, NULL, r.attempted_by[1], NULL, NULL, NULL, NULL,
    jsonb_build_object('why', r.why, 'executor_id', r.executor_id)
  FROM jobs j JOIN powertools.rescues r ON r.job_id = j.job_id
  WHERE r.at >= (SELECT w.inserted_at FROM workflow w)
  UNION ALL
  SELECT l.at, 5, l.id, 'late_result', l.state, j.name, NULL, NULL, l.attempt, l.job_id, NULL, NULL, l.attempted_by[1], NULL, NULL, NULL, NULL, '{}'
  FROM jobs j JOIN powertools.late_results l ON l.job_id = j.job_id
  WHERE l.at >= (SELECT w.inserted_at FROM workflow w)
  UNION ALL
  SELECT e.at, 6, e.id, 'incident', e.kind, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.actor, NULL, e.detail ->> 'reason', NULL,
    jsonb_build_object('incident_id', i.id, 'class', i.class, 'title', coalesce((
      -- as it was by then
      SELECT b.detail ->> 'title' FROM powertools.incident_entries b
      WHERE b.incident_id = i.id AND b.id <= e.id AND b.detail ? 'title' ORDER BY b.id DESC LIMIT 1
    ), i.title))
  FROM powertools.incidents_of_v2(%(workflow_id)s::bigint, %(step)s::text) AS c
  JOIN powertools.incidents i ON i.id = c.incident_id
  JOIN LATERAL (
    SELECT e.*, count(*) FILTER (WHERE e.kind = 'reopened') OVER (ORDER BY e.id) AS phase
    FROM powertools.incident_entries e WHERE e.incident_id = i.id
  ) AS e ON e.phase = c.phase
  WHERE e.at >= (SELECT w.inserted_at FROM workflow w) OR e.kind IN ('detected', 'reopened')
  UNION ALL
  SELECT c.inserted_at, 7, c.generation, 'callback', CASE WHEN j.id IS NOT NULL THEN j.state::text WHEN c.ended_at IS NULL THEN 'job_deleted' ELSE c.state END,
    NULL, NULL, c.generation, coalesce(j.attempt, c.attempt), c.job_id, NULL, coalesce(c.ended_at, timezone('UTC', coalesce(j.completed_at, j.discarded_at, j.cancelled_at))),
    NULL, NULL, NULL, NULL, powertools.error_summary_v1(coalesce(j.errors -> -1, c.error)), jsonb_build_object('worker', c.worker)
  FROM powertools.callbacks c
  LEFT JOIN public.oban_jobs j ON j.id = c.job_id AND powertools.ended_workflow_of_v1(j.meta) = c.workflow_id
  WHERE c.workflow_id = %(workflow_id)s::bigint AND %(step)s::text IS NULL
)
SELECT e.at, e.rank, e.id, e.kind, e.change, e.step, CASE
    WHEN e.change = 'lost' THEN 'Blocked'
    WHEN e.state IS NOT NULL THEN powertools.event_word_v1(e.state, e.job_id)
  END AS status, e.state, e.generation,
  e.attempt, e.job_id, e.phase, g.goes_on,
  CASE WHEN g.goes_on THEN clock_timestamp() ELSE e.until END - e.at AS lasts_for, e.node, e.actor, e.outcome, e.reason, e.error, e.detail
FROM entries e
CROSS JOIN LATERAL (
  SELECT e.until IS NULL AND (
    e.phase IS NOT NULL OR e.change IN ('inserted', 'stored')
    OR e.kind = 'callback' AND e.change NOT IN ('completed', 'discarded', 'cancelled', 'job_deleted')
  ) AS goes_on
) AS g
WHERE %(at)s::timestamptz IS NULL OR (e.at, e.rank, e.id) > (%(at)s::timestamptz, %(rank)s::int, %(id)s::bigint)
ORDER BY e.at, e.rank, e.id
LIMIT %(page)s::int;

-- name: history_times
-- Args: workflow_id (bigint), steps (text[]: only these).
-- Rows: step, dependencies_for, time_for, queue_for, signal_for, work_for, rescue_for, retry_for (seconds), attempts, phase (it is in; NULL: it has ended), since, whole
--   (bool: all that it did is known); by position. Index: as step_phases_v2.
SELECT p.step,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'dependencies'), 0)::float8 AS dependencies_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'time'), 0)::float8 AS time_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'queue'), 0)::float8 AS queue_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'signal'), 0)::float8 AS signal_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'work'), 0)::float8 AS work_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'rescue'), 0)::float8 AS rescue_for,
  coalesce(sum(n.seconds) FILTER (WHERE p.phase = 'retry'), 0)::float8 AS retry_for,
  count(*) FILTER (WHERE p.change = 'started')::int AS attempts,
  max(p.phase) FILTER (WHERE p.until IS NULL) AS phase, max(p.at) FILTER (WHERE p.until IS NULL) AS since,
  bool_and(p.kept OR p.change IS NULL) AS whole
FROM powertools.step_phases_v2(%(workflow_id)s::bigint, %(steps)s::text[]) AS p
CROSS JOIN LATERAL (SELECT extract(epoch FROM coalesce(p.until, clock_timestamp()) - p.at) AS seconds) AS n
GROUP BY p.step, p.position
ORDER BY p.position;
