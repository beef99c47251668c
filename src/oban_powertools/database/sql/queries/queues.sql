-- Queues as operators see them. Counts stop at 10,000, so that a long queue is as quick to look at as a short one.

-- name: list_queues
-- Args: names (text[] or NULL for all that have a producer, an executor or jobs that have not ended).
-- Rows: name, status, available, scheduled, retryable, executing (jobs, at most 10,000 each), oldest_due_at (since when a job
--   could run), executors, paused (of them), places (NULL: unlimited or unknown), running; by name.
-- Index: oban_jobs by state and queue, one look-up a queue and state; the producers are few.
WITH RECURSIVE stocked (state, queue) AS (
  (
    SELECT s.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = s.state ORDER BY j.queue LIMIT 1)
    FROM unnest('{available,scheduled,retryable,executing}'::public.oban_job_state[]) AS s (state)
    WHERE %(names)s::text[] IS NULL
  )
  UNION ALL
  SELECT q.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = q.state AND j.queue > q.queue ORDER BY j.queue LIMIT 1)
  FROM stocked q WHERE q.queue IS NOT NULL
), named AS (
  SELECT q.queue FROM stocked q WHERE q.queue IS NOT NULL
  UNION
  SELECT o.queue FROM public.oban_producers o
  WHERE %(names)s::text[] IS NULL AND o.updated_at > timezone('UTC', now()) - interval '60 seconds'
  UNION
  SELECT u.queue FROM unnest(%(names)s::text[]) AS u (queue)
), facts AS MATERIALIZED (
  SELECT f.* FROM powertools.queue_facts_v1(ARRAY(SELECT n.queue FROM named n)) AS f
)
SELECT f.queue AS name, CASE
    WHEN f.executors = 0 THEN CASE WHEN c.available + c.scheduled + c.retryable + c.executing > 0 THEN 'Blocked' ELSE 'Finished' END
    WHEN f.paused = f.executors THEN 'Blocked'
    WHEN f.running > 0 THEN 'Running'
    ELSE 'Runnable'
  END AS status,
  c.*, f.executors, f.paused, f.places, f.running
FROM facts f
CROSS JOIN LATERAL (
  SELECT
    (SELECT count(*) FROM (SELECT FROM public.oban_jobs j WHERE j.state = 'available' AND j.queue = f.queue LIMIT 10000) AS n) AS available,
    (SELECT count(*) FROM (SELECT FROM public.oban_jobs j WHERE j.state = 'scheduled' AND j.queue = f.queue LIMIT 10000) AS n) AS scheduled,
    (SELECT count(*) FROM (SELECT FROM public.oban_jobs j WHERE j.state = 'retryable' AND j.queue = f.queue LIMIT 10000) AS n) AS retryable,
    (SELECT count(*) FROM (SELECT FROM public.oban_jobs j WHERE j.state = 'executing' AND j.queue = f.queue LIMIT 10000) AS n) AS executing,
    (
      -- of the first 100 of each priority: one that was rescued is due since then, and stands before those that wait longer
      SELECT min(powertools.due_since_v1(d.id, d.scheduled_at, d.inserted_at, d.attempted_at)) AT TIME ZONE 'UTC'
      FROM generate_series(0, 9) AS p (priority)
      CROSS JOIN LATERAL (
        SELECT j.id, j.scheduled_at, j.inserted_at, j.attempted_at FROM public.oban_jobs j
        WHERE j.state = 'available' AND j.queue = f.queue AND j.priority = p.priority ORDER BY j.scheduled_at LIMIT 100
      ) AS d
    ) AS oldest_due_at
) AS c
ORDER BY f.queue;

-- name: list_queue_producers
-- Args: queue (text).
-- Rows: name (of its Oban), node, producer, paused, places (NULL: it does not say), running, started_at, refreshed_at; of those that are at work.
SELECT o.name, o.node, o.uuid::text AS producer, o.meta -> 'paused' = 'true' AS paused,
  CASE WHEN jsonb_typeof(o.meta -> 'local_limit') = 'number' THEN (o.meta ->> 'local_limit')::int END AS places,
  (
    SELECT count(*) FROM public.oban_jobs j
    WHERE j.state = 'executing' AND j.queue = o.queue AND j.attempted_by[2] = o.uuid::text
  ) AS running,
  o.started_at AT TIME ZONE 'UTC' AS started_at, o.updated_at AT TIME ZONE 'UTC' AS refreshed_at
FROM powertools.producers_at_work o
WHERE o.queue = %(queue)s::text
ORDER BY o.node, o.uuid;

-- name: list_queue_holders
-- Args: queue (text), page (int).
-- Rows: job_id, worker, node, workflow_id and step (NULL: a plain job), attempt, since; the longest first.
SELECT j.id AS job_id, j.worker, j.attempted_by[1] AS node, s.workflow_id, s.name AS step, j.attempt,
  j.attempted_at AT TIME ZONE 'UTC' AS since
FROM public.oban_jobs j
LEFT JOIN powertools.steps s
  ON s.workflow_id = powertools.workflow_of_v1(j.meta) AND powertools.is_its_job_v1(s, j.id, j.meta)
WHERE j.state = 'executing' AND j.queue = %(queue)s::text
ORDER BY j.attempted_at, j.id
LIMIT %(page)s::int;

-- name: signal_queue
-- Tells Oban's producers, by the signal of its own that its pause_queue, resume_queue and scale_queue send.
-- Args: signal (jsonb text).
SELECT powertools.notify_v1('public.oban_signal', %(signal)s::jsonb::text);
