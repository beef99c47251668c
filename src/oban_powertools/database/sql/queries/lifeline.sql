-- Executors, and the rescue of the jobs that they leave behind.

-- name: beat
-- Args: one entry an executor, each id once: executor_ids, nodes, producers, scopes, loop_ages (seconds since its event
--   loop answered), gone_afters (what it promises to beat within), asides (outcomes set
--   aside), aside_ages (seconds since the oldest of them was; NULL: none). The process: late_after, missing_after (intervals), started_with (JSON: its opinions), host, pid, ticks
--   (or NULL).
-- Rows: one, beats; of the executors that other processes of this host beat for: ids, pids, starts (ticks); hung, ids
--   of jobs that seem to hang, of whatever executor.
-- Locks: the executors' rows, by id. Index: incidents_open.
SELECT powertools.beat_v1(
  %(executor_ids)s::text[], %(nodes)s::text[], %(producers)s::text[], %(scopes)s::text[], %(loop_ages)s::float8[],
  %(gone_afters)s::interval[], %(asides)s::int[], %(aside_ages)s::float8[],
  %(late_after)s::interval, %(missing_after)s::interval, %(started_with)s::jsonb, %(host)s::text, %(pid)s::int, %(ticks)s::bigint
) AS beats, n.ids, n.pids, n.starts, ARRAY(
  SELECT h.id::bigint
  FROM powertools.incidents i CROSS JOIN LATERAL jsonb_array_elements_text(i.evidence -> 'ids') AS h (id)
  WHERE i.class = 'hung_jobs' AND i.state <> 'resolved' LIMIT 1000
) AS hung
FROM (
  SELECT coalesce(array_agg(e.executor_id), '{}') AS ids, coalesce(array_agg(e.pid), '{}') AS pids,
    coalesce(array_agg(e.ticks), '{}') AS starts
  FROM powertools.executors e
  WHERE e.host = %(host)s::text AND (e.pid, e.ticks) <> (%(pid)s::int, %(ticks)s::bigint)
    AND num_nonnulls(e.stopped_at, e.died_at, e.relieved_at) = 0
) AS n;

-- name: neighbours
-- Args: host.
-- Rows: executor_id, pid, ticks; of the executors whose processes this host can see, and that may be alive.
-- Index: executors are few.
SELECT e.executor_id, e.pid, e.ticks
FROM powertools.executors e
WHERE e.host = %(host)s::text AND num_nonnulls(e.stopped_at, e.died_at, e.relieved_at) = 0;

-- name: keep_stacks
-- Keeps what the hung tasks of an executor, or its blocked event loop, are doing.
-- Args: executor_id; stacks (JSON as executors.stacks; NULL: nothing hangs any more).
-- Rows: one, kept.
-- Locks: the executor's row.
UPDATE powertools.executors e SET stacks = %(stacks)s::jsonb WHERE e.executor_id = %(executor_id)s::text
RETURNING true AS kept;

-- name: executors_died
-- Reports processes of this host that have ended.
-- Args: ids (of their executors), host, seen_by (an executor of the process that saw it, or that process).
-- Rows: one, died: how many are gone by that.
-- Locks: the executors' rows, by id, skipping locked ones.
SELECT powertools.executors_died_v1(%(ids)s::text[], %(host)s::text, %(seen_by)s::text) AS died;

-- name: stop_executors
-- Args: executor_ids; abrupt_ids (those among them that nobody had asked to stop).
-- Rows: the ids of those that had not stopped yet.
UPDATE powertools.executors e
SET stopped_at = clock_timestamp(), abrupt = e.executor_id = ANY (%(abrupt_ids)s::text[]), relieved_at = NULL,
  aside = 0, aside_since = NULL
WHERE e.executor_id = ANY (%(executor_ids)s::text[]) AND e.stopped_at IS NULL
RETURNING e.executor_id;

