-- Rescue: what happens to the jobs of executors that are gone, that are unknown, or that do not know the job. The view
-- gone_executors (views.sql) and executors.sql say which executors are gone.

-- Whether a step, its workflow or one around it was asked to stop, or its time was over: what was lost then does not run again.
CREATE OR REPLACE FUNCTION powertools.was_asked_to_stop(s powertools.steps) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT s.cancel_requested_at IS NOT NULL OR EXISTS (
    SELECT FROM powertools.workflows w JOIN powertools.workflows r ON r.id = w.root_id
    WHERE w.id = s.workflow_id AND coalesce(w.cancel_requested_at, w.expired_at, r.cancel_requested_at, r.expired_at) IS NOT NULL
  )
$$;

-- Rescues jobs. modes: queue or '*' -> 'automatic' or 'operator', the setting rescue (config.py). What happens to
-- each, the first that applies:
--   left         its queue is the operators', its meta says "rescue": "ask", or it is a step that must never run twice
--   discarded    its meta says "rescue": "fail", or it has no attempt left and its executor did not say that it ends
--   quarantined  its executors died while running it for the third time, or stopped for the tenth within an hour, and no
--                other job of the executor has as many
--   isolated     the same, but several jobs have as many: they run one by one, so that only the culprit kills its executor
--   retried      anything else; one of a step or workflow that was asked to stop is cancelled instead
-- A job that may run again has an attempt left for it (oban/O20). Returns how many jobs it changed.
-- Long: one statement decides, changes and records, so that no decision rests on rows that have changed since.
CREATE OR REPLACE FUNCTION powertools.rescue_these(orphans powertools.orphan[], modes jsonb) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  woken text[];
  quarantined bigint[];
  moved bigint[];
BEGIN
  WITH facts AS (
    SELECT j.id, j.attempt, j.max_attempts, j.queue, j.worker, j.attempted_by, o.executor_id, o.why, s.workflow_id, s.position,
      coalesce(j.attempted_at, j.inserted_at) AT TIME ZONE 'UTC' AS attempted_at,
      powertools.was_asked_to_stop(s) AS stops, CASE
        WHEN coalesce(modes ->> j.queue, modes ->> '*') = 'operator' THEN 'ask'
        WHEN j.meta ->> 'rescue' IN ('ask', 'fail') THEN j.meta ->> 'rescue'
        WHEN s.effects = 'never' THEN 'ask'
        ELSE 'retry'
      END AS policy,
      CASE WHEN o.why IN ('gone', 'ended') OR o.why = 'stopped' AND n.ends >= 10 THEN n.ends ELSE 0 END AS crashes,
      -- one stop is normal, but so many are not: something in this job stops its executors, or kills them in another
      -- way
      CASE o.why WHEN 'stopped' THEN 10 ELSE 3 END AS patience
    FROM unnest(orphans) AS o
    JOIN public.oban_jobs j ON j.id = o.job_id
    LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
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
        WHEN s.stops THEN 'retried'
        WHEN s.policy = 'fail' OR s.attempt >= s.max_attempts AND s.why NOT IN ('ended', 'stopped') THEN 'discarded'
        WHEN s.suspect AND (s.alike = 1 OR s.crashes >= s.patience + 7) THEN 'quarantined'
        WHEN s.suspect THEN 'isolated'
        ELSE 'retried'
      END AS action
    FROM suspects s
  ), moved AS (
    UPDATE public.oban_jobs j
    SET state = (CASE
          WHEN d.action = 'discarded' THEN 'discarded' WHEN d.stops THEN 'cancelled'
          WHEN d.action = 'isolated' THEN 'retryable' ELSE 'available'
        END)::public.oban_job_state,
        discarded_at = CASE d.action WHEN 'discarded' THEN timezone('UTC', clock_timestamp()) ELSE j.discarded_at END,
        cancelled_at = CASE WHEN d.action <> 'discarded' AND d.stops THEN timezone('UTC', clock_timestamp()) ELSE j.cancelled_at END,
        max_attempts = CASE WHEN d.action = 'discarded' OR d.stops THEN j.max_attempts ELSE greatest(j.max_attempts, j.attempt + 1) END,
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
            CASE CASE WHEN d.stops AND d.action = 'retried' THEN 'cancelled' ELSE d.action END
              WHEN 'cancelled' THEN 'it was asked to stop, and does not run again'
              WHEN 'retried' THEN 'it runs again'
              WHEN 'isolated' THEN 'it runs again apart from others that were running whenever an executor died'
              WHEN 'quarantined' THEN format('it is quarantined, because %s executors %s while they ran it', d.crashes,
                CASE d.why WHEN 'stopped' THEN 'stopped within an hour' ELSE 'died' END)
              WHEN 'discarded' THEN CASE d.policy WHEN 'fail' THEN 'its worker asks to fail then' ELSE 'it has no attempt left' END
            END
          )
        ),
        -- as Oban's own rescue, which does not count what it discards
        meta = j.meta || CASE WHEN d.action = 'discarded' THEN '{}'
          ELSE jsonb_build_object('rescued', powertools.count_of(j.meta -> 'rescued') + 1)
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
    -- Through available, in one transaction, so that the event log has the end of the attempt.
    UPDATE public.oban_jobs j SET state = 'suspended' WHERE j.id = ANY (quarantined);
  END IF;
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
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
      SELECT CASE r.action
        WHEN 'discarded' THEN 'job_discard' WHEN 'quarantined' THEN 'job_quarantine'
        WHEN 'retried' THEN 'job_rescue' WHEN 'isolated' THEN 'job_rescue'
      END
    ) AS a (action)
    WHERE r.id = ANY (moved)
    GROUP BY a.action, r.why
  ) AS g;
  RETURN coalesce(cardinality(moved), 0);
