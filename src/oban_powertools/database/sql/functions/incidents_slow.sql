-- Incidents about work that takes too long although an executor works on it: attempts that hang (hung_jobs), queues
-- whose due jobs wait (queue_late).
--
-- Rules: incidents/N2, N3, on docs/design/rules.md.

-- A span of time in words, for titles.
CREATE OR REPLACE FUNCTION powertools.span_in_words(span interval) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN s.seconds >= 7200 THEN round(s.seconds / 3600) || ' h'
    WHEN s.seconds >= 120 THEN round(s.seconds / 60) || ' min'
    WHEN s.seconds >= 1 THEN round(s.seconds) || ' s'
    ELSE 'less than 1 s'
  END
  FROM (SELECT extract(epoch FROM span)) AS s (seconds)
$$;

-- Whether a queue is served, as every screen says it (executors/R7): an executor works on it that is not silent, or a producer
-- of Oban's that is none of ours.
CREATE OR REPLACE FUNCTION powertools.is_served(of_queue text) RETURNS bool
LANGUAGE sql STABLE
AS $$ SELECT f.executors > 0 FROM powertools.queue_facts_v1(ARRAY[of_queue]) AS f $$;

-- The part of a late executor's evidence about a blocked event loop: its process, and the stack that blocks it, if the
-- process reported these.
CREATE OR REPLACE FUNCTION powertools.blocked_by(of_executor text, blocked bool) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object('pid', e.pid, 'stacks', (
    SELECT jsonb_build_array(t.entry - 'blocks_loop') FROM jsonb_array_elements(e.stacks) AS t (entry)
    WHERE t.entry @> '{"blocks_loop": true}' LIMIT 1
  )))
  FROM powertools.executors e WHERE blocked AND e.executor_id = of_executor
  UNION ALL
  SELECT '{}' WHERE NOT blocked
$$;

-- Whether an executing job that has run for long can hang: its executor (NULL: not ours, a producer of Oban's) lives and its
-- event loop answers, otherwise that is the incident; and its worker does not say that it may run long.
CREATE OR REPLACE FUNCTION powertools.could_hang(j public.oban_jobs, e powertools.executors) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT j.state = 'executing' AND NOT j.meta @> '{"may_run_long": true}' AND CASE
    WHEN e.executor_id IS NULL THEN EXISTS (SELECT FROM powertools.producers_at_work o WHERE o.uuid::text = j.attempted_by[2])
    ELSE num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) = 0
      AND e.loop_beat_at > statement_timestamp() - e.late_after
  END
$$;

