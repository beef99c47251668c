-- name: bound_reading
-- For the rest of the transaction: give up in time, and never scan a whole table.
-- Args: limit (text with its unit, as in 5s).
SELECT set_config('statement_timeout', %(limit)s::text, true), set_config('enable_seqscan', 'off', true),
  set_config('jit', 'off', true);

-- name: tally
-- Counts a page of the log, whole batches. A hop is measured on steps that completed at their first attempt and waited
-- for no delay or instant: from the release of the job to its start.
-- Args: since (bigint, exclusive, the end of a
-- batch; NULL begins at the end of the log); page (int, events);   bounds (float[], seconds, ascending).
-- Rows: at least one; upto (cursor up to which it is counted), head, change (NULL when there is nothing), outcome (of
--   finished), bucket (0 .. number of bounds, NULL where no hop is told), events, seconds (sum of the hops).
-- Index: event_batches by last_cursor, then primary keys.
WITH since AS (
  SELECT greatest(coalesce(%(since)s::bigint, l.head), l.pruned_to) AS cursor, l.head FROM powertools.event_log l
), upto AS (
  SELECT s.head, s.cursor AS since, coalesce(
    (
      SELECT b.last_cursor FROM powertools.event_batches b
      WHERE b.last_cursor > s.cursor AND b.last_cursor <= s.cursor + %(page)s::int ORDER BY b.last_cursor DESC LIMIT 1
    ),
    (SELECT b.last_cursor FROM powertools.event_batches b WHERE b.last_cursor > s.cursor ORDER BY b.last_cursor LIMIT 1),
    s.cursor
  ) AS cursor
  FROM since s
)
SELECT u.cursor AS upto, u.head, c.change, c.outcome, c.bucket, c.events, c.seconds
FROM upto u
LEFT JOIN LATERAL (
  SELECT e.change, e.outcome, width_bucket(h.seconds, %(bounds)s::float[]) AS bucket, count(*) AS events,
    sum(h.seconds) AS seconds
  FROM powertools.event_batches b
  CROSS JOIN LATERAL unnest(b.workflow_ids, b.first_numbers, b.last_numbers) AS n (workflow_id, first, last)
  CROSS JOIN LATERAL (
    SELECT e.workflow_id, e.position, e.change, e.attempt, CASE e.change WHEN 'finished' THEN e.state END AS outcome
    FROM powertools.events e
    WHERE e.workflow_id = n.workflow_id AND e.number BETWEEN n.first AND n.last OFFSET 0
  ) AS e
  LEFT JOIN LATERAL (
    SELECT extract(epoch FROM s.started_at - s.released_at)::float AS seconds
    FROM powertools.steps s
    WHERE s.workflow_id = e.workflow_id AND s.position = e.position AND s.kind = 'job' AND s.depth > 0
      AND s.delay IS NULL AND s.scheduled_at IS NULL
    OFFSET 0
  ) AS h ON e.change = 'completed' AND e.attempt = 1
  WHERE b.last_cursor > u.since AND b.last_cursor <= u.cursor
  GROUP BY 1, 2, 3
) AS c ON true;

-- name: backlog
-- Open steps by state, counted through their jobs, waits and workflows; each count stops at a limit.
-- Args: most (int): rows looked at in each state.
-- Rows: state, steps, oldest_seconds (since the oldest available job could start; NULL in other states).
-- Index: oban_jobs by state, workflows_unfinished, waits_waiting.
WITH jobs AS (
  SELECT s.state, j.steps, j.oldest_seconds
  FROM unnest('{available,scheduled,executing,retryable,suspended}'::text[]) AS s (state)
  CROSS JOIN LATERAL (
    SELECT count(*) AS steps,
      extract(epoch FROM timezone('UTC', now()) - min(
        -- as due_since_v1 has it, which is asked only of those that were fetched before: a call a row is most of the time
        CASE WHEN f.attempted_at IS NULL THEN greatest(f.scheduled_at, f.inserted_at)
          ELSE powertools.due_since_v1(f.id, f.scheduled_at, f.inserted_at, f.attempted_at) END
      ) FILTER (WHERE s.state = 'available'))::float AS oldest_seconds
    FROM (
      SELECT o.meta, o.id, o.scheduled_at, o.inserted_at, o.attempted_at FROM public.oban_jobs o
      WHERE o.state = s.state::public.oban_job_state LIMIT %(most)s::int
    ) AS f
    WHERE f.meta ? 'position' AND f.meta ? 'uid'
  ) AS j
), waits AS (
  SELECT count(*) AS steps
  FROM (SELECT FROM powertools.waits w WHERE w.state = 'waiting' LIMIT %(most)s::int) AS w
), unfinished AS (
  SELECT coalesce(sum(w.open), 0) AS open, count(s.state) AS started
  FROM (
    SELECT w.open, w.parent_id, w.parent_position FROM powertools.workflows w
    WHERE w.state IN ('running', 'cancel_requested') LIMIT %(most)s::int
  ) AS w
  LEFT JOIN LATERAL (
    SELECT s.state FROM powertools.steps s
    WHERE s.workflow_id = w.parent_id AND s.position = w.parent_position AND s.state = 'executing' OFFSET 0
  ) AS s ON true
)
SELECT j.state, j.steps + CASE j.state WHEN 'executing' THEN u.started ELSE 0 END AS steps, j.oldest_seconds
FROM jobs j CROSS JOIN unfinished u
UNION ALL
SELECT 'awaiting_signal', w.steps, NULL FROM waits w
UNION ALL
SELECT 'pending', greatest(0, u.open - u.started - w.steps - (SELECT sum(j.steps) FROM jobs j)), NULL
FROM unfinished u CROSS JOIN waits w;

-- name: open_workflows
-- Args: most (int): rows looked at.
-- Rows: state, workflows; only of states that some have. Index: workflows_unfinished.
SELECT w.state, count(*) AS workflows
FROM (
  SELECT w.state FROM powertools.workflows w WHERE w.state IN ('running', 'cancel_requested') LIMIT %(most)s::int
) AS w
GROUP BY w.state;

-- name: event_log_state
-- Rows: one; head (cursor), lag_seconds (age of the oldest batch without its place; 0 when all have theirs).
-- Index: event_batches_unplaced.
SELECT l.head, coalesce((
  SELECT extract(epoch FROM clock_timestamp() - b.inserted_at)::float FROM powertools.event_batches b
  WHERE b.last_cursor IS NULL ORDER BY b.id LIMIT 1
), 0) AS lag_seconds
FROM powertools.event_log l;

-- name: open_settle_faults
-- Args: most (int): rows looked at.
-- Rows: one; faults. Index: settle_faults_open.
SELECT count(*) AS faults
FROM (SELECT FROM powertools.settle_faults f WHERE f.repaired_at IS NULL LIMIT %(most)s::int) AS f;

-- name: count_outcomes_aside
-- Outcomes that executors have set aside, of those that have not stopped.
-- Rows: one; aside, oldest_seconds (0 when there are none).
SELECT coalesce(sum(e.aside), 0)::bigint AS aside,
  coalesce(extract(epoch FROM clock_timestamp() - min(e.aside_since)), 0)::float AS oldest_seconds
FROM powertools.executors e
WHERE e.aside > 0 AND e.stopped_at IS NULL;

-- name: count_incidents
-- Incidents that are not resolved.
-- Rows: class, incidents; every class.
-- Index: incidents_open.
SELECT c.name AS class, (
  SELECT count(*) FROM powertools.incidents i WHERE i.class = c.name AND i.state <> 'resolved'
) AS incidents
FROM powertools.incident_classes c ORDER BY c.name;