END $$;

-- Rescues the jobs of executors that are gone; with unknown_after also looks through all executing jobs, for those
-- of executors that nobody knows (no row of ours, no producer of Oban's that was refreshed in the last minute) whose
-- attempt is older than that, and for jobs that a gone executor's last statements still fetched. At most one batch of
-- each kind; a locked job is left to the next round. NULL: another node does it.
CREATE OR REPLACE FUNCTION powertools.rescue_v1(modes jsonb, batch int, unknown_after interval) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  gone text[];
  orphans powertools.orphan[];
  unknown powertools.orphan[];
  -- whether an executor of ours has sent heartbeats for so long that a row still dated in the future has ended
  -- (executors/R6)
  watched bool;
BEGIN
  PERFORM powertools.undate_executors();
  gone := ARRAY(
    SELECT g.executor_id FROM powertools.gone_executors g WHERE g.relieved_at IS NULL OR unknown_after IS NOT NULL
  );
  IF gone = '{}' AND unknown_after IS NULL THEN
    RETURN 0;
  END IF;
  IF NOT powertools.take_part_v2('rescue') THEN
    RETURN NULL;
  END IF;
  orphans := ARRAY(
    SELECT ROW (j.id, e.executor_id, CASE WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END)::powertools.orphan
    FROM public.oban_jobs j
    JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND e.executor_id = ANY (gone) AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
  );
  watched := EXISTS (
    SELECT FROM powertools.executors w
    WHERE w.stopped_at IS NULL AND w.beat_at > clock_timestamp() - w.gone_after / 2
      AND w.beating_since < clock_timestamp() - greatest(unknown_after, '1 min')
  );
  IF unknown_after IS NOT NULL AND powertools.server_started_at() < clock_timestamp() - least(unknown_after, '1 min')
    AND (watched OR powertools.server_started_at() > '-infinity') THEN
    unknown := ARRAY(
      SELECT ROW (j.id, NULL, 'unknown')::powertools.orphan
      FROM public.oban_jobs j
      WHERE j.state = 'executing'
        AND (
          coalesce(j.attempted_at, j.inserted_at) < timezone('UTC', clock_timestamp()) - unknown_after
          OR watched AND coalesce(j.attempted_at, j.inserted_at) > timezone('UTC', clock_timestamp()) + interval '1 s'
        )
        AND NOT EXISTS (
          SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
        )
        AND NOT EXISTS (
          SELECT FROM public.oban_producers p
          WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
            AND NOT (watched AND p.updated_at > timezone('UTC', clock_timestamp()) + interval '1 s')
        )
        AND NOT EXISTS (
          SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
        )
      ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
    );
  END IF;
  UPDATE powertools.executors e SET relieved_at = clock_timestamp()
  WHERE e.executor_id = ANY (gone) AND e.relieved_at IS NULL AND NOT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.state = 'executing' AND j.attempted_by[1] = e.node AND j.attempted_by[2] = e.producer
      AND j.id NOT IN (SELECT o.job_id FROM unnest(orphans) AS o) AND NOT EXISTS (
        SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
      )
  );
  IF orphans || unknown = '{}' THEN
    RETURN 0;
  END IF;
  RETURN powertools.rescue_these(orphans || unknown, modes);
END $$;

-- Rescues these attempts, which their own producer does not know.
CREATE OR REPLACE FUNCTION powertools.rescue_lost_v1(job_ids bigint[], attempted_ats timestamp[], modes jsonb) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN powertools.rescue_these(ARRAY(
    SELECT ROW (j.id, e.executor_id, 'lost')::powertools.orphan
    FROM public.oban_jobs j
    JOIN unnest(job_ids, attempted_ats) AS l (id, attempted_at) ON l.id = j.id AND l.attempted_at = j.attempted_at
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  ), modes);
END $$;

-- What became of a rescued job: the action, or cancelled where it was asked to stop and did not run again; as long as the job is kept.
CREATE OR REPLACE FUNCTION powertools.became_v1(r powertools.rescues) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN r.action IN ('retried', 'isolated') AND EXISTS (
    SELECT FROM public.oban_jobs j WHERE j.id = r.job_id AND j.state = 'cancelled' AND j.attempt = r.attempt
  ) THEN 'cancelled' ELSE r.action END
$$;

-- Since when an available job could run, in UTC: its time, its insertion, its last attempt or its rescue, whichever came last.
-- Index: rescues_job, looked at only for a job that was fetched before.
CREATE OR REPLACE FUNCTION powertools.due_since_v1(
  job_id bigint, scheduled_at timestamp, inserted_at timestamp, attempted_at timestamp
) RETURNS timestamp
LANGUAGE sql STABLE
AS $$
  SELECT greatest(scheduled_at, inserted_at, attempted_at, CASE WHEN attempted_at IS NOT NULL THEN (
    SELECT max(r.at) AT TIME ZONE 'UTC' FROM powertools.rescues r WHERE r.job_id = due_since_v1.job_id AND r.action <> 'left'
  ) END)
$$;