-- Attempts that have run far longer than those of their worker usually do, by worker. What is usual comes from the
-- newest 5,000 completed jobs, which are read only when some attempt is older than incident_hung_after. With the stacks
-- of the three oldest, where their processes have told them.
CREATE OR REPLACE FUNCTION powertools.detect_hung_jobs(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH chosen AS MATERIALIZED (
    SELECT timezone('UTC', clock_timestamp()) AS now, powertools.span_setting_v1('incident_hung_after') AS least,
      powertools.setting_v1('incident_hung_factor')::int AS factor,
      powertools.span_setting_v1('incident_hung_unknown_after') AS unknown
  ), old AS MATERIALIZED (
    SELECT j.id, j.worker, j.queue, j.meta, j.attempted_at
    FROM chosen c
    JOIN public.oban_jobs j ON j.state = 'executing' AND j.attempted_at < c.now - c.least
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE powertools.could_hang(j, e) AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
    ORDER BY j.attempted_at LIMIT 5000
  ), completed AS MATERIALIZED (
    SELECT j.worker, j.completed_at - j.attempted_at AS took
    FROM public.oban_jobs j
    WHERE j.state = 'completed' AND j.completed_at IS NOT NULL AND (SELECT EXISTS (SELECT FROM old))
    ORDER BY j.completed_at DESC LIMIT 5000
  ), usual AS (
    SELECT d.worker, percentile_disc(0.5) WITHIN GROUP (ORDER BY d.took) AS median,
      percentile_disc(0.99) WITHIN GROUP (ORDER BY d.took) AS slowest
    FROM completed d
    WHERE d.worker IN (SELECT o.worker FROM old o) AND d.took IS NOT NULL
    GROUP BY d.worker HAVING count(*) >= 20
  ), bounds AS (
    SELECT w.worker, u.median, date_trunc('second', CASE
      WHEN u.worker IS NULL THEN greatest(c.least, c.unknown)
      ELSE greatest(c.least, c.factor * u.median, 3 * u.slowest)
    END) AS bound
    FROM (SELECT DISTINCT o.worker FROM old o) AS w
    CROSS JOIN chosen c
    LEFT JOIN usual u ON u.worker = w.worker
  ), hung AS MATERIALIZED (
    SELECT o.*, b.median, b.bound FROM old o JOIN bounds b ON b.worker = o.worker, chosen c WHERE o.attempted_at < c.now - b.bound
  ), told AS MATERIALIZED (
    SELECT (t.entry ->> 'job_id')::bigint AS job_id, t.entry
    FROM powertools.executors e CROSS JOIN LATERAL jsonb_array_elements(e.stacks) AS t (entry)
    WHERE e.stacks IS NOT NULL AND (SELECT EXISTS (SELECT FROM hung))
  )
  SELECT 'hung_jobs', 'hung_jobs:' || h.worker, 'worker', h.worker,
    format(powertools.numbered(h.jobs, '%s {job|jobs} of %s {seems to hang: it has|seem to hang: they have} run for over %s, ')
      || CASE WHEN h.median IS NULL THEN 'and what is usual is not known' ELSE 'usually it takes %s' END,
      h.jobs, h.worker, powertools.span_in_words(h.bound), powertools.span_in_words(h.median)), h.jobs,
    jsonb_strip_nulls(jsonb_build_object('worker', h.worker, 'queue', h.queue, 'ids', to_jsonb(h.ids), 'id_type', 'job', 'since', h.since,
      'bound_seconds', extract(epoch FROM h.bound)::float8, 'usual_seconds', round(extract(epoch FROM h.median), 1)::float8,
      'stacks', s.stacks)),
    h.workflow_ids, NULL::timestamptz
  FROM (
    SELECT h.worker, h.median, h.bound, count(*) AS jobs, min(h.queue) AS queue, min(h.attempted_at) AT TIME ZONE 'UTC' AS since,
      (array_agg(h.id ORDER BY h.attempted_at, h.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(h.meta)))[: 1000] AS workflow_ids
    FROM hung h GROUP BY h.worker, h.median, h.bound ORDER BY h.worker LIMIT 1000
  ) AS h
  CROSS JOIN LATERAL (
    SELECT jsonb_agg(t.entry - 'blocks_loop' ORDER BY t.place) AS stacks
    FROM (
      SELECT t.entry, i.place FROM unnest(h.ids) WITH ORDINALITY AS i (id, place) JOIN told t ON t.job_id = i.id
      ORDER BY i.place LIMIT 3
    ) AS t
  ) AS s
$$;

-- Of hung_jobs: these very attempts run on, though what is usual may have changed meanwhile, or cannot be told any
-- more.
CREATE OR REPLACE FUNCTION powertools.hung_jobs_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'executing' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
      AND j.attempted_at < timezone('UTC', i.opened_at) AND NOT EXISTS (
        SELECT FROM powertools.executors e
        WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
          AND num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) > 0
      )
  )
$$;

-- Of hung_jobs: also of one that is not among the ids.
CREATE OR REPLACE FUNCTION powertools.hung_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT i.fingerprint
  FROM powertools.incidents i
  LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
  WHERE i.fingerprint = powertools.fingerprint_v1('hung_jobs:' || j.worker)
    AND j.attempted_at < timezone('UTC', clock_timestamp()) - make_interval(secs => (i.evidence ->> 'bound_seconds')::float8)
    AND powertools.could_hang(j, e) AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
$$;

