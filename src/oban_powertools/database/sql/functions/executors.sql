-- Executors, and the rescue of jobs whose executor is gone.
--
-- Rules: executors/R1 to R7, on docs/design/rules.md.

-- When the server started; a start in the future comes from a clock that was ahead, and is ignored.
CREATE OR REPLACE FUNCTION powertools.server_started_at() RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN pg_postmaster_start_time() <= statement_timestamp() THEN pg_postmaster_start_time() ELSE '-infinity' END
$$;

-- Stores heartbeats of executors: all of them or none. loop_ages: seconds since the event loop answered. asides:
-- outcomes that the database does not take now, with the age of the oldest in seconds; missing: none. process: as
-- this_process in runtime/processes.py, or NULL. Returns how many.
CREATE OR REPLACE FUNCTION powertools.beat_v1(
  executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages float8[], gone_afters interval[],
  asides int[], aside_ages float8[], late_after interval, missing_after interval, started_with jsonb,
  of_host text DEFAULT NULL, of_pid int DEFAULT NULL, of_ticks bigint DEFAULT NULL
) RETURNS int
LANGUAGE sql
AS $$
  WITH beats AS (
    INSERT INTO powertools.executors AS e (
      executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
      late_after, missing_after, started_with, aside, aside_since, host, pid, ticks, session_pid
    )
    SELECT b.executor_id, b.node, b.producer, b.scope, t.now, t.now, t.now - make_interval(secs => b.loop_age), t.now, b.gone_after,
      beat_v1.late_after, beat_v1.missing_after, beat_v1.started_with,
      coalesce(b.aside, 0), CASE WHEN b.aside > 0 THEN t.now - make_interval(secs => b.aside_age) END, of_host, of_pid, of_ticks, pg_backend_pid()
    FROM unnest(executor_ids, nodes, producers, scopes, loop_ages, gone_afters, asides, aside_ages)
      AS b (executor_id, node, producer, scope, loop_age, gone_after, aside, aside_age)
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS t
    ORDER BY b.executor_id
    ON CONFLICT (executor_id) DO UPDATE
    SET node = excluded.node, producer = excluded.producer, producer_scope = excluded.producer_scope,
        beat_at = excluded.beat_at, loop_beat_at = excluded.loop_beat_at, gone_after = excluded.gone_after,
        late_after = excluded.late_after, missing_after = excluded.missing_after,
        aside = excluded.aside, aside_since = excluded.aside_since,
        beating_since = CASE
          WHEN e.stopped_at IS NULL AND e.beat_at > greatest(
            excluded.beat_at - least(e.gone_after, excluded.gone_after) / 2, powertools.server_started_at()
          ) AND e.beat_at < excluded.beat_at + interval '1 s' THEN e.beating_since
          ELSE excluded.beat_at
        END,
        host = excluded.host, pid = excluded.pid, ticks = excluded.ticks, session_pid = excluded.session_pid,
        stopped_at = NULL, abrupt = false, died_at = NULL, died_seen_by = NULL, missing_at = NULL, relieved_at = NULL
    RETURNING 1
  )
  SELECT count(*)::int FROM beats;
$$;

