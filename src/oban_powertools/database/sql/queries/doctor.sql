-- What the doctor reads. A query named doctor_check_... has one row a finding: subject and found, at most 20; no row
-- means that all is well. doctor/checks.py has what is expected and what to do.

-- name: doctor_limit
-- For the transaction.
-- Args: limit (statement_timeout).
-- Rows: one.
SELECT set_config('statement_timeout', %(limit)s::text, true), set_config('jit', 'off', true);

-- name: doctor_functions
-- Args: schema.
-- Rows: name, bodies (text[], one for each signature), definer (runs with the rights of its owner).
SELECT p.proname::text AS name, array_agg(p.prosrc) AS bodies, bool_or(p.prosecdef) AS definer
FROM pg_proc p
WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = %(schema)s::text)
GROUP BY p.proname;

-- name: doctor_relations
-- Our tables, views and indexes, and the indexes of Oban's jobs.
-- Args: schema, prefix.
-- Rows: schema, name, ours, valid (NULL for what is no index), unlogged.
SELECT n.nspname::text AS schema, c.relname::text AS name, n.nspname = %(schema)s::text AS ours, i.indisvalid AS valid,
  c.relkind = 'r' AND c.relpersistence = 'u' AS unlogged
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'i')
  AND (
    n.nspname = %(schema)s::text
    OR c.oid = to_regclass(format('%%I.oban_jobs', %(prefix)s::text))
    OR i.indrelid = to_regclass(format('%%I.oban_jobs', %(prefix)s::text))
  )
ORDER BY c.relname;

-- name: doctor_constraints
-- Args: schema.
-- Rows: relation, name, valid.
SELECT c.relname::text AS relation, k.conname::text AS name, k.convalidated AS valid
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = %(schema)s::text);

-- name: doctor_triggers
-- Args: schema, prefix.
-- Rows: relation (with its schema), name, function (with its schema), fires (as pg_trigger.tgenabled).
SELECT format('%%s.%%s', n.nspname, c.relname) AS relation, t.tgname::text AS name, t.tgenabled::text AS fires,
  format('%%s.%%s', f.nspname, p.proname) AS function
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace f ON f.oid = p.pronamespace
WHERE NOT t.tgisinternal AND n.nspname IN (%(schema)s::text, %(prefix)s::text);

-- name: doctor_roots
-- For the transaction: the families that are copied.
-- Args: roots (ids of outermost workflows).
-- Rows: one.
SELECT set_config('powertools.doctor_roots', %(roots)s::bigint[]::text, true);

-- name: doctor_sample
-- Outermost workflows whose families together have about so many steps: of the 200 oldest and 200 newest unfinished
-- workflows and the 200 newest of all.
-- Args: steps.
-- Rows: one, ids.
-- Index: workflows_unfinished, workflows_pkey.
WITH chosen AS (
  (SELECT w.root_id FROM powertools.workflows w WHERE w.state IN ('running', 'cancel_requested') ORDER BY w.id LIMIT 200)
  UNION
  (SELECT w.root_id FROM powertools.workflows w WHERE w.state IN ('running', 'cancel_requested') ORDER BY w.id DESC LIMIT 200)
  UNION
  (SELECT w.root_id FROM powertools.workflows w ORDER BY w.id DESC LIMIT 200)
), sized AS (
  SELECT c.root_id, sum(w.total) OVER (ORDER BY w.total, w.id) AS upto
  FROM chosen c JOIN powertools.workflows w ON w.id = c.root_id
)
SELECT coalesce(array_agg(s.root_id), '{}') AS ids FROM sized s WHERE s.upto <= %(steps)s::bigint;

-- name: doctor_chunk
-- The next outermost workflows that have about so many steps of their own.
-- Args: after (an id), steps.
-- Rows: one, ids, last (the id to go on after; NULL at the end).
-- Index: workflows_pkey.
WITH seen AS (
  SELECT w.id, w.parent_id, sum(w.total) OVER (ORDER BY w.id) - w.total AS before
  FROM (SELECT * FROM powertools.workflows w WHERE w.id > %(after)s::bigint ORDER BY w.id LIMIT 10000) AS w
)
SELECT coalesce(array_agg(s.id) FILTER (WHERE s.parent_id IS NULL), '{}') AS ids, max(s.id) AS last
FROM seen s WHERE s.before < %(steps)s::bigint;

