-- Executors, and the rescue of jobs whose executor is gone. Locks: none to install (new tables only).
--
-- Rules: executors/R1 to R6, on docs/design/rules.md.

CREATE TABLE powertools.executors (
  -- one start of one producer in one process, such as app:oban:default:node-a:0b5c...
  executor_id text PRIMARY KEY,
  -- what jobs carry in attempted_by
  node text NOT NULL,
  producer text NOT NULL,
  -- the queue, for a producer of Oban's
  producer_scope text NOT NULL,
  started_at timestamptz NOT NULL,
  -- the process was alive; its event loop answered
  beat_at timestamptz NOT NULL,
  loop_beat_at timestamptz NOT NULL,
  -- since when there was no gap between beats
  beating_since timestamptz NOT NULL,
  -- what it promises: it beats well within this time, or it is gone
  gone_after interval NOT NULL,
  stopped_at timestamptz,
  -- it stopped because its process ended, though nobody had asked it to
  abrupt bool NOT NULL DEFAULT false,
  -- its process as its own host knows it (lifeline/processes.py), and the server's process of the session that beats;
  -- NULL: it does not say
  host text,
  pid int,
  ticks bigint,
  session_pid int,
  -- its process was seen to have ended, by which executor's process
  died_at timestamptz,
  died_seen_by text,
  -- since when it is known to be missing, so that a restart of the server makes it no healthier
  missing_at timestamptz,
  -- since it is gone, no executing job was found any more that it had in hand
  relieved_at timestamptz,
  CONSTRAINT executor_process CHECK (num_nonnulls(host, pid, ticks) IN (0, 3)),
  CONSTRAINT executor_died CHECK ((died_at IS NULL) = (died_seen_by IS NULL)),
  CONSTRAINT executor_named CHECK (executor_id <> '' AND producer <> ''),
  CONSTRAINT executor_gone_after CHECK (gone_after > interval '0')
) WITH (fillfactor = 50);  -- no index on what a beat changes: beats stay heap-only

CREATE TABLE powertools.rescues (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint NOT NULL,
  -- a snooze takes an attempt's number back: which one it was, attempted_at tells
  attempt int NOT NULL,
  attempted_at timestamptz NOT NULL,
  -- NULL: not one that we know
  executor_id text,
  attempted_by text[] NOT NULL,
  why text NOT NULL,
  action text NOT NULL,
  -- on how many executors that died this job was running, since it was last let out of quarantine
  crashes int NOT NULL,
  queue text NOT NULL,
  worker text NOT NULL,
  workflow_id bigint,
  position int,
  CONSTRAINT rescue_why CHECK (why IN ('gone', 'ended', 'stopped', 'unknown', 'lost')),
  CONSTRAINT rescue_action CHECK (action IN ('retried', 'isolated', 'quarantined', 'discarded', 'left'))
);

CREATE INDEX rescues_job ON powertools.rescues (job_id, attempted_at);

-- The attempts of jobs that are left to an operator, with the instant as Oban has it.
CREATE VIEW powertools.left_attempts AS
SELECT r.job_id, r.attempted_at AT TIME ZONE 'UTC' AS attempted_at FROM powertools.rescues r WHERE r.action = 'left';

-- What an attempt came to that had been taken from its executor before.
CREATE TABLE powertools.late_results (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint NOT NULL,
  attempt int NOT NULL,
  attempted_at timestamptz NOT NULL,
  attempted_by text[] NOT NULL,
  -- what its worker made of it: {"json": value} and so on, as in settle_faults
  state text NOT NULL,
  result jsonb,
  error jsonb,
  queue text NOT NULL,
  worker text NOT NULL,
  workflow_id bigint,
  position int,
  adopted_at timestamptz,
  dismissed_at timestamptz,
  decided_by text,
  CONSTRAINT late_result_once UNIQUE (job_id, attempted_at),
  CONSTRAINT late_result_decided CHECK (
    num_nonnulls(adopted_at, dismissed_at) = (decided_by IS NOT NULL)::int
  )
);

