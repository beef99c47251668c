-- Incidents about work that waits without a taker: jobs of a queue without an executor (workflow_stuck), deliveries of
-- an endpoint (webhook_unserved), signals (unclaimed_signal). The rules are those of incident_classes.sql.

-- Jobs, of steps or plain, that have been due for incident_stuck_after in a queue that had no executor for so long (deliveries
-- of webhooks are a class of their own): not while a process is started again. Workflows under rules that this release does not
-- know.
CREATE OR REPLACE FUNCTION powertools.detect_stuck_causes() RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH RECURSIVE queues (queue) AS (
    (SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' ORDER BY j.queue LIMIT 1)
    UNION ALL
    SELECT (
      SELECT j.queue FROM public.oban_jobs j WHERE j.state = 'available' AND j.queue > q.queue ORDER BY j.queue LIMIT 1
    )
    FROM queues q WHERE q.queue IS NOT NULL
  ), deserted AS (
    SELECT q.queue FROM queues q
    WHERE q.queue IS NOT NULL AND NOT powertools.is_served(q.queue) AND NOT EXISTS (
      SELECT FROM powertools.executors e
      WHERE e.producer_scope = q.queue AND greatest(e.beat_at, e.stopped_at)
        > clock_timestamp() - powertools.span_setting_v1('incident_stuck_after')
    )
    LIMIT 1000
  )
  SELECT 'workflow_stuck', 'workflow_stuck:queue:' || d.queue, 'queue', d.queue,
    format(powertools.numbered(n.jobs, CASE n.steps
      WHEN n.jobs THEN '%s {step|steps} cannot start: no executor works on queue %s'
      ELSE '%s {job|jobs} cannot start: no executor works on queue %s'
    END), n.jobs, d.queue), n.jobs,
    jsonb_build_object('code', 'queue_has_no_executor', 'queue', d.queue, 'ids', to_jsonb(n.ids), 'id_type', 'job'),
    n.workflow_ids, NULL::timestamptz
  FROM deserted d
  CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, count(w.workflow_id) AS steps, (array_agg(w.id))[: 50] AS ids,
      (array_agg(DISTINCT w.workflow_id) FILTER (WHERE w.workflow_id IS NOT NULL))[: 1000] AS workflow_ids,
      min(w.scheduled_at) AS since
    FROM (
      SELECT j.id, j.scheduled_at, j.worker, powertools.workflow_of_v1(j.meta) AS workflow_id
      FROM public.oban_jobs j
      WHERE j.state = 'available' AND j.queue = d.queue
      ORDER BY j.priority, j.scheduled_at, j.id LIMIT 5000
    ) AS w
    WHERE w.worker <> 'oban_powertools.webhooks.worker.DeliverWebhooks'
  ) AS n
  WHERE n.since < timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_stuck_after')
  UNION ALL
  SELECT 'workflow_stuck', 'workflow_stuck:semantics:' || w.semantics_version, 'semantics', w.semantics_version::text,
    format(powertools.numbered(count(*), '%s {workflow was|workflows were} written under rules of version %s, which this release does not know'),
      count(*), w.semantics_version),
    count(*), jsonb_build_object('code', 'unsupported_semantics', 'ids', to_jsonb((array_agg(w.id))[: 50]), 'id_type', 'workflow'),
    array_agg(w.id), NULL
  FROM (
    SELECT w.id, w.semantics_version FROM powertools.workflows w
    WHERE w.semantics_version <> 2 AND w.state IN ('running', 'cancel_requested') ORDER BY w.id LIMIT 1000
  ) AS w
  GROUP BY w.semantics_version
$$;

-- Endpoints whose queue has no executor: their job has been due for incident_stuck_after. Nothing of the URL is kept,
-- which may be a secret.
CREATE OR REPLACE FUNCTION powertools.detect_unserved_webhooks(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'webhook_unserved', 'webhook_unserved:' || e.id, 'webhook', e.id::text,
    format(powertools.numbered(n.deliveries, '%s {delivery|deliveries} of webhook %s cannot be sent: ') || CASE
      WHEN q.executors = 0 THEN 'nobody works on queue %s'
      WHEN q.paused > 0 THEN 'queue %s is paused'
      ELSE 'queue %s is late'
    END, n.deliveries, e.id, j.queue),
    n.deliveries, jsonb_strip_nulls(jsonb_build_object('queue', j.queue, 'ids', jsonb_build_array(j.id), 'id_type', 'job', 'code', CASE
      WHEN q.executors = 0 THEN 'queue_has_no_executor' WHEN q.paused > 0 THEN 'queue_paused'
      WHEN q.running >= q.places THEN 'queue_saturated'
    END, 'since', j.scheduled_at AT TIME ZONE 'UTC')),
    NULL::bigint[], NULL::timestamptz
  FROM (SELECT * FROM powertools.webhook_endpoints WHERE enabled ORDER BY id LIMIT 1000) AS e
  JOIN public.oban_jobs j
    ON j.id = e.job_id AND j.worker = 'oban_powertools.webhooks.worker.DeliverWebhooks'
    AND j.state IN ('available', 'scheduled', 'retryable')
    AND j.scheduled_at < timezone('UTC', clock_timestamp()) - powertools.span_setting_v1('incident_stuck_after')
  CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries FROM (
      SELECT FROM powertools.webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 'pending' LIMIT 5000
    ) AS d
  ) AS n
  CROSS JOIN LATERAL powertools.queue_facts_v1(ARRAY[j.queue]) AS q
  WHERE n.deliveries > 0