-- name: doctor_strays
-- What no index finds from a workflow: unfinished jobs whose meta names a step that runs on another job, and callbacks
-- that were inserted twice. Reads all jobs.
-- Rows: invariant, workflow_id, step_position, detail; at most 20 of each.
(
  SELECT 'one_live_job_a_step' AS invariant, s.workflow_id, s.position AS step_position,
    format('job %%s is %%s, the step has job %%s', j.id, j.state, s.job_id) AS detail
  FROM public.oban_jobs j
  JOIN powertools.steps s
    ON powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE j.state IN ('available', 'scheduled', 'executing', 'retryable', 'suspended')
    AND s.job_id <> j.id AND coalesce(j.meta ->> 'generation', s.generation::text) = s.generation::text
  LIMIT 20
)
UNION ALL
(
  SELECT 'on_finished_once_a_generation', (j.meta ->> 'workflow_id')::bigint, NULL, count(*) || ' jobs'
  FROM public.oban_jobs j
  WHERE j.meta ? 'outcome' AND j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$'
  GROUP BY 2, j.meta ->> 'generation' HAVING count(*) > 1
  LIMIT 20
);

-- name: doctor_check_settle_faults
-- Rows: subject, found.
-- Index: settle_faults_open.
SELECT format('job %%s of workflow %%s', f.job_id, f.workflow_id) AS subject,
  format('not settled since %%s, tried %%s times: %%s', to_char(f.first_fault_at, 'YYYY-MM-DD HH24:MI:SS TZ'), f.faults, left(f.message, 200)) AS found
FROM powertools.settle_faults f
WHERE f.repaired_at IS NULL
ORDER BY f.last_fault_at LIMIT 20;

-- name: doctor_check_event_log
-- Rows: subject, found.
-- Index: event_batches_unplaced.
SELECT 'the event log' AS subject,
  format('%%s %%s of events without a place, the oldest since %%s', count(*), CASE count(*) WHEN 1 THEN 'batch' ELSE 'batches' END, to_char(min(b.inserted_at), 'YYYY-MM-DD HH24:MI:SS TZ')) AS found
FROM (
  SELECT b.inserted_at FROM powertools.event_batches b WHERE b.last_cursor IS NULL ORDER BY b.id LIMIT 10000
) AS b
HAVING min(b.inserted_at) < clock_timestamp() - interval '1 minute';

-- name: doctor_check_sweep
-- Each part by itself, so that one that fails is not hidden by the others. All of them are one finding where no process
-- sweeps; before there is anything to do, that is good to know only. Retention rests for 10 minutes between its runs.
-- Rows: subject, found, level.
-- Index: workflows_unfinished.
WITH parts AS (
  SELECT p.name, p.succeeded_at, p.succeeded_at BETWEEN clock_timestamp() - k.every AND clock_timestamp() + interval '1 s' AS fresh
  FROM powertools.sweep_parts p
  CROSS JOIN LATERAL (SELECT CASE p.name WHEN 'retention' THEN interval '1 hour' ELSE interval '1 minute' END AS every) AS k
), whole AS (
  SELECT max(p.succeeded_at) AS succeeded_at, coalesce(bool_or(p.fresh), false) AS alive FROM parts p
)
SELECT 'the sweep' AS subject,
  CASE
    WHEN w.succeeded_at IS NOT NULL THEN 'it last succeeded at ' || to_char(w.succeeded_at, 'YYYY-MM-DD HH24:MI:SS TZ')
      || coalesce('; the event loops of ' || (
        SELECT string_agg(DISTINCT h.node, ', ') FROM powertools.executor_health_v1() AS h WHERE h.state = 'late' AND h.process_alive
      ) || ' are blocked', '')
    WHEN n.needed THEN 'it never succeeded, and there are unfinished workflows'
    ELSE 'no process with Powertools has run here yet, and nothing waits for one'
  END AS found,
  CASE WHEN w.succeeded_at IS NULL AND NOT n.needed THEN 'note' ELSE 'error' END AS level
FROM whole w
CROSS JOIN LATERAL (
  SELECT EXISTS (
    SELECT FROM powertools.workflows o
    WHERE o.state IN ('running', 'cancel_requested') AND o.inserted_at < clock_timestamp() - interval '1 minute'
  ) AS needed
) AS n
WHERE NOT w.alive
UNION ALL
SELECT 'the sweep''s part ' || p.name,
  coalesce('it last succeeded at ' || to_char(p.succeeded_at, 'YYYY-MM-DD HH24:MI:SS TZ'), 'it never succeeded'), 'error'
FROM parts p
-- a new database has pruned nothing yet
WHERE (SELECT w.alive FROM whole w) AND p.fresh IS NOT TRUE AND (p.name <> 'retention' OR p.succeeded_at IS NOT NULL);

