-- The classes of incidents: one function looks for each kind of cause.
--
-- Each reads by index and stops at 5,000 rows of what it groups, and at 1,000 incidents (incidents/N2, N3). Words are
-- those of explanations where these have some.

-- The class of an error, by which incidents group; 'unknown' without one. Nothing else of the error, which may contain
-- payloads.
CREATE OR REPLACE FUNCTION powertools.error_class_v1(error jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE  -- not SQL, which starts the executor for each call: a tenth of a millisecond
AS $$
DECLARE
  class text := CASE jsonb_typeof(error) WHEN 'object' THEN error ->> 'class' END;
BEGIN
  class := coalesce(class, powertools.told_error_v1(error) ->> 'class');
  RETURN CASE WHEN class ~ E'[^\\w.<>(), ]' OR length(class) > 400 THEN 'unknown' ELSE coalesce(nullif(class, ''), 'unknown') END;
END $$;

-- A sentence in singular or plural: each {one|more} is replaced by the half that fits.
CREATE OR REPLACE FUNCTION powertools.numbered(number bigint, sentence text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(sentence, E'\\{([^|{}]*)\\|([^|{}]*)\\}', CASE number WHEN 1 THEN E'\\1' ELSE E'\\2' END, 'g') $$;

-- Executors that are late, missing, or gone with executing jobs. One without executing jobs is an incident only when its
-- last heartbeat is older than its gone_after, even if it is known to be gone before: a supervisor may start another. It is
-- no incident any more when it has been missing for a day, or when another was started for its queue since, on any node.
-- One with executing jobs is an incident when rescue has left these to an operator, or has not taken them within 5 s.
CREATE OR REPLACE FUNCTION powertools.detect_executors(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH health AS MATERIALIZED (
    SELECT * FROM powertools.executor_health_v1()
  ), hands AS (
    SELECT e.executor_id, count(*) AS jobs, (array_agg(j.id ORDER BY j.id))[: 50] AS ids,
      (array_agg(DISTINCT powertools.workflow_of_v1(j.meta)))[: 1000] AS workflow_ids
    FROM public.oban_jobs j
    JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    JOIN health h ON h.executor_id = e.executor_id AND h.state <> 'healthy'
    WHERE j.state = 'executing' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
    GROUP BY e.executor_id
  ), classed AS (
    SELECT x, h.executor_id, h.node, h.producer_scope, h.state, h.beat_at, n.jobs, n.ids, n.workflow_ids,
      h.process_alive, h.loop_responsive, CASE
        WHEN n.jobs > 0 AND (h.state = 'missing' OR EXISTS (
          SELECT FROM powertools.gone_executors g WHERE g.executor_id = h.executor_id
        )) THEN CASE
          -- of one that was only silent, rescue has looked at it within a sweep
          WHEN coalesce(x.died_at + interval '5 s', x.stopped_at + interval '5 s', x.beat_at + x.gone_after + interval '1 s') < clock_timestamp() OR EXISTS (
            SELECT FROM powertools.rescues r WHERE r.job_id = ANY (n.ids) AND r.action = 'left'
          ) THEN 'dead_executor'
        END
        WHEN NOT h.process_alive AND EXISTS (
          SELECT FROM powertools.executors e
          WHERE e.producer_scope = h.producer_scope AND e.stopped_at IS NULL AND e.started_at > h.beat_at
        ) THEN NULL
        WHEN h.state = 'late' AND least(h.beat_at, h.loop_beat_at) < clock_timestamp() - x.late_after THEN 'executor_late'
        WHEN h.state = 'missing' AND h.beat_at BETWEEN clock_timestamp() - interval '1 day' AND clock_timestamp() - x.gone_after
          THEN 'executor_missing'
      END AS class
    FROM health h
    JOIN powertools.executors x ON x.executor_id = h.executor_id
    LEFT JOIN hands n ON n.executor_id = h.executor_id
  ), judged AS (
    SELECT c.*, CASE WHEN c.class IN ('executor_late', 'executor_missing') THEN powertools.first_of_process_v1(c.x) ELSE c.executor_id END AS subject
    FROM classed c
  )
  SELECT t.class, t.class || ':' || t.subject, 'executor', t.subject,
    format(powertools.numbered(cardinality(t.queues), CASE t.class
      WHEN 'dead_executor' THEN powertools.numbered(t.jobs, 'executor on %s of %s is gone with %s {job|jobs} in hand')
      WHEN 'executor_missing' THEN '{executor|executors} on %s of %s {is|are} missing, with nothing in hand'
      WHEN 'executor_late' THEN '{executor|executors} on %s of %s {is|are} late'
        || CASE WHEN t.process_alive THEN powertools.numbered(cardinality(t.queues), ': {its|their} event loop is blocked') ELSE '' END
    END), t.node, powertools.listed(t.queues), t.jobs),
    t.jobs,
    jsonb_build_object('node', t.node, 'producer_scope', powertools.listed(t.queues), 'ids', to_jsonb(t.ids[: 50]),
      'id_type', 'job', 'process_alive', t.process_alive, 'loop_responsive', t.loop_responsive)
      || CASE WHEN cardinality(t.queues) > 1 THEN jsonb_build_object('queues', to_jsonb(t.queues)) ELSE '{}' END
      || CASE t.class WHEN 'dead_executor' THEN jsonb_build_object('code', 'orphaned_by_missing_executor', 'last_seen_at', t.beat_at)
        WHEN 'executor_missing' THEN jsonb_build_object('last_seen_at', t.beat_at) ELSE powertools.blocked_by(t.executor_id, t.process_alive AND NOT t.loop_responsive) END,
    t.workflow_ids[: 1000], NULL::timestamptz
  FROM (
    -- one process is one cause, however many queues it works on; what is in hand is rescued by executor
    SELECT j.class, j.subject, min(j.node) AS node, min(j.executor_id) AS executor_id, max(j.beat_at) AS beat_at,
      array_agg(DISTINCT j.producer_scope ORDER BY j.producer_scope) AS queues, coalesce(sum(j.jobs), 0)::bigint AS jobs,
      bool_or(j.process_alive) AS process_alive, bool_and(j.loop_responsive) AS loop_responsive,
      ARRAY(SELECT i.id FROM unnest(string_to_array(string_agg(nullif(array_to_string(j.ids, ','), ''), ','), ',')::bigint[]) AS i (id) ORDER BY i.id) AS ids,
      ARRAY(
        SELECT DISTINCT i.id FROM unnest(string_to_array(string_agg(nullif(array_to_string(j.workflow_ids, ','), ''), ','), ',')::bigint[]) AS i (id)
      ) AS workflow_ids
    FROM judged j
    WHERE j.class IS NOT NULL
    GROUP BY j.class, j.subject
  ) AS t
  ORDER BY t.beat_at DESC LIMIT 1000
$$;

-- The first executor of the process that this one is in, of those that have not stopped; itself, where its process is not
-- known. Incidents about a whole process are named by it.
CREATE OR REPLACE FUNCTION powertools.first_of_process_v1(e powertools.executors) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT coalesce((
    SELECT min(o.executor_id) FROM powertools.executors o
    WHERE o.host = e.host AND o.pid = e.pid AND o.ticks = e.ticks AND (o.stopped_at IS NULL OR o.executor_id = e.executor_id)
  ), e.executor_id)
$$;

-- Names for a title: all, or the first five and how many more.
CREATE OR REPLACE FUNCTION powertools.listed(names text[]) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT array_to_string(names[: 5], ', ') || CASE WHEN cardinality(names) > 5 THEN format(' and %s more', cardinality(names) - 5) ELSE '' END
$$;

-- Executing jobs of unknown executors: no row of ours, no producer of Oban's that was refreshed in the last minute (or
-- before a restart of the server so recent that no producer could refresh since).
CREATE OR REPLACE FUNCTION powertools.detect_orphans(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'orphaned_jobs', format('orphaned_jobs:%s:%s', o.node, o.producer), 'node', o.node,
    format(powertools.numbered(o.jobs, '%s {job is|jobs are} marked executing, but no executor of {its|theirs} on %s is known'), o.jobs, o.node), o.jobs,
    jsonb_build_object('code', 'orphaned_by_missing_executor', 'node', o.node, 'producer', o.producer, 'ids', to_jsonb(o.ids), 'id_type', 'job'),
    o.workflow_ids, NULL::timestamptz
  FROM (
    SELECT coalesce(j.attempted_by[1], '?') AS node, coalesce(j.attempted_by[2], '?') AS producer, count(*) AS jobs,
      (array_agg(j.id ORDER BY j.id))[: 50] AS ids, (array_agg(DISTINCT powertools.workflow_of_v1(j.meta)))[: 1000] AS workflow_ids
    FROM public.oban_jobs j
    WHERE j.state = 'executing' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
      AND NOT EXISTS (
        SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
      )
      AND NOT EXISTS (
        SELECT FROM public.oban_producers p
        WHERE p.uuid::text = j.attempted_by[2] AND greatest(p.updated_at, timezone('UTC', powertools.server_started_at()))
          > timezone('UTC', clock_timestamp()) - interval '1 min'
      )
    GROUP BY 1, 2
    ORDER BY 1, 2 LIMIT 1000
  ) AS o
$$;

-- Workflows without any step that runs, waits or is held, though they have not ended: nothing upstream can move them.
-- Of these workflows; a nested one that has not started, or one with a settle fault, has its cause elsewhere.
CREATE OR REPLACE FUNCTION powertools.detect_stuck_workflows(ids bigint[]) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'workflow_stuck', 'workflow_stuck:workflow:' || w.id, 'workflow', w.id::text,
    format(powertools.numbered(w.open, 'workflow %s %s cannot move: {its %s open step neither runs nor waits nor|none of its %s open steps runs, waits or} is held'),
      w.id, w.name, w.open), w.open::bigint,
    jsonb_build_object('code', 'waiting_on_dependencies', 'ids', jsonb_build_array(w.id), 'id_type', 'workflow', 'steps', b.steps),
    ARRAY[w.root_id, w.id], NULL::timestamptz
  FROM unnest(ids) AS u (id)
  JOIN powertools.workflows w ON w.id = u.id AND w.state IN ('running', 'cancel_requested') AND w.semantics_version = 2
  LEFT JOIN LATERAL (
    SELECT true AS live
    FROM powertools.steps s
    WHERE s.workflow_id = w.id AND (
      s.state IN ('available', 'awaiting_signal') OR s.state = 'pending' AND s.held_until IS NOT NULL
      OR s.state = 'executing' AND EXISTS (SELECT FROM powertools.workflows c WHERE c.id = s.child_id AND c.open > 0)
    ) LIMIT 1
  ) AS l ON true
  LEFT JOIN LATERAL (
    SELECT p.state FROM powertools.steps p WHERE p.workflow_id = w.parent_id AND p.position = w.parent_position LIMIT 1
  ) AS p ON true
  CROSS JOIN LATERAL (
    -- the steps nearest to the start; open_parents is the right value of pending
    SELECT coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'state', s.state, 'pending', s.pending, 'open_parents', s.open_parents)), '[]') AS steps
    FROM (
      SELECT s.name, s.state, s.pending, (
        SELECT count(*) FROM unnest(s.parents || s.continue_parents) AS e (parent)
        JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
        WHERE p.finished_at IS NULL
      ) AS open_parents
      FROM powertools.steps s
      WHERE l.live IS NULL AND s.workflow_id = w.id AND s.finished_at IS NULL ORDER BY s.depth, s.position LIMIT 20
    ) AS s
  ) AS b
  WHERE l.live IS NULL AND p.state IS DISTINCT FROM 'pending'
    AND NOT EXISTS (SELECT FROM powertools.settle_faults f WHERE f.workflow_id = w.id AND f.repaired_at IS NULL)
  ORDER BY w.id LIMIT 1000
