-- name: insert_webhook_endpoint
-- Args: url, description, types (text[], empty: those of workflows), workflow_name (NULL: any), allow_private, secret (NULL:
--   none), format, console_url (NULL: none); cursor (bigint).
-- Rows: id; one.
WITH endpoint AS (
  INSERT INTO powertools.webhook_endpoints (
    url, description, types, workflow_name, allow_private, cursor, format, console_url
  )
  VALUES (
    %(url)s, %(description)s, %(types)s::text[], %(workflow_name)s::text, %(allow_private)s, %(cursor)s::bigint, %(format)s::text,
    %(console_url)s::text
  )
  RETURNING id
), secret AS (
  INSERT INTO powertools.webhook_secrets (endpoint_id, place, secret) SELECT e.id, 1, %(secret)s::text FROM endpoint e WHERE %(secret)s::text IS NOT NULL
)
SELECT id FROM endpoint;

-- name: read_webhook_endpoints
-- Args: id (NULL: all).
-- Rows: an endpoint's columns, and pending and dead (how many deliveries, at most 10,001); by id.
-- Index: of the counts, webhook_deliveries_pending and webhook_deliveries_dead.
SELECT e.id, e.url, e.description, e.types, e.workflow_name, e.allow_private, e.enabled, e.disabled_reason, e.cursor,
  e.missed, p.pending, d.dead, s.old_secret_until, e.inserted_at, e.updated_at, e.format, e.console_url
FROM powertools.webhook_endpoints e
CROSS JOIN LATERAL (
  SELECT count(*) AS pending FROM (
    SELECT FROM powertools.webhook_deliveries w WHERE w.endpoint_id = e.id AND w.state = 'pending' LIMIT 10001
  ) AS counted
) AS p
CROSS JOIN LATERAL (
  SELECT count(*) AS dead FROM (
    SELECT FROM powertools.webhook_deliveries w WHERE w.endpoint_id = e.id AND w.state = 'dead' LIMIT 10001
  ) AS counted
) AS d
CROSS JOIN LATERAL (
  SELECT max(w.expires_at) AS old_secret_until FROM powertools.webhook_secrets w
  WHERE w.endpoint_id = e.id AND w.expires_at > now()
) AS s
WHERE %(id)s::bigint IS NULL OR e.id = %(id)s::bigint
ORDER BY e.id;

-- name: lock_webhook
-- Args: id. Rows: one without columns, or none.
-- Locks: the endpoint.
SELECT FROM powertools.webhook_endpoints WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: update_webhook_endpoint
-- Changes what is not NULL; an empty workflow_name means any workflow.
-- Args: id; url, description, types, workflow_name, allow_private, console_url (NULL: as it is).
-- Rows: id; none when there is no such endpoint.
UPDATE powertools.webhook_endpoints
SET url = coalesce(%(url)s, url),
    description = coalesce(%(description)s, description),
    types = coalesce(%(types)s::text[], types),
    workflow_name = nullif(coalesce(%(workflow_name)s, workflow_name), ''),
    allow_private = coalesce(%(allow_private)s, allow_private),
    console_url = coalesce(%(console_url)s::text, console_url),
    updated_at = now()
WHERE id = %(id)s
RETURNING id;

-- name: set_webhook_disabled
-- Args: id; reason (NULL: enable).
-- Rows: id; none when there is no such endpoint.
UPDATE powertools.webhook_endpoints
SET enabled = %(reason)s::text IS NULL, disabled_reason = %(reason)s::text, updated_at = now()
WHERE id = %(id)s
RETURNING id;

-- name: delete_webhook_endpoint
-- With its secrets and deliveries.
-- Args: id.
-- Rows: id; none when there is no such endpoint.
DELETE FROM powertools.webhook_endpoints WHERE id = %(id)s RETURNING id;

-- name: rotate_webhook_secret
-- The old secret takes the second place until it expires.
-- Args: id; secret; keep_old_for (interval).
-- Rows: id; none when there is no such endpoint.
WITH endpoint AS (
  UPDATE powertools.webhook_endpoints SET updated_at = now() WHERE id = %(id)s RETURNING id
), old AS (
  INSERT INTO powertools.webhook_secrets (endpoint_id, place, secret, expires_at)
  SELECT s.endpoint_id, 2, s.secret, now() + %(keep_old_for)s::interval
  FROM powertools.webhook_secrets s JOIN endpoint e ON e.id = s.endpoint_id WHERE s.place = 1
  ON CONFLICT (endpoint_id, place) DO UPDATE SET secret = excluded.secret, expires_at = excluded.expires_at
), new AS (
  UPDATE powertools.webhook_secrets s SET secret = %(secret)s FROM endpoint e WHERE s.endpoint_id = e.id AND s.place = 1
)
SELECT id FROM endpoint;