-- name: doctor_check_retention
-- Rows: subject, found.
SELECT 'retention run ' || r.id AS subject, coalesce('failed: ' || left(r.error, 300), 'under way since over a day') AS found
FROM (SELECT * FROM powertools.prune_runs r ORDER BY r.id DESC LIMIT 1) AS r
WHERE r.outcome = 'failed' OR r.finished_at IS NULL AND r.started_at < clock_timestamp() - interval '1 day';

-- name: doctor_check_audit
-- Rows: subject, found.
-- Index: audit_links_unsealed.
SELECT 'the audit' AS subject, 'rows since ' || to_char(min(a.at), 'YYYY-MM-DD HH24:MI:SS TZ') || ' are not sealed' AS found
FROM (SELECT l.audit_id FROM powertools.audit_links l WHERE l.seal_id IS NULL ORDER BY l.audit_id LIMIT 1) AS l
JOIN powertools.audit a ON a.id = l.audit_id
HAVING min(a.at) < clock_timestamp() - interval '5 minutes';

-- name: doctor_check_semantics
-- Rows: subject, found.
-- Index: workflows_unfinished.
SELECT 'workflow ' || w.id AS subject, 'semantics version ' || w.semantics_version AS found
FROM powertools.workflows w
WHERE w.state IN ('running', 'cancel_requested') AND w.semantics_version <> 2
ORDER BY w.id LIMIT 20;

-- name: doctor_check_rejected_jobs
-- Rows that Oban's own Job refuses to read; one of them keeps every job of its fetch from running (oban/O3).
-- Rows: subject, found.
-- Index: oban_jobs by state.
SELECT format('job %%s in queue %%s', j.id, quote_literal(j.queue)) AS subject,
  concat_ws(', ',
    CASE WHEN j.priority > 9 THEN 'priority ' || j.priority END,
    CASE WHEN btrim(j.worker, E' \t\n\r\f\v') = '' THEN 'a blank worker' END,
    CASE WHEN btrim(j.queue, E' \t\n\r\f\v') = '' THEN 'a blank queue' END,
    CASE WHEN jsonb_typeof(j.args) <> 'object' THEN 'args that are no object' END,
    CASE WHEN jsonb_typeof(j.meta) <> 'object' THEN 'meta that is no object' END
  ) AS found
FROM public.oban_jobs j
WHERE j.state IN ('available', 'scheduled', 'retryable', 'executing')
  AND (
    j.priority > 9 OR btrim(j.worker, E' \t\n\r\f\v') = '' OR btrim(j.queue, E' \t\n\r\f\v') = ''
    OR jsonb_typeof(j.args) <> 'object' OR jsonb_typeof(j.meta) <> 'object'
  )
ORDER BY j.id LIMIT 20;

-- name: doctor_check_exhausted_jobs
-- Rows: subject, found.
-- Index: oban_jobs by state.
SELECT 'queue ' || j.queue AS subject, format('%%s %%s available without an attempt left, such as job %%s', count(*), CASE count(*) WHEN 1 THEN 'job' ELSE 'jobs' END, min(j.id)) AS found
FROM public.oban_jobs j
WHERE j.state = 'available' AND j.attempt >= j.max_attempts
GROUP BY j.queue ORDER BY j.queue LIMIT 20;

