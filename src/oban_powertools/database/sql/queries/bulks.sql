-- Bulk repairs: their targets, their manifests, and what has become of each item.

-- name: bulk_jobs
-- The jobs that match the filter of a bulk repair.
-- Args: ids (text[] or NULL), state, queue, worker, executor_id (text or NULL), callbacks (bool: of workflows' ends only), page (int).
-- Rows: target_id, state_hash (NULL: there is none), by id. Index: the primary key, else oban_jobs by state and queue.
WITH given AS (
  SELECT g.id FROM unnest(%(ids)s::text[]) AS g (id)
), jobs AS (
  SELECT j.id, j.state, j.attempt, j.attempted_at, j.attempted_by FROM public.oban_jobs j
  WHERE (%(ids)s::text[] IS NULL OR j.id IN (SELECT g.id::bigint FROM given g))
    AND (%(state)s::text IS NULL OR j.state = %(state)s::text::public.oban_job_state)
    AND (%(queue)s::text IS NULL OR j.queue = %(queue)s::text)
    AND (%(worker)s::text IS NULL OR j.worker = %(worker)s::text)
    AND (%(executor_id)s::text IS NULL OR j.state = 'executing' AND EXISTS (
      SELECT FROM powertools.executors e
      WHERE e.executor_id = %(executor_id)s::text AND e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    ))
    AND (NOT %(callbacks)s::bool OR NOT j.meta ? 'position' AND j.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps'])
  ORDER BY j.id LIMIT %(page)s::int
)
SELECT coalesce(j.id::text, g.id) AS target_id, CASE WHEN j.id IS NOT NULL
  THEN powertools.payload_hash_v1(jsonb_build_array(j.state, j.attempt, j.attempted_at, j.attempted_by)) END AS state_hash
FROM jobs j FULL JOIN given g ON g.id::bigint = j.id
ORDER BY coalesce(j.id, g.id::bigint) LIMIT %(page)s::int;

-- name: bulk_steps
-- The steps that match the filter of a bulk repair.
-- Args: ids (text[] of workflow/step, or NULL), state, cause, step, worker, queue, workflow_name (text or NULL), workflow_id (bigint or
--   NULL), page (int).
-- Rows: target_id, state_hash (NULL: there is none), by workflow and position. Index: the keys of steps; workflows_name.
WITH given AS (
  SELECT g.id, split_part(g.id, '/', 1)::bigint AS workflow_id, substring(g.id FROM '/(.*)') AS name
  FROM unnest(%(ids)s::text[]) AS g (id)
), steps AS (
  SELECT s.workflow_id, s.position, s.name, s.state, s.generation, s.job_id, s.attempt, s.cause, s.held_until
  FROM powertools.step_states s
  WHERE (%(ids)s::text[] IS NULL OR (s.workflow_id, s.name) IN (SELECT g.workflow_id, g.name FROM given g))
    AND (%(state)s::text IS NULL OR s.state = %(state)s::text)
    AND (%(cause)s::text IS NULL OR s.cause = %(cause)s::text)
    AND (%(step)s::text IS NULL OR s.name = %(step)s::text)
    AND (%(worker)s::text IS NULL OR s.worker = %(worker)s::text)
    AND (%(queue)s::text IS NULL OR s.queue = %(queue)s::text)
    AND (%(workflow_id)s::bigint IS NULL OR s.workflow_id = %(workflow_id)s::bigint)
    AND (%(workflow_name)s::text IS NULL OR s.workflow_id IN (
      SELECT w.id FROM powertools.workflows w WHERE w.name = %(workflow_name)s::text
    ))
  ORDER BY s.workflow_id, s.position LIMIT %(page)s::int
)
SELECT coalesce(format('%%s/%%s', s.workflow_id, s.name), g.id) AS target_id, CASE WHEN s.name IS NOT NULL
  THEN powertools.payload_hash_v1(jsonb_build_array(s.state, s.generation, s.job_id, s.attempt, s.cause, s.held_until)) END AS state_hash
FROM steps s FULL JOIN given g ON g.workflow_id = s.workflow_id AND g.name = s.name
ORDER BY coalesce(s.workflow_id, g.workflow_id), s.position, g.name LIMIT %(page)s::int;

-- name: bulk_workflows
-- Workflows that a bulk repair is about.
-- Args: ids (text[] or NULL), state, workflow_name, tag (text or NULL), page (int).
-- Rows: target_id, state_hash (NULL: there is none), by id. Index: the primary key, workflows_name, workflows_unfinished.
WITH given AS (
  SELECT g.id FROM unnest(%(ids)s::text[]) AS g (id)
), workflows AS (
  SELECT w.id, w.state, w.generation, w.open, w.failed FROM powertools.workflows w
  WHERE (%(ids)s::text[] IS NULL OR w.id IN (SELECT g.id::bigint FROM given g))
    AND (%(state)s::text IS NULL OR w.state = %(state)s::text)
    AND (%(workflow_name)s::text IS NULL OR w.name = %(workflow_name)s::text)
    AND (%(tag)s::text IS NULL OR %(tag)s::text = ANY (w.tags))
  ORDER BY w.id LIMIT %(page)s::int
)
SELECT coalesce(w.id::text, g.id) AS target_id, CASE WHEN w.id IS NOT NULL
  THEN powertools.payload_hash_v1(jsonb_build_array(w.state, w.generation, w.open, w.failed)) END AS state_hash
FROM workflows w FULL JOIN given g ON g.id::bigint = w.id
ORDER BY coalesce(w.id, g.id::bigint) LIMIT %(page)s::int;

-- name: bulk_signals
-- Signals that a bulk repair is about: without ids, those that are stored.
-- Args: ids (text[] or NULL), signal (text or NULL), page (int).
-- Rows: target_id, state_hash (NULL: there is none), by id. Index: the primary key, signals_stored.
WITH given AS (
  SELECT g.id FROM unnest(%(ids)s::text[]) AS g (id)
), signals AS (
  SELECT s.id, s.status, s.wait_id FROM powertools.signals s
  WHERE (%(ids)s::text[] IS NULL AND s.status = 'stored' OR s.id IN (SELECT g.id::bigint FROM given g))
    AND (%(signal)s::text IS NULL OR s.signal = %(signal)s::text)
  ORDER BY s.id LIMIT %(page)s::int
)
SELECT coalesce(s.id::text, g.id) AS target_id, CASE WHEN s.id IS NOT NULL
  THEN powertools.payload_hash_v1(jsonb_build_array(s.status, s.wait_id)) END AS state_hash
FROM signals s FULL JOIN given g ON g.id::bigint = s.id
ORDER BY coalesce(s.id, g.id::bigint) LIMIT %(page)s::int;

-- name: step_places
-- Where these steps are; without those that do not exist.
-- Args: workflow_ids (bigint[]), names (text[]): one entry a step. Rows: workflow_id, position. Index: step_name_unique.
SELECT s.workflow_id, s.position
FROM unnest(%(workflow_ids)s::bigint[], %(names)s::text[]) AS n (workflow_id, name)
JOIN powertools.steps s ON s.workflow_id = n.workflow_id AND s.name = n.name;

-- name: workflows_judged
-- What decides which repairs of workflows are legal. Reads every step of them.
-- Args: ids (bigint[]), not_started (text[], the states of steps that may be held).
-- Rows: id, held, holdable (steps), retryable (failed steps that may run again), revival_refused (text or NULL), repeated (retryable
--   steps that may have had effects). Index: the primary keys.
SELECT w.id, n.held, n.holdable, cardinality(r.positions) AS retryable, powertools.revival_refusal_v1(w.id) AS revival_refused, (
    SELECT count(*)::int FROM powertools.steps s
    WHERE s.workflow_id = w.id AND s.position = ANY (r.positions) AND s.effects = 'ask' AND s.attempt > 0
  ) AS repeated
FROM powertools.workflows w
CROSS JOIN LATERAL (SELECT powertools.retryable_v1(w.id) AS positions) AS r
CROSS JOIN LATERAL (
  SELECT count(s.held_until) AS held,
    count(*) FILTER (WHERE s.state = ANY (%(not_started)s::text[]) OR s.held_until IS NOT NULL) AS holdable
  FROM powertools.step_states s WHERE s.workflow_id = w.id
) AS n
WHERE w.id = ANY (%(ids)s::bigint[])
ORDER BY w.id;

-- name: signals_judged
-- Args: ids (bigint[]). Rows: id, status, by id. Index: the primary key.
SELECT g.id, g.status FROM powertools.signals g WHERE g.id = ANY (%(ids)s::bigint[]) ORDER BY g.id;

-- name: store_bulk
-- Args: actor_id, action, manifest_hash (text), filter (jsonb text), arguments (json text), incident_fingerprint (text or
--   NULL), token_hash (bytea), ready_for (interval), target_ids, state_hashes (text[], one entry an item). Rows: id, inserted_at, expires_at.
WITH bulk AS (
  INSERT INTO powertools.bulks AS b (
    actor_id, action, filter, arguments, manifest_hash, incident_fingerprint, total, token_hash, expires_at
  )
  VALUES (
    %(actor_id)s, %(action)s, %(filter)s::jsonb, %(arguments)s::json, %(manifest_hash)s, %(incident_fingerprint)s::text,
    cardinality(%(target_ids)s::text[]), %(token_hash)s::bytea, clock_timestamp() + %(ready_for)s::interval
  )
  RETURNING b.id, b.inserted_at, b.expires_at
), items AS (
  INSERT INTO powertools.bulk_items (bulk_id, place, target_id, state_hash)
  SELECT b.id, i.place, i.target_id, i.state_hash
  FROM bulk b CROSS JOIN unnest(%(target_ids)s::text[], %(state_hashes)s::text[]) WITH ORDINALITY AS i (target_id, state_hash, place)
)
SELECT id, inserted_at, expires_at FROM bulk;

-- name: store_bulk_token
-- Args: id (bigint), token_hash (bytea).
UPDATE powertools.bulks b SET token_hash = %(token_hash)s::bytea WHERE b.id = %(id)s::bigint;

-- name: repair_secret
-- Rows: one: secret.
SELECT powertools.repair_secret_v1() AS secret;

-- name: find_bulk
-- Args: token_hash (bytea or NULL), id (bigint or NULL). Rows: none, or one, with counts by outcome.
SELECT b.id, CASE WHEN b.status = 'ready' AND b.expires_at <= clock_timestamp() THEN 'expired' ELSE b.status END AS status,
  b.actor_id, b.action, b.filter, b.arguments, b.manifest_hash, b.incident_fingerprint, b.total, b.reason, b.inserted_at, b.expires_at,
  b.started_at, b.token_hash,
  b.ended_at, (
    SELECT coalesce(jsonb_object_agg(c.outcome, c.items), '{}')
    FROM (SELECT i.outcome, count(*) AS items FROM powertools.bulk_items i WHERE i.bulk_id = b.id GROUP BY i.outcome) AS c
  ) AS outcomes
FROM powertools.bulks b WHERE b.token_hash = %(token_hash)s::bytea OR b.id = %(id)s::bigint;

-- name: start_bulk
-- Args: id (bigint), actor_id, reason (text). Rows: id; none when it may not begin, or began before. Locks: the bulk.
UPDATE powertools.bulks b SET status = 'running', started_at = clock_timestamp(), reason = %(reason)s::text
WHERE b.id = %(id)s::bigint AND b.actor_id = %(actor_id)s::text AND b.status = 'ready' AND b.expires_at > clock_timestamp()
RETURNING b.id;

-- name: end_bulk
-- Args: id (bigint). Rows: id; none while items are pending. Locks: the bulk.
UPDATE powertools.bulks b SET status = 'done', ended_at = clock_timestamp()
WHERE b.id = %(id)s::bigint AND b.status = 'running' AND NOT EXISTS (
  SELECT FROM powertools.bulk_items i WHERE i.bulk_id = b.id AND i.outcome = 'pending'
)
RETURNING b.id;

-- name: bulk_items
-- Args: id (bigint), pending (bool: only those), page (int). Rows: place, target_id, state_hash, outcome, detail, ended_at, by place.
SELECT i.place, i.target_id, i.state_hash, i.outcome, i.detail, i.ended_at
FROM powertools.bulk_items i
WHERE i.bulk_id = %(id)s::bigint AND (NOT %(pending)s::bool OR i.outcome = 'pending')
ORDER BY i.place LIMIT %(page)s::int;

-- name: end_bulk_item
-- Args: id (bigint), place (int), outcome (text), detail (text or NULL). Rows: place; none when somebody ended it.
-- Locks: the item.
UPDATE powertools.bulk_items i SET outcome = %(outcome)s::text, detail = %(detail)s::text, ended_at = clock_timestamp()
WHERE i.bulk_id = %(id)s::bigint AND i.place = %(place)s::int AND i.outcome = 'pending'
RETURNING i.place;