CREATE INDEX late_results_open ON powertools.late_results (id) WHERE adopted_at IS NULL AND dismissed_at IS NULL;

-- When the server started; a start in the future was told by a clock that was ahead, and says nothing.
CREATE FUNCTION powertools.server_started_at_v1() RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN pg_postmaster_start_time() <= statement_timestamp() THEN pg_postmaster_start_time() ELSE '-infinity' END
$$;

-- Keeps executors alive: all of them or none. loop_ages: seconds since the event loop answered. process: as this_process in
-- lifeline/processes.py, or NULL. Returns how many.
CREATE FUNCTION powertools.beat_v1(
  executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages float8[], gone_afters interval[],
  of_host text DEFAULT NULL, of_pid int DEFAULT NULL, of_ticks bigint DEFAULT NULL
) RETURNS int
LANGUAGE sql
AS $$
  WITH beats AS (
    INSERT INTO powertools.executors AS e (
      executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
      host, pid, ticks, session_pid
    )
    SELECT b.executor_id, b.node, b.producer, b.scope, t.now, t.now, t.now - make_interval(secs => b.loop_age), t.now, b.gone_after,
      of_host, of_pid, of_ticks, pg_backend_pid()
    FROM unnest(executor_ids, nodes, producers, scopes, loop_ages, gone_afters)
      AS b (executor_id, node, producer, scope, loop_age, gone_after)
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS t
    ORDER BY b.executor_id
    ON CONFLICT (executor_id) DO UPDATE
    SET node = excluded.node, producer = excluded.producer, producer_scope = excluded.producer_scope,
        beat_at = excluded.beat_at, loop_beat_at = excluded.loop_beat_at, gone_after = excluded.gone_after,
        beating_since = CASE
          WHEN e.stopped_at IS NULL AND e.beat_at > greatest(
            excluded.beat_at - least(e.gone_after, excluded.gone_after) / 2, powertools.server_started_at_v1()
          ) AND e.beat_at < excluded.beat_at + interval '1 s' THEN e.beating_since
          ELSE excluded.beat_at
        END,
        host = excluded.host, pid = excluded.pid, ticks = excluded.ticks, session_pid = excluded.session_pid,
        stopped_at = NULL, abrupt = false, died_at = NULL, died_seen_by = NULL, missing_at = NULL, relieved_at = NULL
    RETURNING 1
  )
  SELECT count(*)::int FROM beats;
$$;

-- Processes of this host that beat, and have ended as one of them saw: their executors are gone (executors/R2). The sight is
-- enough where the session that beat has ended too, as it does at once with its process, or where it has missed half of
-- what it promised: of a machine that was copied while it ran, a living process may look ended from its copy.
-- Returns how many. Locks: the executors' rows, by id, passing over those that beat.
CREATE FUNCTION powertools.executors_died_v1(ids text[], of_host text, seen_by text) RETURNS int
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

-- Executors of which something is dated in the future: written before the clock was set back (executors/R6).
CREATE VIEW powertools.executors_dated_ahead AS
SELECT e.executor_id FROM powertools.executors e
WHERE greatest(e.started_at, e.beat_at, e.loop_beat_at, e.beating_since, e.stopped_at) > clock_timestamp() + interval '1 s';

-- What is dated in the future counts as of now (executors/R6): who lives beats again within seconds, and who does not is gone
-- after its gone_after. Locks: these rows, passing over those that beat.
CREATE FUNCTION powertools.undate_executors_v1() RETURNS void
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

-- executors/R2. The witness must have beaten since the server started: its next beat resets it. Beats of different promises
-- are compared by the longer one.
CREATE VIEW powertools.gone_executors AS
SELECT e.executor_id, e.node, e.producer, e.relieved_at,
  CASE WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END AS why, coalesce(e.stopped_at, e.beat_at) AS seen_at