-- name: doctor_check_queues
-- Rows: subject, found, todo.
-- Index: oban_jobs by state and queue.
WITH RECURSIVE queues AS (
  (SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' ORDER BY j.queue LIMIT 1)
  UNION ALL
  SELECT (
    SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' AND j.queue > q.queue ORDER BY j.queue LIMIT 1
  )
  FROM queues q WHERE q.queue IS NOT NULL
)
SELECT 'queue ' || q.queue AS subject, format('%%s %%s available for over a minute, and no executor works on it', w.waiting, CASE w.number WHEN 1 THEN 'job' ELSE 'jobs' END) AS found,
  format('start one: powertools start --queues %%s:10', q.queue) AS todo
FROM queues q
CROSS JOIN LATERAL (
  SELECT CASE WHEN count(*) = 1000 THEN '1000 or more' ELSE count(*)::text END AS waiting, count(*) AS number
  FROM (
    SELECT FROM public.oban_jobs j
    WHERE j.state = 'available' AND j.queue = q.queue AND j.scheduled_at < timezone('UTC', now()) - interval '1 minute'
    LIMIT 1000
  ) AS j
) AS w
WHERE w.number > 0 AND (SELECT f.executors = 0 FROM powertools.queue_facts_v1(ARRAY[q.queue]) AS f)
LIMIT 20;

-- name: doctor_check_outcomes_aside
-- Outcomes that executors hold because the database does not take them, for over a minute.
-- Rows: subject, found.
SELECT 'executor ' || e.executor_id AS subject,
  format(
    'holds %%s that could not be stored, the oldest for %%s s, as its last heartbeat reported', e.aside,
    round(extract(epoch FROM clock_timestamp() - e.aside_since))
  ) AS found
FROM powertools.executors e
WHERE e.aside > 0 AND e.stopped_at IS NULL AND e.aside_since < clock_timestamp() - interval '1 minute'
ORDER BY e.aside_since
LIMIT 20;

-- name: doctor_check_unlogged
-- A crash of the server empties Oban's own UNLOGGED tables (oban/O16): jobs execute and no producer is recorded.
-- Rows: subject, found.
-- Index: oban_jobs by state.
SELECT 'table oban_producers' AS subject,
  format('empty, while %%s %%s began to execute in the last 5 minutes', count(*), CASE count(*) WHEN 1 THEN 'job' ELSE 'jobs' END) AS found
FROM public.oban_jobs j
WHERE j.state = 'executing' AND j.attempted_at > timezone('UTC', now()) - interval '5 minutes'
  AND NOT EXISTS (SELECT FROM public.oban_producers)
HAVING count(*) > 0;

-- name: doctor_check_leader
-- With several nodes, a lease that is shorter than Oban's renewal every 15 s makes all of them leaders (oban/O1).
-- Rows: subject, found.
SELECT 'Oban''s leader lease' AS subject,
  format('%%s s long, with %%s nodes: each of them leads most of the time', round(extract(epoch FROM l.expires_at - l.elected_at)), n.nodes) AS found
FROM public.oban_leaders l
CROSS JOIN (
  SELECT count(DISTINCT p.node) AS nodes FROM powertools.producers_at_work p
) AS n
WHERE l.expires_at - l.elected_at < interval '15 s' AND n.nodes > 1;

-- name: doctor_session
-- Rows: one; pid, clock (the database's), server_version.
SELECT pg_backend_pid() AS pid, clock_timestamp() AS clock, current_setting('server_version') AS server_version;

-- name: doctor_session_limit
-- For the session.
-- Args: limit (statement_timeout).
-- Rows: one.
SELECT set_config('statement_timeout', %(limit)s::text, false);

-- name: deploy_check_work
-- What is still to run, by worker, queue and the names of its arguments: unfinished steps that have no job yet, and
-- unfinished jobs, those of steps and plain ones. Reads all of them.
-- Rows: kind (job, step or item), worker, queue, arguments (their names, sorted), args_are_object, count, longest
--   (bytes of args), example.
-- Index: workflows_unfinished, oban_jobs by state.
WITH unfinished AS (
  SELECT s.*, w.name AS workflow
  FROM powertools.workflows w JOIN powertools.steps s ON s.workflow_id = w.id
  WHERE w.state IN ('running', 'cancel_requested') AND s.kind IN ('job', 'map') AND s.state = 'pending'
), work AS (
  SELECT 'step' AS kind, u.worker, u.queue, u.args, u.template, format('step %s of workflow %s', quote_ident(u.name), u.workflow_id) AS example
  FROM unfinished u WHERE u.kind = 'job'
  UNION ALL
  SELECT 'item', u.worker, u.queue, NULL, u.item_template, format('items of step %s of workflow %s', quote_ident(u.name), u.workflow_id)
  FROM unfinished u WHERE u.kind = 'map'
  UNION ALL
  SELECT 'job', j.worker, j.queue, j.args, NULL, 'job ' || j.id
  FROM public.oban_jobs j
  WHERE j.state IN ('available', 'scheduled', 'executing', 'retryable', 'suspended')
), given AS (
  SELECT w.kind, w.worker, w.queue, w.example, octet_length(a.args::text) AS bytes, jsonb_typeof(a.args) AS type,
    CASE jsonb_typeof(a.args) WHEN 'object' THEN ARRAY(SELECT k FROM jsonb_object_keys(a.args) AS k ORDER BY k) ELSE '{}' END AS arguments
  FROM work w
  CROSS JOIN LATERAL (
    -- a template is text with references in between, each in the place of a value
    SELECT coalesce(w.args, (
      SELECT string_agg(CASE jsonb_typeof(t.part) WHEN 'string' THEN t.part #>> '{}' ELSE 'null' END, '' ORDER BY t.place)::jsonb
      FROM jsonb_array_elements(w.template) WITH ORDINALITY AS t (part, place)
    )) AS args
  ) AS a
)
SELECT g.kind, g.worker, g.queue, g.arguments, g.type = 'object' AS args_are_object, count(*) AS count, max(g.bytes) AS longest,
  min(g.example) AS example
FROM given g
GROUP BY g.kind, g.worker, g.queue, g.arguments, g.type
ORDER BY g.worker, g.queue, g.kind, g.arguments;