$$;

-- Waits whose deadline has passed for half a minute, by signal: the sweep should have ended them.
CREATE OR REPLACE FUNCTION powertools.detect_overdue_waits(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'wait_overdue', 'wait_overdue:' || w.signal, 'signal', w.signal,
    format(powertools.numbered(count(*), '%s {wait|waits} for signal %s {is past its deadline: the sweep does not end it|are past their deadline: the sweep does not end them}'),
      count(*), w.signal), count(*),
    jsonb_build_object('code', 'waiting_on_signal', 'signal', w.signal, 'ids', to_jsonb((array_agg(w.id ORDER BY w.deadline_at))[: 50]),
      'id_type', 'wait', 'overdue_since', min(w.deadline_at)),
    (array_agg(DISTINCT w.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT v.id, v.signal, v.workflow_id, v.deadline_at FROM powertools.waits v
    WHERE v.state = 'waiting' AND v.deadline_at < clock_timestamp() - interval '30 s' ORDER BY v.deadline_at LIMIT 5000
  ) AS w
  GROUP BY w.signal ORDER BY w.signal LIMIT 1000
$$;

-- Jobs in quarantine: their executors died under them.
CREATE OR REPLACE FUNCTION powertools.detect_poison(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'poison_job', 'poison_job:' || r.job_id, 'job', r.job_id::text,
    format(powertools.numbered(r.crashes, 'job %s of %s is quarantined: %s {executor died while it|executors died while they} ran it'), r.job_id, r.worker, r.crashes), r.crashes::bigint,
    jsonb_build_object('worker', r.worker, 'queue', r.queue, 'ids', jsonb_build_array(r.job_id), 'id_type', 'job', 'quarantined_at', r.at),
    ARRAY[r.workflow_id], NULL::timestamptz
  FROM (
    SELECT DISTINCT ON (r.job_id) r.* FROM powertools.rescues r WHERE r.action = 'quarantined' ORDER BY r.job_id, r.id DESC
  ) AS r
  JOIN public.oban_jobs j ON j.id = r.job_id AND j.state = 'suspended' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
  WHERE NOT EXISTS (
    SELECT FROM powertools.steps s
    WHERE s.workflow_id = r.workflow_id AND s.position = r.position AND s.held_until IS NOT NULL
  )
  ORDER BY r.job_id LIMIT 1000
$$;

-- Whether no code of the worker ran at the last attempt, because it could not be imported where the job was fetched.
CREATE OR REPLACE FUNCTION powertools.not_run(meta jsonb, errors jsonb) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT meta ? 'not_run' AND powertools.error_class_v1(errors -> -1) = 'oban.worker.WorkerResolutionError'
$$;

-- Workers that cannot be imported, among the first 5,000 jobs to be tried again: their attempts are not used up, so
-- nothing else would show it.
CREATE OR REPLACE FUNCTION powertools.detect_not_importable(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'worker_not_importable', 'worker_not_importable:' || w.worker, 'worker', w.worker,
    format(powertools.numbered(count(*), '%s {job waits|jobs wait}, because worker %s cannot be imported on %s'), count(*), w.worker, min(w.node)), count(*),
    jsonb_build_object('code', 'worker_not_importable', 'worker', w.worker, 'queue', min(w.queue),
      'nodes', to_jsonb((array_agg(DISTINCT w.node))[: 20]), 'ids', to_jsonb((array_agg(w.id ORDER BY w.id))[: 50]), 'id_type', 'job'),
    (array_agg(DISTINCT powertools.workflow_of_v1(w.meta)))[: 1000], NULL::timestamptz
  FROM (
    SELECT j.id, j.worker, j.queue, j.meta, j.errors, j.attempted_by[1] AS node
    FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at LIMIT 5000
  ) AS w
  WHERE powertools.not_run(w.meta, w.errors) AND EXISTS (SELECT FROM powertools.still_counting(w.id, w.meta))
  GROUP BY w.worker ORDER BY w.worker LIMIT 1000
$$;

-- Jobs that failed within the window, by worker and error class, of the newest 5,000 that are discarded and 5,000 that
-- are to be tried again. Opens at incident_failing_count of them; an open incident stays open with a single one. What an
-- operator discarded has not failed, nor has what was rescued to run again; what ended with its executor for good has.
CREATE OR REPLACE FUNCTION powertools.detect_failing_jobs(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH since AS (
    SELECT timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_failing_for') AS at OFFSET 0
  ), failed AS (
    (
      SELECT j.id, j.worker, j.queue, j.errors, j.meta, j.discarded_at AS at
      FROM public.oban_jobs j, since s
      WHERE j.state = 'discarded' AND j.discarded_at > s.at
        AND (j.errors -> -1 ->> 'error') IS DISTINCT FROM 'Discarded by an operator'
      ORDER BY j.discarded_at DESC LIMIT 5000
    )
    UNION ALL
    SELECT r.id, r.worker, r.queue, r.errors, r.meta, r.at
    FROM (
      SELECT j.id, j.worker, j.queue, j.errors, j.meta, j.attempted_at AS at
      FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at DESC LIMIT 5000
    ) AS r, since s
    WHERE r.at > s.at AND r.errors <> '[]' AND NOT powertools.not_run(r.meta, r.errors)
      -- it waits for its turn to run again
      AND (r.errors -> -1 ->> 'error' LIKE 'Rescued: %') IS NOT TRUE
  ), grouped AS (
    SELECT f.worker, powertools.error_class_v1(f.errors -> -1) AS error_class, count(*) AS jobs, min(f.queue) AS queue,
      (array_agg(f.id ORDER BY f.at DESC))[: 50] AS ids, max(f.at) AT TIME ZONE 'UTC' AS last_at,
      (array_agg(DISTINCT powertools.workflow_of_v1(f.meta)))[: 1000] AS workflow_ids
    FROM failed f
    WHERE EXISTS (SELECT FROM powertools.still_counting(f.id, f.meta))
    GROUP BY 1, 2
  )
  SELECT 'failing_jobs', n.fingerprint, 'worker', g.worker,
    format(powertools.numbered(g.jobs, CASE g.error_class
      WHEN 'Rescued' THEN '%s {job|jobs} of %s ended with {its executor|their executors}, and {does|do} not run again'
      ELSE '%s {job|jobs} of %s failed with %s'
    END), g.jobs, g.worker, g.error_class), g.jobs,
    jsonb_strip_nulls(jsonb_build_object('worker', g.worker, 'queue', g.queue, 'error_class', nullif(g.error_class, 'Rescued'), 'ids', to_jsonb(g.ids),
      'id_type', 'job', 'last_failure_at', g.last_at)),
    g.workflow_ids, g.last_at + powertools.span_setting_v1('incident_failing_for')
  FROM grouped g
  CROSS JOIN LATERAL (
    SELECT powertools.fingerprint_v1(format('failing_jobs:%s:%s', g.worker, g.error_class)) AS fingerprint
  ) AS n
  WHERE g.jobs >= powertools.setting_v1('incident_failing_count')::int
    OR EXISTS (SELECT FROM powertools.incidents i WHERE i.fingerprint = n.fingerprint AND i.state <> 'resolved')
  ORDER BY n.fingerprint LIMIT 1000
$$;

-- Late results that succeeded, while their step, or their plain job, has no result of its own: to be adopted or
-- dismissed. By the executor that they came from.
CREATE OR REPLACE FUNCTION powertools.detect_late_results(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'late_result', format('late_result:%s:%s', l.node, l.producer), 'node', l.node,
    format(powertools.numbered(count(*), '%s {result|results} came late from %s: adopt or dismiss {it|them}'), count(*), l.node), count(*),
    jsonb_build_object('node', l.node, 'producer', l.producer, 'ids', to_jsonb((array_agg(l.id ORDER BY l.id))[: 50]), 'id_type', 'late_result',
      'job_ids', to_jsonb((array_agg(l.job_id ORDER BY l.id))[: 50])),
    (array_agg(DISTINCT l.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT r.id, r.job_id, r.workflow_id, coalesce(r.attempted_by[1], '?') AS node, coalesce(r.attempted_by[2], '?') AS producer
    FROM powertools.late_results r
    JOIN public.oban_jobs j ON j.id = r.job_id
    LEFT JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position
    WHERE r.adopted_at IS NULL AND r.dismissed_at IS NULL AND r.state = 'completed'
      AND coalesce(s.state, j.state::text) NOT IN ('completed', 'awaiting_signal')
    ORDER BY r.id LIMIT 5000
  ) AS l
  GROUP BY l.node, l.producer ORDER BY l.node, l.producer LIMIT 1000
$$;

-- Changes of the jobs of steps by other tools, by kind and worker. Within the last day: a job was deleted, and its step
-- not recovered since; ran again although its step had ended; had its meta changed; was started again after its
-- workflow was cancelled. And jobs that are suspended without a hold.
CREATE OR REPLACE FUNCTION powertools.detect_outside_edits(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'outside_edit', format('outside_edit:%s:%s', e.edit, e.worker), 'worker', e.worker,
    format(powertools.numbered(count(DISTINCT e.id), CASE e.edit
      WHEN 'job_deleted' THEN '%s {job of %s was|jobs of %s were} deleted outside of Powertools, which cancelled {its step|their steps}'
      WHEN 'job_suspended' THEN '%s {job of %s was|jobs of %s were} suspended outside of Powertools: {its step is|their steps are} not held'
      WHEN 'meta_changed' THEN '%s {job of %s had other meta written over what it runs|jobs of %s had other meta written over what they run} for, which was restored'
      WHEN 'job_restarted' THEN '%s {job of %s was started again though its workflow was cancelled, and was|jobs of %s were started again though their workflows were cancelled, and were} cancelled again'
      WHEN 'job_retried' THEN '%s {job of %s ran again though its step had ended: what it comes to is kept as a late result|jobs of %s ran again though their steps had ended: what they come to is kept as late results}'
    END), count(DISTINCT e.id), e.worker),
    count(DISTINCT e.id), jsonb_build_object('edit', e.edit, 'worker', e.worker, 'ids', to_jsonb((array_agg(e.id ORDER BY e.id))[: 50]), 'id_type', 'job'),
    (array_agg(DISTINCT e.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    (
      SELECT 'job_deleted' AS edit, s.worker, s.job_id AS id, s.workflow_id
      FROM powertools.steps s
      WHERE s.cause = 'job_deleted' AND s.finished_at > clock_timestamp() - interval '1 day'
      ORDER BY s.workflow_id DESC, s.position DESC LIMIT 5000
    )
    UNION ALL
    SELECT CASE a.action WHEN 'job_cancel' THEN 'job_restarted' ELSE 'meta_changed' END, j.worker, j.id, powertools.workflow_of_v1(j.meta)
    FROM (
      (SELECT * FROM powertools.audit WHERE action = 'job_cancel' ORDER BY id DESC LIMIT 5000)
      UNION ALL
      (SELECT * FROM powertools.audit WHERE action = 'job_meta_restore' ORDER BY id DESC LIMIT 5000)
    ) AS a
    JOIN public.oban_jobs j ON j.id = a.target_id::bigint
    WHERE a.actor_type = 'system' AND a.target_type = 'job' AND a.at > clock_timestamp() - interval '1 day'
    UNION ALL
    SELECT 'job_retried', l.worker, l.job_id, l.workflow_id
    FROM (SELECT * FROM powertools.late_results ORDER BY id DESC LIMIT 5000) AS l
    JOIN powertools.steps s ON s.workflow_id = l.workflow_id AND s.position = l.position
    WHERE l.at > clock_timestamp() - interval '1 day' AND l.state <> 'completed' AND s.job_id = l.job_id AND l.attempted_at > s.finished_at
    UNION ALL
    SELECT CASE j.state WHEN 'executing' THEN 'job_retried' ELSE 'job_suspended' END, j.worker, j.id, s.workflow_id
    FROM (
      (SELECT * FROM public.oban_jobs WHERE state = 'executing' AND meta ? 'position' LIMIT 5000)
      UNION ALL
      (SELECT * FROM public.oban_jobs WHERE state = 'suspended' AND meta ? 'position' LIMIT 5000)
    ) AS j
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s
      WHERE powertools.is_its_job_v1(s, j.id, j.meta) LIMIT 1
    ) AS s
    WHERE CASE j.state
      WHEN 'executing' THEN s.finished_at < j.attempted_at AT TIME ZONE 'UTC'
      ELSE s.state = 'available' AND s.held_until IS NULL
        AND NOT EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined')
    END
  ) AS e
  GROUP BY e.edit, e.worker ORDER BY 2 LIMIT 1000
$$;

-- Jobs that could not be settled and wait for the sweep, by SQLSTATE.
CREATE OR REPLACE FUNCTION powertools.detect_settle_faults(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'bookkeeping_fault', 'bookkeeping_fault:' || f.sqlstate, 'sqlstate', f.sqlstate,
    format(powertools.numbered(count(*), '%s {job has|jobs have} ended, but could not be settled (SQLSTATE %s); it is tried again'), count(*), f.sqlstate), count(*),
    jsonb_build_object('code', 'bookkeeping_fault', 'sqlstate', f.sqlstate, 'ids', to_jsonb((array_agg(f.job_id ORDER BY f.first_fault_at))[: 50]),
      'id_type', 'job', 'since', min(f.first_fault_at)),
    (array_agg(DISTINCT f.workflow_id))[: 1000], NULL::timestamptz
  FROM (
    SELECT * FROM powertools.settle_faults WHERE repaired_at IS NULL ORDER BY last_fault_at LIMIT 5000
  ) AS f
  GROUP BY f.sqlstate LIMIT 1000
$$;

-- Discarded on_finished jobs, of the newest 5,000 discarded jobs, by worker.
CREATE OR REPLACE FUNCTION powertools.detect_failed_callbacks(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'callback_failed', 'callback_failed:' || c.worker, 'worker', c.worker,
    format(powertools.numbered(count(*), '%s on_finished {job|jobs} of %s {was|were} discarded'), count(*), c.worker), count(*),
    jsonb_build_object('code', 'job_discarded', 'worker', c.worker, 'ids', to_jsonb((array_agg(c.id ORDER BY c.id))[: 50]), 'id_type', 'job'),
    NULL::bigint[], NULL::timestamptz
  FROM (SELECT * FROM public.oban_jobs WHERE state = 'discarded' ORDER BY discarded_at DESC LIMIT 5000) AS c
  WHERE NOT c.meta ? 'position' AND c.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps']
  GROUP BY c.worker ORDER BY c.worker LIMIT 1000
$$;
