-- Previews, what a repair changed, and the repairs of jobs.

-- name: repair_step
-- A step as a repair's target.
-- Args: workflow_id (bigint), step (text).
-- Rows: none, or one. Index: step_name_unique.
SELECT w.name AS workflow_name, w.tags, w.root_id, w.semantics_version, w.state AS workflow_state, s.queue, s.worker, s.state,
  s.effects, s.job_id, j.state::text AS job_state
FROM powertools.workflows w
LEFT JOIN powertools.steps s ON s.workflow_id = w.id AND s.name = %(step)s::text
LEFT JOIN public.oban_jobs j
  ON s.state = 'available' AND powertools.is_its_job_v1(s, j.id, j.meta)
WHERE w.id = %(workflow_id)s::bigint;

-- name: repair_jobs
-- Jobs as a repair's targets, each with its step while that runs on it or ended with it, and its executor. One that has sent
-- no heartbeat since the server started, shorter ago than would be silence, is unheard.
-- Args: ids (bigint[]).
-- Rows: by id. Index: primary keys; executors are few.
WITH health AS MATERIALIZED (
  SELECT x.node, x.producer, x.executor_id, powertools.first_of_process_v1(x) AS process_executor_id, h.state, extract(epoch FROM clock_timestamp() - x.beat_at)::int AS seconds,
    h.state = 'late' AND x.executor_id IN (SELECT s.executor_id FROM powertools.silent_executors s) AS silent,
    x.beat_at < powertools.server_started_at() AS unheard, x.died_at IS NOT NULL AS process_ended,
    EXISTS (SELECT FROM powertools.gone_executors g WHERE g.executor_id = x.executor_id) AS gone
  FROM powertools.executors x
  JOIN powertools.executor_health_v1() h ON h.executor_id = x.executor_id
)
SELECT j.id, j.state::text AS state, j.queue, j.worker, j.attempt,
  j.meta ?& ARRAY['position', 'uid'] AS of_a_step,
  NOT j.meta ? 'position' AND j.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps'] AS is_callback,
  s.workflow_id, s.position, s.name AS step, s.state AS step_state, s.effects, s.held_until, s.cause, w.root_id, w.name AS workflow_name, w.tags,
  w.semantics_version, e.executor_id, e.process_executor_id, e.seconds AS beat_seconds, e.process_ended, (
    SELECT powertools.missing_in_v1(x) FROM powertools.executors x WHERE x.executor_id = e.executor_id
  ) AS missing_in,
  CASE
    WHEN j.state <> 'executing' THEN NULL
    WHEN e.executor_id IS NULL THEN CASE WHEN EXISTS (
      SELECT FROM public.oban_producers p
      WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
    ) THEN 'healthy' ELSE 'unknown' END
    WHEN e.gone THEN 'gone'
    WHEN e.silent THEN 'silent'
    WHEN e.unheard AND e.state IN ('healthy', 'late') THEN 'unheard'
    ELSE e.state
  END AS executor_state
FROM public.oban_jobs j
LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
LEFT JOIN powertools.workflows w ON w.id = s.workflow_id
LEFT JOIN health e ON j.state = 'executing' AND e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
WHERE j.id = ANY (%(ids)s::bigint[])
ORDER BY j.id;

-- name: executor_job_ids
-- The jobs that an executor has in hand, if it exists.
-- Args: executor_id (text).
-- Rows: none, or one: queue, ids (bigint[], ascending). Index: oban_jobs by state; executors by id.
SELECT e.producer_scope AS queue, ARRAY(
  SELECT j.id FROM public.oban_jobs j
  WHERE j.state = 'executing' AND j.attempted_by[1] = e.node AND j.attempted_by[2] = e.producer
  ORDER BY j.id
) AS ids
FROM powertools.executors e WHERE e.executor_id = %(executor_id)s::text;

-- name: repair_late_result
-- Args: id (bigint). Rows: none, or one.
SELECT l.id, l.state, l.job_id, l.queue, l.worker, l.result, l.attempt, l.adopted_at IS NOT NULL OR l.dismissed_at IS NOT NULL AS decided
FROM powertools.late_results l WHERE l.id = %(id)s::bigint;