FROM powertools.executors e
WHERE e.stopped_at IS NOT NULL OR e.died_at IS NOT NULL OR e.beat_at < clock_timestamp() - e.gone_after AND EXISTS (
  SELECT FROM powertools.executors w
  WHERE w.stopped_at IS NULL
    AND w.beat_at > greatest(clock_timestamp() - w.gone_after / 2, powertools.server_started_at_v1())
    AND greatest(e.beat_at, w.beating_since) < clock_timestamp() - greatest(e.gone_after, w.gone_after)
);

-- Executors with their health, for people: by the age of the last beat, counted from the server's start, and from the
-- end of a pause that everybody had who is beating now. One that is gone (executors/R2), or whose jobs rescue has taken, is missing
-- at once, and one that was found to be missing stays so until it beats. A late loop in a living process is late, never missing.
CREATE FUNCTION powertools.executor_health_v1(late_after interval, missing_after interval, at timestamptz DEFAULT statement_timestamp())
RETURNS TABLE (
  executor_id text, node text, producer_scope text, state text, process_alive bool, loop_responsive bool,
  executing bigint, started_at timestamptz, beat_at timestamptz, loop_beat_at timestamptz, stopped_at timestamptz
)
LANGUAGE sql STABLE
AS $$
  WITH clock AS (
    SELECT at AS now, greatest(
      powertools.server_started_at_v1(),
      (
        SELECT min(CASE WHEN w.beating_since > w.started_at THEN w.beating_since ELSE '-infinity' END)
        FROM powertools.executors w
        WHERE w.stopped_at IS NULL AND w.beat_at > at - w.gone_after / 2
      )
    ) AS watched_since
  ), aged AS (
    SELECT e.*, c.now - greatest(e.beat_at, c.watched_since) AS age, c.now - greatest(e.loop_beat_at, c.watched_since) AS loop_age,
      num_nonnulls(e.relieved_at, e.missing_at) > 0 OR e.executor_id IN (SELECT g.executor_id FROM powertools.gone_executors g) AS gone
    FROM powertools.executors e CROSS JOIN clock c
  ), hands AS (
    SELECT j.attempted_by[1] AS node, j.attempted_by[2] AS producer, count(*) AS jobs
    FROM public.oban_jobs j WHERE j.state = 'executing'
    GROUP BY 1, 2
  )
  SELECT a.executor_id, a.node, a.producer_scope,
    CASE
      WHEN a.stopped_at IS NOT NULL THEN 'stopped'
      WHEN a.age >= missing_after OR a.gone THEN 'missing'
      WHEN a.loop_age >= late_after OR a.age >= late_after THEN 'late'
      ELSE 'healthy'
    END,
    NOT a.gone AND a.age < late_after, NOT a.gone AND a.loop_age < late_after,
    coalesce(h.jobs, 0), a.started_at, a.beat_at, a.loop_beat_at, a.stopped_at
  FROM aged a
  LEFT JOIN hands h ON h.node = a.node AND h.producer = a.producer
  ORDER BY a.stopped_at IS NOT NULL, a.producer_scope, a.node, a.executor_id;
$$;

-- An executing job, locked by the caller, that nobody works on.
CREATE TYPE powertools.orphan AS (job_id bigint, executor_id text, why text);