$$;

-- A text without the differences of spelling that people and programs make: case, separators, leading zeros of a number.
CREATE OR REPLACE FUNCTION powertools.plain_spelling(said text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(regexp_replace(lower(said), '(^|[^0-9])0+(?=[0-9])', E'\\1', 'g'), '[^[:alnum:]]', '', 'g') $$;

-- What a plain spelling has in common with those that differ by one letter too many, too few, wrong or transposed: it without
-- any one letter. Two that share one of these are near. Numbers have to be equal: order 7 is not order 8. None of a text with
-- fewer than 4 letters, or over 100.
CREATE OR REPLACE FUNCTION powertools.near_spellings(plain text) RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN length(t.letters) BETWEEN 4 AND 100 THEN
    ARRAY(SELECT t.numbers || '/' || overlay(t.letters PLACING '' FROM n FOR 1) FROM generate_series(1, length(t.letters)) AS n)
    || (t.numbers || '/' || t.letters) ELSE '{}' END
  FROM (SELECT regexp_replace(plain, '[^0-9]+', ' ', 'g') AS numbers, regexp_replace(plain, '[0-9]', '', 'g') AS letters) AS t
$$;

-- Signals that have been stored for incident_unclaimed_after, and for no more than a day longer, without a wait that
-- took them: by name, of each the first 500. With the waits that look alike, among 500 of that name and 2,000 of any:
-- first those that have its key, then those that only spell name or key differently, then those of that name whose key is near
-- (looked for among 20 names), then the others of that name. A wait is meant for the signal whose key it has, spells differently
-- or nearly.
CREATE OR REPLACE FUNCTION powertools.detect_unclaimed_signals(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  WITH RECURSIVE names (signal) AS (
    (SELECT g.signal FROM powertools.signals g WHERE g.status = 'stored' ORDER BY g.signal LIMIT 1)
    UNION ALL
    SELECT (
      SELECT g.signal FROM powertools.signals g WHERE g.status = 'stored' AND g.signal > n.signal ORDER BY g.signal LIMIT 1
    )
    FROM names n WHERE n.signal IS NOT NULL
  ), unclaimed AS MATERIALIZED (
    SELECT g.*
    FROM (SELECT n.signal FROM names n WHERE n.signal IS NOT NULL LIMIT 1000) AS n
    CROSS JOIN LATERAL (
      SELECT g.id, g.signal, g.correlation_key, g.workflow_id, g.inserted_at, g.expires_at FROM powertools.signals g
      WHERE g.status = 'stored' AND g.signal = n.signal ORDER BY g.correlation_key, g.id LIMIT 500
    ) AS g
    WHERE powertools.is_unclaimed(g.inserted_at, g.expires_at)
  ), grouped AS (
    SELECT u.signal, count(*) AS signals, min(u.inserted_at) AS since, (array_agg(u.id ORDER BY u.id))[: 50] AS signal_ids,
      (array_agg(u.correlation_key ORDER BY u.id))[: 50] AS signal_keys, (array_agg(DISTINCT u.correlation_key))[: 20] AS keys
    FROM unclaimed u GROUP BY u.signal ORDER BY u.signal LIMIT 1000
  ), waiting AS MATERIALIZED (
    SELECT v.id, v.workflow_id, v.signal, v.correlation_key, powertools.plain_spelling(v.signal) AS plain_signal,
      powertools.plain_spelling(v.correlation_key) AS plain_key
    FROM powertools.waits v
    WHERE v.state = 'waiting' AND EXISTS (SELECT FROM grouped) LIMIT 2000
  ), few AS MATERIALIZED (
    SELECT count(*) <= 20 AS are_few FROM grouped
  )
  SELECT 'unclaimed_signal', 'unclaimed_signal:' || g.signal, 'signal', g.signal,
    format(powertools.numbered(g.signals, '%s {signal|signals} %s {was|were} stored and no wait has taken {it|them}')
      || CASE WHEN a.waits > 0 THEN powertools.numbered(a.waits, '; %s {wait looks|waits look} alike') ELSE '' END, g.signals, g.signal, a.waits),
    g.signals, jsonb_build_object('signal', g.signal, 'keys', to_jsonb(g.keys), 'signal_ids', to_jsonb(g.signal_ids), 'since', g.since,
      'ids', coalesce(to_jsonb(a.ids), '[]'), 'id_type', 'wait', 'alike', coalesce(to_jsonb(a.alike), '[]')),
    a.workflow_ids, NULL::timestamptz
  FROM grouped g
  CROSS JOIN few
  CROSS JOIN LATERAL (
    SELECT powertools.plain_spelling(g.signal) AS signal, ARRAY(SELECT powertools.plain_spelling(k) FROM unnest(g.keys) AS k) AS keys,
      CASE WHEN few.are_few THEN ARRAY(
        SELECT unnest(powertools.near_spellings(powertools.plain_spelling(k))) FROM unnest(g.keys) AS k
      ) ELSE '{}' END AS near
    OFFSET 0
  ) AS k
  CROSS JOIN LATERAL (
    SELECT count(*) AS waits, (array_agg(c.id ORDER BY c.rank, c.id))[: 50] AS ids,
      (array_agg(DISTINCT c.workflow_id))[: 1000] AS workflow_ids,
      array_agg(jsonb_build_object('wait_id', c.id, 'workflow_id', c.workflow_id, 'signal', c.signal, 'correlation_key', c.correlation_key,
        'signal_id', CASE WHEN c.rank < 4 THEN powertools.likeliest_signal(c.correlation_key, g.signal_ids, g.signal_keys) END
      ) ORDER BY c.place) FILTER (WHERE c.place <= 10) AS alike
    FROM (
      SELECT d.*, row_number() OVER (ORDER BY d.rank, d.id) AS place FROM (
        SELECT DISTINCT ON (w.id) w.*, CASE
            WHEN w.correlation_key = ANY (g.keys) THEN 1
            WHEN w.plain_key = ANY (k.keys) THEN 2
            WHEN k.near && powertools.near_spellings(w.plain_key) THEN 3
            ELSE 4
          END AS rank
        FROM (
          SELECT * FROM waiting
          UNION ALL
          (
            SELECT v.id, v.workflow_id, v.signal, v.correlation_key, k.signal, powertools.plain_spelling(v.correlation_key)
            FROM powertools.waits v
            WHERE v.state = 'waiting' AND v.signal = g.signal ORDER BY v.correlation_key LIMIT 500
          )
        ) AS w
        WHERE w.signal = g.signal OR w.plain_key = ANY (k.keys) OR w.plain_signal = k.signal
      ) AS d
    ) AS c
  ) AS a
$$;

-- Whether a signal with this key may be meant for a wait with that one: it has its key, or spells it differently or nearly. Only
-- then is its redirection suggested.
CREATE OR REPLACE FUNCTION powertools.is_meant_for_v1(key text, of_wait text) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT p.key = p.wanted OR powertools.near_spellings(p.key) && powertools.near_spellings(p.wanted)
  FROM (SELECT powertools.plain_spelling(key) AS key, powertools.plain_spelling(of_wait) AS wanted OFFSET 0) AS p
$$;

-- The signal among these that a wait with this key may be meant for: first one with its key, then one that only spells it
-- differently, then a near one.
CREATE OR REPLACE FUNCTION powertools.likeliest_signal(of_key text, signal_ids bigint[], keys text[]) RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT s.id
  FROM unnest(signal_ids, keys) AS s (id, key)
  WHERE powertools.is_meant_for_v1(s.key, of_key)
  ORDER BY s.key = of_key DESC, powertools.plain_spelling(s.key) = powertools.plain_spelling(of_key) DESC, s.id LIMIT 1
$$;

-- The signal that looks like this wait, as the evidence of an incident says.
CREATE OR REPLACE FUNCTION powertools.alike_signal_v1(evidence jsonb, of_wait_id bigint) RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT (a ->> 'signal_id')::bigint FROM jsonb_array_elements(evidence -> 'alike') AS a
  WHERE (a ->> 'wait_id')::bigint = of_wait_id LIMIT 1
$$;

-- Whether a stored signal that came then has gone untaken for incident_unclaimed_after, and for no more than a day
-- longer.
CREATE OR REPLACE FUNCTION powertools.is_unclaimed(came_at timestamptz, expires_at timestamptz) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT came_at < clock_timestamp() - n.after AND came_at > clock_timestamp() - n.after - interval '1 day'
    AND coalesce(expires_at > clock_timestamp(), true)
  FROM (SELECT powertools.span_setting_v1('incident_unclaimed_after') AS after OFFSET 0) AS n
$$;