-- name: repair_signal
-- A signal as a repair's target, with the wait of the step that is to take it.
-- Args: id (bigint); workflow_id (bigint) and step (text) of that step, or NULL.
-- Rows: none, or one: to_wait_id is NULL while that step does not wait; workflow_name and workflow_tags of the workflow that its sender
--   named. Index: the primary keys, step_name_unique.
SELECT g.id, g.signal, g.correlation_key, g.status, g.workflow_id, powertools.fingerprint_v1('unclaimed_signal:' || g.signal) AS fingerprint,
  coalesce(g.expires_at <= clock_timestamp(), false) AS expired, n.name AS workflow_name, coalesce(n.tags, '{}') AS workflow_tags,
  v.id AS to_wait_id, v.workflow_id AS to_workflow_id, v.signal AS to_signal, v.correlation_key AS to_correlation_key
FROM powertools.signals g
LEFT JOIN powertools.workflows n ON n.id = g.workflow_id
LEFT JOIN powertools.steps s ON s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text
LEFT JOIN powertools.waits v ON v.id = s.wait_id AND v.state = 'waiting' AND s.state = 'awaiting_signal'
WHERE g.id = %(id)s::bigint;

-- name: lock_repair_jobs
-- Args: ids (bigint[]). Rows: one without columns a job. Locks: the jobs by id.
SELECT FROM public.oban_jobs j WHERE j.id = ANY (%(ids)s::bigint[]) ORDER BY j.id FOR UPDATE;

-- name: lock_repair_families
-- Args: workflow_ids (bigint[]). Rows: one. Locks: the families' outermost workflows by id.
SELECT powertools.lock_families_v1(%(workflow_ids)s::bigint[]) AS stopping;

-- name: lock_late_result
-- Args: id (bigint). Rows: one without columns, or none. Locks: the late result, after the job and the family.
SELECT FROM powertools.late_results l WHERE l.id = %(id)s::bigint FOR UPDATE;

-- name: lock_signal
-- Args: id (bigint). Rows: one without columns, or none. Locks: the signal, after the family that is to take it.
SELECT FROM powertools.signals g WHERE g.id = %(id)s::bigint FOR UPDATE;

-- name: repair_mark
-- Rows: one: marker, last_job_id, last_batch_id.
SELECT marker, last_job_id, last_batch_id FROM powertools.repair_mark_v1();

-- name: repair_after
-- Args: roots, job_ids, late_ids, signal_ids (bigint[]), marker, last_job_id (bigint).
-- Rows: source, id, content (json text): what this transaction has written since the marker.
SELECT source, id, content::text
FROM powertools.repair_after_v2(
  %(roots)s::bigint[], %(job_ids)s::bigint[], %(late_ids)s::bigint[], %(signal_ids)s::bigint[], %(marker)s::bigint,
  %(last_job_id)s::bigint
);

-- name: repair_events
-- Args: marker, last_batch_id (bigint). Rows: change, events (how many), by change.
SELECT change, events
FROM powertools.repair_events_v1(%(marker)s::bigint, %(last_batch_id)s::bigint);

-- name: repair_before
-- Args: sources, ids (text[]), one entry a row. Rows: source, id, content (json text) of those that exist.
SELECT source, id, content::text FROM powertools.repair_before_v1(%(sources)s::text[], %(ids)s::text[]);

-- name: rescue_jobs
-- Args: ids (bigint[]). Rows: one. Locks: the caller holds the jobs; then as settle.
SELECT powertools.rescue_jobs_v1(%(ids)s::bigint[]) AS rescued;

-- name: retry_job
-- Args: id (bigint). Rows: one. Locks: the caller holds the job; then as settle.
SELECT powertools.retry_job_v1(%(id)s::bigint);

-- name: cancel_job
-- Args: id (bigint). Rows: one. Locks: the caller holds the job; then as settle.
SELECT powertools.cancel_job_v1(%(id)s::bigint);

-- name: discard_job
-- Args: id (bigint). Rows: one. Locks: the caller holds the job; then as settle.
SELECT powertools.discard_job_v1(%(id)s::bigint);