-- Marks processes as ended that another process of their host saw end: their executors are gone (executors/R2). The
-- report is believed when the session of their heartbeats has ended, too, as it does at once with its process, or when
-- half of gone_after has passed without one: on a copy of a running machine a living process may look ended. Returns
-- how many. Locks: the executors' rows, by id, skipping locked ones.
CREATE OR REPLACE FUNCTION powertools.executors_died_v1(ids text[], of_host text, seen_by text) RETURNS int
LANGUAGE sql
AS $$
  WITH died AS (
    UPDATE powertools.executors e SET died_at = clock_timestamp(), died_seen_by = seen_by, relieved_at = NULL
    WHERE e.executor_id = ANY (ARRAY(
      SELECT d.executor_id FROM powertools.executors d
      WHERE d.executor_id = ANY (ids) AND d.host = of_host AND d.stopped_at IS NULL AND d.died_at IS NULL AND (
        d.beat_at < clock_timestamp() - d.gone_after / 2
        OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = d.session_pid)
      )
      ORDER BY d.executor_id FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
  )
  SELECT count(*)::int FROM died
$$;

-- Instants in the future count as now (executors/R6): a living executor sends its next heartbeat within seconds,
-- another is gone after its gone_after. Locks: these rows, skipping locked ones.
CREATE OR REPLACE FUNCTION powertools.undate_executors() RETURNS void
LANGUAGE sql
AS $$
  UPDATE powertools.executors e
  SET started_at = least(e.started_at, t.now), beat_at = least(e.beat_at, t.now), loop_beat_at = least(e.loop_beat_at, t.now),
      beating_since = CASE WHEN e.beat_at > t.now THEN t.now ELSE least(e.beating_since, t.now) END,
      stopped_at = CASE WHEN e.stopped_at > t.now THEN t.now ELSE e.stopped_at END
  FROM (SELECT clock_timestamp() AS now OFFSET 0) AS t
  WHERE e.executor_id = ANY (ARRAY(
    SELECT d.executor_id FROM powertools.executors d
    WHERE d.executor_id IN (SELECT a.executor_id FROM powertools.executors_dated_ahead a)
    ORDER BY d.executor_id FOR UPDATE SKIP LOCKED
  ))
$$;

-- Since when heartbeats could be expected: the server's start, and the end of a pause that all living executors had.
CREATE OR REPLACE FUNCTION powertools.watched_since(at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  SELECT greatest(powertools.server_started_at(), (
    SELECT min(CASE WHEN w.beating_since > w.started_at THEN w.beating_since ELSE '-infinity' END)
    FROM powertools.executors w
    WHERE w.stopped_at IS NULL AND w.beat_at > at - w.gone_after / 2
  ))
$$;

-- Seconds until an executor counts as missing, if no heartbeat comes: by its missing_after, or by its gone_after once another
-- one has watched for so long. At least 0.
CREATE OR REPLACE FUNCTION powertools.missing_in_v1(e powertools.executors) RETURNS int
LANGUAGE sql STABLE
AS $$
  SELECT greatest(0, ceil(extract(epoch FROM least(
    greatest(e.beat_at, powertools.watched_since(clock_timestamp())) + e.missing_after,
    (
      SELECT min(greatest(e.beat_at, w.beating_since) + greatest(e.gone_after, w.gone_after))
      FROM powertools.executors w
      WHERE w.executor_id <> e.executor_id AND w.stopped_at IS NULL AND w.beat_at > clock_timestamp() - w.gone_after / 2
    )
  ) - clock_timestamp())))::int
$$;

-- Executors with their health, for people: by the age of the last heartbeat and the row's own late_after and
-- missing_after (defaults 45 s and 2 min, Settings.executor_..._after in config.py). One that is silent for longer than its
-- gone_after (15 s) is late at least, its process not alive. Ages count as watched_since says. An executor that is gone
-- (executors/R2: the view gone_executors in views.sql), or whose jobs were rescued, is missing at once; one that was found
-- missing stays so until its next heartbeat. A late event loop in a living process makes it late, never missing.
CREATE OR REPLACE FUNCTION powertools.executor_health_v1(at timestamptz DEFAULT statement_timestamp())
RETURNS TABLE (
  executor_id text, node text, producer_scope text, state text, process_alive bool, loop_responsive bool,
  executing bigint, started_at timestamptz, beat_at timestamptz, loop_beat_at timestamptz, stopped_at timestamptz
)
LANGUAGE sql STABLE
AS $$
  WITH clock AS MATERIALIZED (
    SELECT at AS now, powertools.watched_since(at) AS watched_since
  ), gone AS MATERIALIZED (
    -- apart, so that whoever asks for certain executors does not judge the others: what reads the clock is never pulled up
    SELECT g.executor_id FROM powertools.gone_executors g
  ), aged AS (
    SELECT e.*, least(e.late_after, e.gone_after) AS silent_after, c.now - greatest(e.beat_at, c.watched_since) AS age, c.now - greatest(e.loop_beat_at, c.watched_since) AS loop_age,
      num_nonnulls(e.relieved_at, e.missing_at) > 0 OR e.executor_id IN (SELECT g.executor_id FROM gone g) AS gone
    FROM powertools.executors e CROSS JOIN clock c
  ), hands AS (
    SELECT j.attempted_by[1] AS node, j.attempted_by[2] AS producer, count(*) AS jobs
    FROM public.oban_jobs j WHERE j.state = 'executing'
    GROUP BY 1, 2
  )
  SELECT a.executor_id, a.node, a.producer_scope,
    CASE
      WHEN a.stopped_at IS NOT NULL THEN 'stopped'
      WHEN a.age >= a.missing_after OR a.gone THEN 'missing'
      WHEN a.loop_age >= a.late_after OR a.age >= a.silent_after THEN 'late'
      ELSE 'healthy'
    END,
    NOT a.gone AND a.age < a.silent_after, NOT a.gone AND a.loop_age < a.late_after,
    coalesce(h.jobs, 0), a.started_at, a.beat_at, a.loop_beat_at, a.stopped_at
  FROM aged a
  LEFT JOIN hands h ON h.node = a.node AND h.producer = a.producer;
$$;

-- A count in the meta of a job; 0 for any other value.
CREATE OR REPLACE FUNCTION powertools.count_of(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN value::text ~ '^[0-9]{1,9}$' THEN value::text::int ELSE 0 END
$$;
