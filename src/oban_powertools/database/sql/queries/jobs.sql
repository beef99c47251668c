-- Jobs as operators look for them, of steps or plain.

-- name: find_jobs
-- Args: filters (jsonb text), before (bigint or NULL: only smaller ids), page (int, rows); as powertools.find_jobs_v1.
-- Rows: one; ids (bigint[], newest first), searched (int or NULL), reached (bigint or NULL). Index: as that.
SELECT f.ids, f.searched, f.reached FROM powertools.find_jobs_v1(%(filters)s::jsonb, %(before)s::bigint, %(page)s::int) AS f;

-- name: jobs_of_word
-- Args: ids (bigint[]); word (the operator's).
-- Rows: id; those that have this word in powertools.listed_jobs_v1, newest first. Index: the primary keys.
WITH jobs AS MATERIALIZED (
  SELECT j.id, j.state, j.queue, j.attempt >= j.max_attempts AS exhausted, j.errors -> -1 AS error,
    s.workflow_id, s.position, s.state AS own_state, s.job_id = j.id AS is_its_job, s.finished_at AS ended_at
  FROM public.oban_jobs j
  LEFT JOIN powertools.steps s
    ON s.workflow_id = powertools.workflow_of_v1(j.meta) AND s.position = powertools.position_of_v1(j.meta) AND j.meta ? 'uid'
  WHERE j.id = ANY (%(ids)s::bigint[])
), stuck AS MATERIALIZED (
  SELECT powertools.stuck_queues(ARRAY(SELECT DISTINCT j.queue FROM jobs j)) AS queues, EXISTS (SELECT FROM powertools.holding_sessions()) AS locked
  WHERE %(word)s::text = 'Blocked'
), worded AS MATERIALIZED (
  SELECT w.workflow_id, w.position, w.word
  FROM (
    SELECT coalesce(array_agg(j.workflow_id), '{}') AS ids, coalesce(array_agg(j.position), '{}') AS positions
    FROM jobs j
    WHERE j.is_its_job AND j.ended_at IS NULL AND CASE %(word)s::text
      WHEN 'Needs Review' THEN powertools.may_need_review(j.own_state, j.id, j.state::text, j.exhausted, j.error)
      WHEN 'Blocked' THEN j.state = 'executing' OR (SELECT s.locked OR j.queue = ANY (s.queues) FROM stuck s)
      ELSE true
    END
  ) AS a, powertools.leaf_words(a.ids, a.positions) AS w
)
SELECT j.id
FROM jobs j
LEFT JOIN worded w ON j.is_its_job AND w.workflow_id = j.workflow_id AND w.position = j.position
WHERE %(word)s::text = CASE
  WHEN j.is_its_job AND j.ended_at IS NOT NULL OR j.is_its_job IS NOT TRUE AND j.state IN ('completed', 'discarded', 'cancelled') THEN 'Finished'
  ELSE w.word
END
ORDER BY j.id DESC;

-- name: list_jobs
-- Args: ids (bigint[]).
-- Rows: as powertools.listed_jobs_v1; newest first. Index: the primary keys.
SELECT
  l.id, l.status, l.state, l.blocker, l.queue, l.worker, l.attempt, l.max_attempts, l.priority, l.tags, l.workflow_id, l.step, l.node,
  l.error, l.inserted_at, l.scheduled_at, l.attempted_at, l.finished_at
FROM powertools.listed_jobs_v1(%(ids)s::bigint[]) AS l;

-- name: get_job
-- Args: id (bigint).
-- Rows: none, or one; as list_jobs, and args, meta, errors (jsonb: attempt, at, summary, error of each; the newest first, at most 20).
-- Index: the primary keys.
SELECT
  l.id, l.status, l.state, l.blocker, l.queue, l.worker, l.attempt, l.max_attempts, l.priority, l.tags, l.workflow_id, l.step, l.node,
  l.error, l.inserted_at, l.scheduled_at, l.attempted_at, l.finished_at, j.args, j.meta, e.errors
FROM powertools.listed_jobs_v1(ARRAY[%(id)s::bigint]) AS l
JOIN public.oban_jobs j ON j.id = l.id
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_agg(jsonb_build_object(
    -- other tools write errors too
    'attempt', CASE WHEN jsonb_typeof(x.error -> 'attempt') = 'number' THEN x.error -> 'attempt' END,
    'at', substring(x.error ->> 'at' FROM E'^\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,6})?(?=(?:Z|\\+00:00)?$)') || '+00:00',
    'summary', powertools.error_summary_v1(x.error),
    'error', coalesce(powertools.told_error_v1(x.error) ->> 'error', '')
  ) ORDER BY x.place DESC), '[]') AS errors
  FROM (
    SELECT a.error, a.place
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(j.errors) = 'array' THEN j.errors ELSE '[]' END) WITH ORDINALITY AS a (error, place)
    ORDER BY a.place DESC LIMIT 20
  ) AS x
) AS e;

-- name: count_jobs
-- Args: queue (text or NULL: all), most (int: counts no further).
-- Rows: state (text), jobs; a state. Index: oban_jobs by state and queue.
SELECT s.state::text AS state, c.jobs
FROM unnest(enum_range(NULL::public.oban_job_state)) AS s (state)
CROSS JOIN LATERAL (
  SELECT count(*) AS jobs FROM (
    SELECT FROM public.oban_jobs j
    WHERE j.state = s.state AND (%(queue)s::text IS NULL OR j.queue = %(queue)s::text) LIMIT %(most)s::int
  ) AS counted
) AS c;

-- name: task_job
-- A job that is a task of Django's.
-- Args: id, worker.
-- Rows: one or none; finished_at is NULL until it has ended. Instants with a time zone.
SELECT j.id, j.state::text AS state, j.args, j.meta, j.errors, j.attempt, j.attempted_by,
  j.inserted_at AT TIME ZONE 'UTC' AS inserted_at, j.attempted_at AT TIME ZONE 'UTC' AS attempted_at,
  coalesce(j.completed_at, j.discarded_at, j.cancelled_at) AT TIME ZONE 'UTC' AS finished_at
FROM public.oban_jobs j
WHERE j.id = %(id)s::bigint AND j.worker = %(worker)s::text;