-- name: list_executor_health
-- Args: now (NULL: the clock); status (the operator's word; NULL: any); worst_nodes (int; NULL: all nodes); past, scope, node,
--   id (of the executor that a page begins after; all NULL: at the begin); page (int, rows; NULL: all).
-- Rows: one an executor; past ones, replaced or stopped, last; then by scope, node and id.
WITH serving AS (
  SELECT e.producer_scope, max(e.started_at) AS started_at FROM powertools.executors e WHERE e.stopped_at IS NULL GROUP BY 1
), found AS (
  SELECT h.*, h.state = 'missing' AND h.executing = 0 AND coalesce(s.started_at > h.beat_at, false) AS replaced
  FROM powertools.executor_health_v1(coalesce(%(now)s::timestamptz, statement_timestamp())) AS h
  LEFT JOIN serving s ON s.producer_scope = h.producer_scope
), health AS MATERIALIZED (
  SELECT f.*, f.replaced OR f.stopped_at IS NOT NULL AS past FROM found f
), worst AS (
  SELECT w.node FROM health w WHERE w.stopped_at IS NULL
  GROUP BY w.node ORDER BY bool_or(w.state = 'missing') DESC, bool_or(w.state = 'late') DESC, w.node LIMIT %(worst_nodes)s::int
), listed AS (
  SELECT h.* FROM health h
  WHERE (%(status)s::text IS NULL OR powertools.executor_word_v2(h.state) = %(status)s::text)
    AND (%(worst_nodes)s::int IS NULL OR h.stopped_at IS NULL AND h.node IN (SELECT w.node FROM worst w))
    AND (%(id)s::text IS NULL OR (h.past, h.producer_scope, h.node, h.executor_id)
      > (%(past)s::bool, %(scope)s::text, %(node)s::text, %(id)s::text))
  ORDER BY h.past, h.producer_scope, h.node, h.executor_id LIMIT %(page)s::int
)
SELECT powertools.executor_word_v2(l.state) AS status, l.executor_id, l.node, l.producer_scope, l.state, l.process_alive,
  l.loop_responsive, l.executing, l.started_at, l.beat_at, l.loop_beat_at, l.stopped_at, l.replaced,
  e.aside, e.aside_since
FROM listed l
JOIN powertools.executors e ON e.executor_id = l.executor_id
ORDER BY l.past, l.producer_scope, l.node, l.executor_id;

-- name: count_executors
-- Rows: one of each state that an executor has; state, status (its operator's word), executors, alive (of them, whose
--   process sends heartbeats), replaced (of them, as list_executor_health has it), nodes (that have one of these), newest_beat_at; working_nodes (that have one that has not
--   stopped), the same in each row.
WITH serving AS (
  SELECT e.producer_scope, max(e.started_at) AS started_at FROM powertools.executors e WHERE e.stopped_at IS NULL GROUP BY 1
), tallied AS MATERIALIZED (
  SELECT h.state, h.node, count(*) AS executors, count(*) FILTER (WHERE h.process_alive AND h.state <> 'stopped') AS alive,
    max(h.beat_at) AS newest_beat_at,
    count(*) FILTER (WHERE h.state = 'missing' AND h.executing = 0 AND s.started_at > h.beat_at) AS replaced
  FROM powertools.executor_health_v1() AS h
  LEFT JOIN serving s ON s.producer_scope = h.producer_scope
  GROUP BY 1, 2
)
SELECT t.state, powertools.executor_word_v2(t.state) AS status, sum(t.executors)::bigint AS executors, sum(t.alive)::bigint AS alive, sum(t.replaced)::bigint AS replaced,
  count(*) AS nodes, max(t.newest_beat_at) AS newest_beat_at,
  (SELECT count(DISTINCT w.node) FROM tallied w WHERE w.state <> 'stopped') AS working_nodes
FROM tallied t
GROUP BY t.state;

-- name: list_upcoming
-- What happens by itself: rescues of silent executors' jobs, jobs that become due, deadlines of waits, ends of holds, expiries.
-- Args: page (int, rows); executor_ids (text[]), job_ids, workflow_ids (bigint[]): only of these; all NULL: everything.
-- Rows: the soonest first. Index: executors are few; oban_jobs_staging_index, waits_deadline, steps_held,
--   workflows_expiring, of certain ones the primary keys; executing jobs are few.
WITH silent AS MATERIALIZED (
  SELECT x.executor_id, x.node, x.producer, x.producer_scope, CASE
    WHEN EXISTS (SELECT FROM powertools.gone_executors g WHERE g.executor_id = x.executor_id) THEN clock_timestamp()
    ELSE clock_timestamp() + make_interval(secs => powertools.missing_in_v1(x))
  END AS at
  FROM powertools.executors x
  WHERE x.relieved_at IS NULL AND x.executor_id IN (SELECT s.executor_id FROM powertools.silent_executors s)
    AND (%(executor_ids)s::text[] IS NULL OR x.executor_id = ANY (%(executor_ids)s::text[]))
), staged AS MATERIALIZED (
  (
    SELECT j.id, j.state, j.scheduled_at, j.queue, j.worker, j.attempt, j.max_attempts, j.meta
    FROM public.oban_jobs j
    WHERE %(job_ids)s::bigint[] IS NULL AND j.state IN ('scheduled', 'retryable')
    ORDER BY j.scheduled_at LIMIT %(page)s::int
  )
  UNION ALL
  SELECT j.id, j.state, j.scheduled_at, j.queue, j.worker, j.attempt, j.max_attempts, j.meta
  FROM public.oban_jobs j
  WHERE j.id = ANY (%(job_ids)s::bigint[]) AND j.state IN ('scheduled', 'retryable')
), coming AS (
  SELECT 'rescue' AS kind, x.at, count(*)::int AS jobs, x.executor_id, x.node, x.producer_scope AS queue, NULL::bigint AS job_id,
    NULL AS worker, NULL::int AS attempt, NULL::int AS max_attempts, NULL::bigint AS workflow_id, NULL AS step
  FROM silent x
  JOIN public.oban_jobs j ON j.state = 'executing' AND j.attempted_by[1] = x.node AND j.attempted_by[2] = x.producer
  LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
  -- those whose effects must never happen twice are left to operators
  WHERE s.effects IS DISTINCT FROM 'never'
  GROUP BY x.at, x.executor_id, x.node, x.producer_scope
  UNION ALL
  SELECT CASE g.state WHEN 'retryable' THEN 'retry' ELSE 'start' END, timezone('UTC', g.scheduled_at), 0, NULL, NULL, g.queue, g.id, g.worker,
    CASE WHEN g.state = 'retryable' THEN g.attempt + 1 END, g.max_attempts,
    CASE WHEN g.meta ? 'position' THEN powertools.workflow_of_v1(g.meta) END, g.meta ->> 'step'
  FROM staged g
  UNION ALL
  SELECT 'deadline', d.deadline_at, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, d.workflow_id, s.name
  FROM (
    (
      SELECT v.deadline_at, v.workflow_id, v.position FROM powertools.waits v
      WHERE %(workflow_ids)s::bigint[] IS NULL AND v.state = 'waiting' AND v.deadline_at IS NOT NULL
      ORDER BY v.deadline_at LIMIT %(page)s::int
    )
    UNION ALL
    SELECT v.deadline_at, v.workflow_id, v.position FROM powertools.waits v
    WHERE v.workflow_id = ANY (%(workflow_ids)s::bigint[]) AND v.state = 'waiting' AND v.deadline_at IS NOT NULL
  ) AS d
  CROSS JOIN LATERAL powertools.step_at_v1(d.workflow_id, d.position) AS s
  UNION ALL
  SELECT 'hold_end', h.held_until, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.workflow_id, h.name
  FROM (
    (
      SELECT s.held_until, s.workflow_id, s.name FROM powertools.steps s
      WHERE %(workflow_ids)s::bigint[] IS NULL AND s.held_until IS NOT NULL ORDER BY s.held_until LIMIT %(page)s::int
    )
    UNION ALL
    SELECT s.held_until, s.workflow_id, s.name FROM powertools.steps s
    WHERE s.workflow_id = ANY (%(workflow_ids)s::bigint[]) AND s.held_until IS NOT NULL
  ) AS h
  UNION ALL
  SELECT 'expiry', e.expires_at, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, e.id, NULL
  FROM (
    (
      SELECT w.expires_at, w.id FROM powertools.workflows w
      WHERE %(workflow_ids)s::bigint[] IS NULL AND w.expires_at IS NOT NULL AND w.state = 'running'
      ORDER BY w.expires_at LIMIT %(page)s::int
    )
    UNION ALL
    SELECT w.expires_at, w.id FROM powertools.workflows w
    WHERE w.id = ANY (%(workflow_ids)s::bigint[]) AND w.expires_at IS NOT NULL AND w.state = 'running'
  ) AS e
)
SELECT c.*, w.name AS workflow_name
FROM coming c
LEFT JOIN LATERAL (SELECT * FROM powertools.workflows WHERE id = c.workflow_id LIMIT 1) AS w ON true
ORDER BY c.at, c.kind, c.workflow_id, c.job_id
LIMIT %(page)s::int;

-- name: rescue
-- Args: batch, thorough (bool; false: only what executors that are gone have left).
-- Rows: one, rescued (NULL: another node does it).
-- Locks: the part's row; the jobs by id, skipping those that are locked, then as settle.
-- Index: oban_jobs by state; executors are few.
SELECT powertools.rescue_v1(
  powertools.setting_v1('rescue'), %(batch)s::int,
  CASE WHEN %(thorough)s::bool THEN powertools.span_setting_v1('rescue_unknown_after') END
) AS rescued;

-- name: list_executing
-- The jobs that these producers have in hand according to the database.
-- Args: queues, producers.
-- Rows: id, attempted_at (UTC), producer.
-- Index: oban_jobs by state and queue.
SELECT j.id, j.attempted_at, j.attempted_by[2] AS producer
FROM public.oban_jobs j
WHERE j.state = 'executing' AND j.queue = ANY (%(queues)s::text[]) AND j.attempted_by[2] = ANY (%(producers)s::text[])
  AND j.attempted_at IS NOT NULL;

-- name: rescue_lost
-- Args: job_ids, attempted_ats (UTC).
-- Rows: one, rescued.
-- Locks: the jobs by id, skipping those that are locked, then as settle.
SELECT powertools.rescue_lost_v1(
  %(job_ids)s::bigint[], %(attempted_ats)s::timestamp[], powertools.setting_v1('rescue')
) AS rescued;

-- name: discard_exhausted
-- Discards jobs that are available without an attempt left, as Oban's own rescue does: they fill its fetches (oban/O20).
-- Args: batch.
-- Rows: their ids.
-- Locks: the jobs by id, skipping those that are locked, then as settle.
UPDATE public.oban_jobs j
SET state = 'discarded', discarded_at = timezone('UTC', clock_timestamp())
WHERE j.id = ANY (ARRAY(
  SELECT x.id FROM public.oban_jobs x
  WHERE x.state = 'available' AND x.attempt >= x.max_attempts ORDER BY x.id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
))
RETURNING j.id;

-- name: keep_late_results
-- Stores outcomes that the fence of an ack refused as late results, unless the job already has this very outcome (the
-- reply to its ack was lost, and the ack was sent again). An outcome that is no end is stored only when the attempt was
-- rescued.
-- Args: one entry an ack: ids, attempted_ats (UTC), attempts, states, errors, results. Rows: the ids of those
-- kept.
INSERT INTO powertools.late_results (
  job_id, attempt, attempted_at, attempted_by, state, result, error, queue, worker, workflow_id, position
)
SELECT j.id, a.attempt, a.attempted_at AT TIME ZONE 'UTC', coalesce(r.attempted_by, j.attempted_by), a.state, a.result,
  a.error, j.queue, j.worker, s.workflow_id, s.position
FROM unnest(
  %(ids)s::bigint[], %(attempted_ats)s::timestamp[], %(attempts)s::int[], %(states)s::text[], %(errors)s::jsonb[],
  %(results)s::jsonb[]
)
  AS a (id, attempted_at, attempt, state, error, result)
JOIN public.oban_jobs j ON j.id = a.id
LEFT JOIN LATERAL (
  SELECT r.attempted_by FROM powertools.rescues r
  WHERE r.job_id = a.id AND r.attempted_at = a.attempted_at AT TIME ZONE 'UTC' AND r.action <> 'left' LIMIT 1
) AS r ON true
LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
WHERE r.attempted_by IS NOT NULL
  OR a.state IN ('completed', 'discarded', 'cancelled')
    AND (j.attempted_at, j.state::text) IS DISTINCT FROM (a.attempted_at, a.state)
ON CONFLICT ON CONSTRAINT late_result_once DO NOTHING
RETURNING id;