-- name: read_webhook_secrets
-- Those that sign now.
-- Args: id.
-- Rows: secret; the newest first.
SELECT secret FROM powertools.webhook_secrets
WHERE endpoint_id = %(id)s AND (expires_at IS NULL OR expires_at > now())
ORDER BY place;

-- name: read_webhook_deliveries
-- Args: endpoint_id; state (NULL: all); before (bigint, exclusive; NULL: from the newest on); page (int).
-- Rows: a delivery's columns; the newest event first.
-- Index: the primary key.
SELECT endpoint_id, cursor, message, state, attempts, due_at, queued_at, attempted_at, status, error, finished_at
FROM powertools.webhook_deliveries
WHERE endpoint_id = %(endpoint_id)s
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND cursor < coalesce(%(before)s::bigint, 9223372036854775807)
ORDER BY cursor DESC
LIMIT %(page)s::int;

-- name: tally_webhook_outcomes
-- Args: hours (int: so many, the one that runs now included), most (int: of so many of the newest deliveries of each endpoint).
-- Rows: endpoint_id, began_at (of the hour), delivered, dead; by endpoint and hour, only hours with any.
-- Index: the primary key.
SELECT e.id AS endpoint_id, date_trunc('hour', d.finished_at, 'UTC') AS began_at,
  count(*) FILTER (WHERE d.state = 'delivered') AS delivered, count(*) FILTER (WHERE d.state = 'dead') AS dead
FROM powertools.webhook_endpoints e
CROSS JOIN LATERAL (
  SELECT w.state, w.finished_at FROM powertools.webhook_deliveries w
  WHERE w.endpoint_id = e.id ORDER BY w.cursor DESC LIMIT %(most)s::int
) AS d
WHERE d.state <> 'pending' AND d.finished_at >= date_trunc('hour', now(), 'UTC') - make_interval(hours => %(hours)s::int - 1)
GROUP BY e.id, 2
ORDER BY e.id, 2;

-- name: replay_webhook_deliveries
-- Args: endpoint_id; cursor (NULL: all that are dead).
-- Rows: cursor; one a delivery.
UPDATE powertools.webhook_deliveries
SET state = 'pending', attempts = 0, due_at = now(), queued_at = now(), finished_at = NULL
WHERE endpoint_id = %(endpoint_id)s
  AND CASE WHEN %(cursor)s::bigint IS NULL THEN state = 'dead' ELSE cursor = %(cursor)s::bigint END
RETURNING cursor;

-- name: hurry_webhook
-- Has what waits for its next attempt tried now.
-- Args: id.
-- Locks: the pending deliveries that are not due, then the job.
WITH due AS (
  UPDATE powertools.webhook_deliveries SET due_at = now()
  WHERE endpoint_id = %(id)s AND state = 'pending' AND due_at > now()
)
UPDATE public.oban_jobs j SET scheduled_at = timezone('UTC', now())
FROM powertools.webhook_endpoints e
WHERE e.id = %(id)s AND j.id = e.job_id AND j.state = 'scheduled'
  AND j.args -> 'endpoint_id' = to_jsonb(e.id) AND 'webhooks' = ANY (j.tags);

-- name: count_webhooks
-- Rows: one; endpoints, and how many of them are enabled.
SELECT count(*) AS endpoints, count(*) FILTER (WHERE enabled) AS enabled FROM powertools.webhook_endpoints;

-- name: lock_webhooks
-- The right to dispatch, until the transaction ends.
-- Rows: one; mine is false when another node does it.
SELECT powertools.take_part_v2('dispatch_webhooks') AS mine;

-- name: behind_webhooks
-- The endpoints that have not seen the newest events and have room for more deliveries.
-- Args: head (bigint); room (int).
-- Rows: id, types, workflow_name, cursor, format, console_url, storms, seen_until; by id.
-- Locks: these rows.
SELECT e.id, e.types, e.workflow_name, e.cursor, e.format, e.console_url, e.storms, e.seen_until
FROM powertools.webhook_endpoints e
WHERE e.enabled AND e.cursor < %(head)s::bigint
  AND NOT EXISTS (
    SELECT FROM powertools.webhook_deliveries d
    WHERE d.endpoint_id = e.id AND d.state = 'pending' OFFSET %(room)s::int LIMIT 1
  )