-- A count that stands in the meta of a job; 0 for whatever else is there.
CREATE FUNCTION powertools.count_of_v1(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN value::text ~ '^[0-9]{1,9}$' THEN value::text::int ELSE 0 END
$$;

-- Rescues jobs. modes: queue or '*' -> 'automatic' or 'operator'. What happens to each, the first that applies:
--   left         its queue is the operators', its meta says "rescue": "ask", or it is a step that must never run twice
--   discarded    its meta says "rescue": "fail", or it has no attempt left and its executor did not say that it ends
--   quarantined  its executor died under it for the third time, or stopped for the tenth within an hour, and no other job
--                there has seen as many
--   isolated     the same, but several jobs have seen as many die: one by one, so that the culprit dies alone
--   retried      anything else
-- A job that may run again has an attempt left for it (oban/O20). Returns how many jobs were not left as they are.
CREATE FUNCTION powertools.rescue_these_v1(orphans powertools.orphan[], modes jsonb) RETURNS int
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  woken text[];
  quarantined bigint[];
  moved bigint[];
BEGIN
  WITH facts AS (
    SELECT j.id, j.attempt, j.max_attempts, j.queue, j.worker, j.attempted_by, o.executor_id, o.why, s.workflow_id, s.position,
      coalesce(j.attempted_at, j.inserted_at) AT TIME ZONE 'UTC' AS attempted_at,
      CASE
        WHEN coalesce(modes ->> j.queue, modes ->> '*') = 'operator' THEN 'ask'
        WHEN j.meta ->> 'rescue' IN ('ask', 'fail') THEN j.meta ->> 'rescue'
        WHEN s.effects = 'never' THEN 'ask'
        ELSE 'retry'
      END AS policy,
      CASE WHEN o.why IN ('gone', 'ended') OR o.why = 'stopped' AND n.ends >= 10 THEN n.ends ELSE 0 END AS crashes,
      -- a stop is nothing odd, but so many are: something in this job stops them, or kills in another way
      CASE o.why WHEN 'stopped' THEN 10 ELSE 3 END AS patience
    FROM unnest(orphans) AS o
    JOIN public.oban_jobs j ON j.id = o.job_id
    LEFT JOIN powertools.steps s ON s.job_id = j.id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
    CROSS JOIN LATERAL (
      SELECT count(DISTINCT r.executor_id) + 1 AS ends
      FROM powertools.rescues r
      WHERE r.job_id = j.id AND r.worker = j.worker AND r.executor_id <> o.executor_id
        AND CASE o.why WHEN 'stopped' THEN r.why = 'stopped' AND r.at > clock_timestamp() - interval '1 hour'
          ELSE r.why IN ('gone', 'ended') END
        AND r.id > coalesce((
          SELECT max(q.id) FROM powertools.rescues q WHERE q.job_id = j.id AND q.action = 'quarantined'
        ), 0)
    ) AS n
  ), suspects AS (
    SELECT f.*, f.crashes = max(f.crashes) OVER (PARTITION BY f.executor_id) AND f.crashes >= f.patience AS suspect,
      count(*) OVER same AS alike, row_number() OVER (PARTITION BY f.executor_id, f.crashes ORDER BY random()) - 1 AS turn
    FROM facts f
    WINDOW same AS (PARTITION BY f.executor_id, f.crashes)
  ), decided AS (
    SELECT s.*, CASE
        WHEN s.policy = 'ask' THEN 'left'
        WHEN s.policy = 'fail' OR s.attempt >= s.max_attempts AND s.why NOT IN ('ended', 'stopped') THEN 'discarded'
        WHEN s.suspect AND (s.alike = 1 OR s.crashes >= s.patience + 7) THEN 'quarantined'
        WHEN s.suspect THEN 'isolated'
        ELSE 'retried'
      END AS action
    FROM suspects s
  ), moved AS (
    UPDATE public.oban_jobs j
    SET state = (CASE d.action
          WHEN 'discarded' THEN 'discarded' WHEN 'isolated' THEN 'retryable' ELSE 'available'
        END)::public.oban_job_state,
        discarded_at = CASE d.action WHEN 'discarded' THEN timezone('UTC', clock_timestamp()) ELSE j.discarded_at END,
        max_attempts = CASE d.action WHEN 'discarded' THEN j.max_attempts ELSE greatest(j.max_attempts, j.attempt + 1) END,
        -- all turns together take five minutes at most
        scheduled_at = CASE d.action
          WHEN 'isolated' THEN timezone('UTC', clock_timestamp()) + d.turn * least(interval '15 s', interval '5 min' / d.alike)
          ELSE j.scheduled_at
        END,
        errors = j.errors || jsonb_build_object(
          'attempt', j.attempt, 'at', to_char(timezone('UTC', clock_timestamp()), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
          'error', format(
            'Rescued: %s; %s',
            CASE d.why
              WHEN 'gone' THEN format('the executor %s was gone while it ran', d.executor_id)
              WHEN 'ended' THEN format('the process of executor %s ended while it ran', d.executor_id)
              WHEN 'stopped' THEN format('the executor %s stopped before it had ended', d.executor_id)
              WHEN 'lost' THEN format('the executor %s does not run it', d.executor_id)
              ELSE format('nobody knows its executor %s', array_to_string(d.attempted_by, ' '))
            END,
            CASE d.action
              WHEN 'retried' THEN 'it runs again'
              WHEN 'isolated' THEN 'it runs again apart from others that were running whenever an executor died'
              WHEN 'quarantined' THEN format('it is quarantined, because %s executors %s while they ran it', d.crashes,
                CASE d.why WHEN 'stopped' THEN 'stopped within an hour' ELSE 'died' END)
              ELSE CASE d.policy WHEN 'fail' THEN 'its worker asks to fail then' ELSE 'it has no attempt left' END
            END
          )
        ),
        -- as Oban's own rescue: what it discards it does not count
        meta = j.meta || CASE WHEN d.action = 'discarded' THEN '{}'
          ELSE jsonb_build_object('rescued', powertools.count_of_v1(j.meta -> 'rescued') + 1)
        END || CASE d.action WHEN 'quarantined' THEN jsonb_build_object('quarantined', j.attempt) ELSE '{}' END
    FROM decided d
    WHERE j.id = d.id AND d.action <> 'left'
  ), written AS (
    INSERT INTO powertools.rescues (
      job_id, attempt, attempted_at, executor_id, attempted_by, why, action, crashes, queue, worker, workflow_id, position
    )
    SELECT d.id, d.attempt, d.attempted_at, d.executor_id, d.attempted_by, d.why, d.action, d.crashes, d.queue, d.worker,
      d.workflow_id, d.position
    FROM decided d
    ORDER BY d.id
    RETURNING id, job_id, queue, action
  )
  SELECT array_agg(w.queue) FILTER (WHERE w.action = 'retried'), array_agg(w.job_id) FILTER (WHERE w.action = 'quarantined'),
    array_agg(w.id) FILTER (WHERE w.action <> 'left')
  INTO woken, quarantined, moved
  FROM written w;
  IF quarantined IS NOT NULL THEN
    -- By way of available, in one transaction: so the event log tells that the attempt is over.
    UPDATE public.oban_jobs j SET state = 'suspended' WHERE j.id = ANY (quarantined);
  END IF;
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues_v1(woken);
  END IF;
  PERFORM powertools.record_system_v1(g.action, 'job', g.job_ids, g.reason, g.befores, g.afters, g.details)
  FROM (
    SELECT a.action, format('its executor: %s', r.why) AS reason, array_agg(r.job_id::text) AS job_ids,
      array_agg(jsonb_build_object('state', 'executing', 'attempt', r.attempt)) AS befores,
      array_agg(jsonb_build_object('state', j.state, 'attempt', j.attempt, 'max_attempts', j.max_attempts)) AS afters,
      array_agg(
        jsonb_build_object('rescue_id', r.id, 'executor_id', r.executor_id, 'crashes', r.crashes)
          || CASE WHEN e.died_at IS NULL THEN '{}' ELSE jsonb_build_object('process_ended_seen_by', e.died_seen_by) END
      ) AS details
    FROM powertools.rescues r
    JOIN public.oban_jobs j ON j.id = r.job_id
    LEFT JOIN powertools.executors e ON e.executor_id = r.executor_id
    CROSS JOIN LATERAL (
      SELECT CASE r.action WHEN 'discarded' THEN 'job_discard' WHEN 'quarantined' THEN 'job_quarantine' ELSE 'job_rescue' END
    ) AS a (action)
    WHERE r.id = ANY (moved)
    GROUP BY a.action, r.why
  ) AS g;
  RETURN coalesce(cardinality(moved), 0);
END $$;