-- name: adopt_result
-- Args: id (bigint), result (jsonb text or NULL). Rows: one. Locks: the caller holds the job; then as settle.
SELECT powertools.adopt_result_v1(%(id)s::bigint, %(result)s::jsonb);

-- name: decide_late_result
-- Args: id (bigint), adopted (bool), actor (text). Rows: id, or none when it was decided before.
UPDATE powertools.late_results l
SET adopted_at = CASE WHEN %(adopted)s::bool THEN clock_timestamp() END,
    dismissed_at = CASE WHEN NOT %(adopted)s::bool THEN clock_timestamp() END,
    decided_by = %(actor)s::text
WHERE l.id = %(id)s::bigint AND l.adopted_at IS NULL AND l.dismissed_at IS NULL
RETURNING l.id;

-- name: redirect_signal
-- Args: id, wait_id (bigint). Rows: one. Locks: the caller holds the signal and the family of the wait; then as settle.
SELECT powertools.redirect_signal_v1(%(id)s::bigint, %(wait_id)s::bigint);

-- name: discard_signal
-- Args: id (bigint). Rows: one. Locks: the caller holds the signal.
SELECT powertools.discard_signal_v1(%(id)s::bigint);

-- name: expire_previews
-- A preview that has ended keeps no payload, here and below.
-- Args: actor_id, plan_hash (text). Rows: id.
UPDATE powertools.previews p SET status = 'expired', ended_at = clock_timestamp(), arguments = (p.arguments::jsonb - 'payload')::json
WHERE p.actor_id = %(actor_id)s::text AND p.plan_hash = %(plan_hash)s::text AND p.status = 'ready'
  AND p.expires_at <= clock_timestamp()
RETURNING p.id;

-- name: store_preview
-- The ready preview of this plan and actor: the one that is there, or a new one.
-- Args: actor_id, action, target_type, target_id, incident_fingerprint (text or NULL), plan_hash (text), arguments, written (json text),
--   plan (jsonb text), ready_for (interval).
-- Rows: one: id, nonce, secret, inserted_at, expires_at, is_new (bool).
WITH stored AS (
  INSERT INTO powertools.previews AS p (
    actor_id, action, target_type, target_id, arguments, incident_fingerprint, plan_hash, plan, written, expires_at
  )
  VALUES (
    %(actor_id)s, %(action)s, %(target_type)s, %(target_id)s, %(arguments)s::json, %(incident_fingerprint)s,
    %(plan_hash)s, %(plan)s::jsonb, %(written)s::json, clock_timestamp() + %(ready_for)s::interval
  )
  ON CONFLICT (actor_id, plan_hash) WHERE status = 'ready' DO UPDATE SET plan_hash = excluded.plan_hash
  -- An inserted row was written by nobody else yet.
  RETURNING p.id, p.nonce, p.inserted_at, p.expires_at, p.xmax = 0 AS is_new
)
SELECT s.id, s.nonce, s.inserted_at, s.expires_at, s.is_new, powertools.repair_secret_v1() AS secret FROM stored s;

-- name: store_token
-- Args: id (bigint), token_hash (bytea).
UPDATE powertools.previews p SET token_hash = %(token_hash)s::bytea
WHERE p.id = %(id)s::bigint AND p.token_hash IS DISTINCT FROM %(token_hash)s::bytea;

-- name: find_preview
-- Args: token_hash (bytea or NULL), id (bigint or NULL). Rows: none, or one.
SELECT p.id, CASE WHEN p.status = 'ready' AND p.expires_at <= clock_timestamp() THEN 'expired' ELSE p.status END AS status,
  p.actor_id, p.action, p.target_type, p.target_id, p.arguments, p.incident_fingerprint, p.plan_hash, p.plan, p.inserted_at,
  p.expires_at, p.ended_at, clock_timestamp() AS now
FROM powertools.previews p
WHERE p.token_hash = %(token_hash)s::bytea OR p.id = %(id)s::bigint;