ORDER BY e.id
FOR NO KEY UPDATE OF e;

-- name: end_of_batch
-- Args: at (bigint, a cursor). Rows: one; cursor, where the batch ends that this event is of; itself at the head.
-- Index: event_batches by last_cursor.
SELECT coalesce((
  SELECT b.last_cursor FROM powertools.event_batches b WHERE b.last_cursor >= %(at)s::bigint ORDER BY b.last_cursor LIMIT 1
), %(at)s::bigint) AS cursor;

-- name: name_workflows
-- Args: ids (bigint[]).
-- Rows: id, name.
SELECT id, name FROM powertools.workflows WHERE id = ANY (%(ids)s::bigint[]);

-- name: insert_webhook_deliveries
-- Args: endpoint_ids, cursors (bigint[]), messages (jsonb[]).
INSERT INTO powertools.webhook_deliveries (endpoint_id, cursor, message)
SELECT * FROM unnest(%(endpoint_ids)s::bigint[], %(cursors)s::bigint[], %(messages)s::jsonb[]);

-- name: move_webhooks
-- Args: ids, cursors, missed (bigint[]; how many more events each has missed), storms (jsonb[]; NULL: as they are), seen_untils
--   (timestamptz[]; of the newest of these events; NULL: now, at the head of the log).
UPDATE powertools.webhook_endpoints e
SET cursor = m.cursor, missed = e.missed + m.missed, storms = coalesce(m.storms, e.storms), seen_until = coalesce(m.seen_until, now())
FROM unnest(%(ids)s::bigint[], %(cursors)s::bigint[], %(missed)s::bigint[], %(storms)s::jsonb[], %(seen_untils)s::timestamptz[])
  AS m (id, cursor, missed, storms, seen_until)
WHERE e.id = m.id;

-- name: idle_webhooks
-- The endpoints that have something to deliver and no job that will: it has ended or is gone, or its process is.
-- Args: lost_after (interval; longer than a job of ours executes).
-- Rows: id; by id.
-- Locks: these rows.
SELECT e.id
FROM powertools.webhook_endpoints e
WHERE e.enabled
  AND EXISTS (SELECT FROM powertools.webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending')
  AND NOT EXISTS (
    SELECT FROM public.oban_jobs j
    -- by its own word too: ids may have begun anew
    WHERE j.id = e.job_id AND j.args -> 'endpoint_id' = to_jsonb(e.id) AND 'webhooks' = ANY (j.tags) AND (
      j.state IN ('available', 'scheduled', 'retryable', 'suspended')
      OR j.state = 'executing' AND j.attempted_at > timezone('UTC', clock_timestamp() - %(lost_after)s::interval)
    )
  )
ORDER BY e.id
FOR NO KEY UPDATE OF e;

-- name: insert_webhook_job
-- Args: id (of the endpoint); queue, worker (text).
-- Rows: job_id.
UPDATE powertools.webhook_endpoints e
SET job_id = j.id
FROM powertools.insert_jobs_v1(
  ARRAY['available'], ARRAY[%(queue)s::text], ARRAY[%(worker)s::text], ARRAY[20], ARRAY[0],
  ARRAY[jsonb_build_object('endpoint_id', %(id)s::bigint)], ARRAY['{}'::jsonb], ARRAY['["webhooks"]'::jsonb],
  ARRAY[NULL]::timestamp[], ARRAY[NULL]::timestamp[]
) AS j
WHERE e.id = %(id)s::bigint
RETURNING e.job_id;

-- name: prune_webhooks
-- Rows: one; pruned, as powertools.prune_webhooks_v1.
SELECT powertools.prune_webhooks_v1() AS pruned;

-- name: claim_webhook
-- Args and rows: powertools.claim_webhook_v2.
SELECT outcome, extract(epoch FROM wait_for)::float8 AS wait_for, lease, format, url, allow_private, secrets, delivery, message,
  attempts, extract(epoch FROM age)::float8 AS age
FROM powertools.claim_webhook_v2(%(endpoint_id)s::bigint, %(job_id)s::bigint, %(leased_for)s::interval);

-- name: finish_webhook
-- Args and rows: powertools.finish_webhook_v1.
SELECT powertools.finish_webhook_v1(
  %(endpoint_id)s::bigint, %(lease)s::uuid, %(delivery)s::bigint, %(state)s, %(status)s::int, %(error)s::text,
  %(retry_in)s::interval, %(disabled_for)s::text
) AS held;