-- Queues with an executor in which jobs, of steps or plain, have been due for incident_queue_late_after; a queue
-- without one is another class. A job that had an attempt is due from that on. Reads the first 1,000 jobs of each queue
-- and priority, of which there are at most 1,000.
CREATE OR REPLACE FUNCTION powertools.detect_late_queues(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH RECURSIVE chosen AS MATERIALIZED (
    SELECT powertools.span_setting_v1('incident_queue_late_after') AS after,
      timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_queue_late_after') AS due_before
  ), lanes (queue, priority) AS (
    (SELECT j.queue, j.priority FROM public.oban_jobs j WHERE j.state = 'available' ORDER BY j.queue, j.priority LIMIT 1)
    UNION ALL
    SELECT n.queue, n.priority
    FROM lanes l
    CROSS JOIN LATERAL (
      SELECT j.queue, j.priority FROM public.oban_jobs j
      WHERE j.state = 'available' AND (j.queue, j.priority) > (l.queue, l.priority) ORDER BY j.queue, j.priority LIMIT 1
    ) AS n
  ), late AS (
    SELECT l.queue, count(*) AS jobs, min(w.due_at) AT TIME ZONE 'UTC' AS since, (array_agg(w.id ORDER BY w.due_at, w.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(w.meta)))[: 1000] AS workflow_ids
    FROM (SELECT * FROM lanes LIMIT 1000) AS l
    CROSS JOIN chosen c
    CROSS JOIN LATERAL (
      SELECT j.id, j.meta, powertools.due_since_v1(j.id, j.scheduled_at, j.inserted_at, j.attempted_at) AS due_at
      FROM public.oban_jobs j
      WHERE j.state = 'available' AND j.queue = l.queue AND j.priority = l.priority AND j.scheduled_at < c.due_before
      ORDER BY j.scheduled_at, j.id LIMIT 1000
    ) AS w
    WHERE w.due_at < c.due_before
    GROUP BY l.queue
  )
  SELECT 'queue_late', 'queue_late:' || q.queue, 'queue', q.queue,
    format(powertools.numbered(q.jobs, '%s {job of queue %s has|jobs of queue %s have} been due for over %s: ') || CASE
      WHEN f.paused = f.executors THEN 'it is paused'
      WHEN f.paused > 0 THEN format('%s of its %s executors are paused', f.paused, f.executors)
      WHEN f.running >= p.places THEN 'all of its places are taken'
      ELSE 'its executors take none or too few'
    END, q.jobs, q.queue, powertools.span_in_words(c.after)), q.jobs,
    jsonb_strip_nulls(jsonb_build_object('code', CASE WHEN f.paused > 0 THEN 'queue_paused' WHEN f.running >= p.places THEN 'queue_saturated' END,
      'queue', q.queue, 'since', q.since, 'paused', f.paused = f.executors, 'places', p.places, 'executing', f.running,
      'ids', to_jsonb(q.ids), 'id_type', 'job')),
    q.workflow_ids, NULL::timestamptz
  FROM late q
  JOIN powertools.queue_facts_v1(ARRAY(SELECT l.queue FROM late l)) AS f ON f.queue = q.queue AND f.executors > 0
  CROSS JOIN chosen c
  CROSS JOIN LATERAL (
    -- NULL: none says how many
    SELECT nullif(sum(powertools.count_of(o.meta -> 'local_limit')), 0) AS places
    FROM powertools.producers_at_work o WHERE o.queue = q.queue
  ) AS p
$$;

-- What helps the queue of an incident about one, or about an endpoint: whether to resume it, because an executor of it is paused;
-- and to how many jobs each of its executors may be scaled, when all places are taken: twice as many as now. NULL, when that
-- does not help.
CREATE OR REPLACE FUNCTION powertools.queue_remedies_v1(
  i powertools.incidents, OUT queue text, OUT resumable bool, OUT scale_to int
)
LANGUAGE sql STABLE
AS $$
  SELECT f.queue, f.paused > 0, CASE
      WHEN f.executors > f.paused AND f.places > 0 AND f.running >= f.places
      THEN least(2 * ceil(f.places::numeric / (f.executors - f.paused)), 1000000)::int
    END
  FROM powertools.queue_facts_v1(
    ARRAY[CASE i.subject_type WHEN 'queue' THEN i.subject_id ELSE i.evidence ->> 'queue' END]
  ) AS f
$$;

CREATE OR REPLACE FUNCTION powertools.queue_late_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$ SELECT 'queue_late:' || j.queue WHERE j.state = 'available' $$;