-- name: list_previews
-- Args: status, actor, action, target_type, target_id (text or NULL for all), actions (text[]: those that are known), before (bigint
--   or NULL), compared (int: rows of an open one that are returned), page (int, rows).
-- Rows: newest first; approved_by: who approved it as the second person; changes: the first rows of an open one, else []. Index: the
--   primary key; approvals by audit_action.
SELECT p.id, s.status, p.actor_id, p.action, p.target_type, p.target_id, p.incident_fingerprint, p.plan_hash,
  (p.plan ->> 'total')::int AS total_changes, p.plan -> 'warnings' AS warnings, (p.plan ->> 'version')::int AS version,
  p.inserted_at AS created_at, p.expires_at, p.ended_at, v.actor_id AS approved_by, CASE
    WHEN s.status = 'ready' THEN jsonb_path_query_array(
      p.plan -> 'changes', '$[0 to $last]', jsonb_build_object('last', %(compared)s::int - 1)
    )
    ELSE '[]'
  END AS changes
FROM powertools.previews p
CROSS JOIN LATERAL (
  SELECT CASE WHEN p.status = 'ready' AND p.expires_at <= clock_timestamp() THEN 'expired' ELSE p.status END AS status
) AS s
LEFT JOIN LATERAL (
  SELECT a.actor_id FROM powertools.audit a
  WHERE p.status <> 'expired' AND a.action = 'repair_approve' AND a.outcome = 'executed' AND a.at >= p.inserted_at
    AND (a.details ->> 'preview')::bigint = p.id AND a.plan_hash = p.plan_hash AND a.actor_id <> p.actor_id
  ORDER BY a.id LIMIT 1
) AS v ON true
WHERE p.action = ANY (%(actions)s::text[])
  AND (%(status)s::text IS NULL OR s.status = %(status)s::text)
  AND (%(actor)s::text IS NULL OR p.actor_id = %(actor)s::text)
  AND (%(action)s::text IS NULL OR p.action = %(action)s::text)
  AND (%(target_type)s::text IS NULL OR p.target_type = %(target_type)s::text)
  AND (%(target_id)s::text IS NULL OR p.target_id = %(target_id)s::text)
  AND (%(before)s::bigint IS NULL OR p.id < %(before)s::bigint)
ORDER BY p.id DESC LIMIT %(page)s::int;

-- name: find_token
-- Args: id (bigint). Rows: none, or one: nonce, token_hash, secret.
SELECT p.nonce, p.token_hash, powertools.repair_secret_v1() AS secret FROM powertools.previews p WHERE p.id = %(id)s::bigint;

-- name: execution_of
-- Args: id (bigint) of a preview. Rows: as list_audit; none, or one. Index: audit_at.
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM powertools.previews p
JOIN powertools.audit a ON a.at BETWEEN p.inserted_at AND p.ended_at + interval '1 min' AND a.preview_id = p.id AND a.outcome = 'executed'
LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
WHERE p.id = %(id)s::bigint AND p.status = 'consumed'
ORDER BY a.id DESC LIMIT 1;

-- name: approval_of
-- Args: id (bigint) of a preview. Rows: as list_audit; none, or one: the first approval by somebody else. Index: audit_action.
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM powertools.previews p
JOIN powertools.audit a ON a.action = 'repair_approve' AND a.outcome = 'executed' AND a.at >= p.inserted_at
  AND (a.details ->> 'preview')::bigint = p.id AND a.plan_hash = p.plan_hash AND a.actor_id <> p.actor_id
LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
WHERE p.id = %(id)s::bigint
ORDER BY a.id LIMIT 1;

-- name: consume_preview
-- Args: id (bigint), actor_id (text). Locks: the preview.
-- Rows: id, written (json: kind -> id -> checksum or null); none when it may not be consumed (any more).
UPDATE powertools.previews p SET status = 'consumed', ended_at = clock_timestamp(), arguments = (p.arguments::jsonb - 'payload')::json
WHERE p.id = %(id)s::bigint AND p.status = 'ready' AND p.expires_at > clock_timestamp() AND p.actor_id = %(actor_id)s::text
RETURNING p.id, p.written;

-- name: end_preview
-- Args: id (bigint), status (drifted or expired). Rows: id; none when it had ended.
UPDATE powertools.previews p SET status = %(status)s::text, ended_at = clock_timestamp(), arguments = (p.arguments::jsonb - 'payload')::json
WHERE p.id = %(id)s::bigint AND p.status = 'ready'
RETURNING p.id;
