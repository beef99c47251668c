-- Repairs: what a preview stores, what a repair changed, and the repairs of jobs.
--
-- Rules: repairs/P1 to P4, on docs/design/rules.md.

-- The secret, generated on first use.
CREATE OR REPLACE FUNCTION powertools.repair_secret_v1() RETURNS bytea
LANGUAGE sql VOLATILE
AS $$
  INSERT INTO powertools.repair_secret (secret)
  VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))
  ON CONFLICT (only_one) DO UPDATE SET only_one = excluded.only_one
  RETURNING secret
$$;

-- A payload as a plan stores it. STABLE, as convert_to is, so that it is inlined: 100,000 rows would be slow otherwise.
CREATE OR REPLACE FUNCTION powertools.payload_hash_v1(payload jsonb) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT 'sha256:' || left(encode(sha256(convert_to(payload::text, 'UTF8')), 'hex'), 32)
$$;

-- An array of errors without their instants, which differ between two runs.
CREATE OR REPLACE FUNCTION powertools.errors_hash(errors jsonb) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN errors <> '[]' THEN powertools.payload_hash_v1((SELECT jsonb_agg(e - 'at') FROM jsonb_array_elements(errors) AS e)) END
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(w powertools.workflows) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'name', w.name, 'state', w.state, 'generation', w.generation, 'total', w.total, 'open', w.open, 'failed', w.failed,
    'stopped', w.stopped, 'failures_handled', w.failures_handled, 'finished_at', w.finished_at,
    'cancel_requested_at', w.cancel_requested_at, 'expired_at', w.expired_at, 'expires_at', w.expires_at,
    'parent_id', w.parent_id, 'parent_position', w.parent_position, 'semantics_version', w.semantics_version
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(s powertools.steps) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'workflow_id', s.workflow_id, 'position', s.position, 'name', s.name, 'state', s.state, 'pending', s.pending,
    'generation', s.generation, 'job_id', s.job_id, 'wait_id', s.wait_id, 'child_id', s.child_id, 'attempt', s.attempt,
    'cause', s.cause, 'cancel_requested_at', s.cancel_requested_at, 'released_at', s.released_at,
    'started_at', s.started_at, 'finished_at', s.finished_at, 'held_until', s.held_until, 'hold_reason', s.hold_reason,
    'effects', s.effects, 'result', powertools.payload_hash_v1(s.result), 'error', powertools.payload_hash_v1(s.error - 'at')
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(j public.oban_jobs) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'state', j.state, 'queue', j.queue, 'worker', j.worker, 'attempt', j.attempt, 'max_attempts', j.max_attempts,
    'priority', j.priority, 'tags', j.tags, 'attempted_by', j.attempted_by, 'scheduled_at', j.scheduled_at,
    'attempted_at', j.attempted_at, 'completed_at', j.completed_at, 'discarded_at', j.discarded_at,
    'cancelled_at', j.cancelled_at, 'workflow_id', j.meta -> 'workflow_id', 'position', j.meta -> 'position',
    'args', powertools.payload_hash_v1(j.args), 'meta', powertools.payload_hash_v1(j.meta - '{workflow_id,uid}'::text[]),
    'errors', powertools.errors_hash(j.errors)
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(w powertools.waits) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'workflow_id', w.workflow_id, 'position', w.position, 'generation', w.generation, 'state', w.state, 'signal', w.signal,
    'correlation_key', w.correlation_key, 'deadline_at', w.deadline_at, 'ended_at', w.ended_at
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(g powertools.signals) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'signal', g.signal, 'correlation_key', g.correlation_key, 'status', g.status, 'wait_id', g.wait_id, 'consumed_at', g.consumed_at
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(l powertools.late_results) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'state', l.state, 'job_id', l.job_id, 'attempt', l.attempt, 'adopted_at', l.adopted_at, 'dismissed_at', l.dismissed_at,
    'decided_by', l.decided_by
  )
$$;

CREATE OR REPLACE FUNCTION powertools.repair_row(f powertools.settle_faults) RETURNS json
LANGUAGE sql STABLE
AS $$
  SELECT json_build_object(
    'workflow_id', f.workflow_id, 'position', f.position, 'state', f.state, 'sqlstate', f.sqlstate, 'repaired_at', f.repaired_at
  )
$$;

-- The point where a repair begins: a transaction that starts later has a number of at least marker, a job or batch of
-- events that is inserted later has an id above these.
CREATE OR REPLACE FUNCTION powertools.repair_mark_v1(OUT marker bigint, OUT last_job_id bigint, OUT last_batch_id bigint)
LANGUAGE sql VOLATILE
AS $$
  SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('public.oban_jobs', 'id')::regclass), 0),
    coalesce(pg_sequence_last_value('powertools.event_batches_id_seq'::regclass), 0)
$$;

-- Whether a row's xmin is at or after the marker, whose upper half it lacks.
CREATE OR REPLACE FUNCTION powertools.is_since(row_xmin xid, marker bigint) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT row_xmin::text::bigint > 2 AND ((row_xmin::text::bigint - marker) & 4294967295) < 2147483648
$$;

-- repairs/P2, for an xmin at or after the marker. A number that is not in use yet is an old one, of a frozen row.
CREATE OR REPLACE FUNCTION powertools.is_ours(row_xmin xid, marker bigint) RETURNS bool
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN pg_xact_status((marker + ((row_xmin::text::bigint - marker) & 4294967295))::text::xid8) = 'in progress';
EXCEPTION WHEN invalid_parameter_value THEN
  RETURN false;
END $$;

-- What this transaction has written since the marker. Args: roots, outermost workflows; job_ids and late_ids, what else
-- it may have changed, as signal_ids. Rows: source, id and the row as a plan keeps it.
CREATE OR REPLACE FUNCTION powertools.repair_after_v2(
  roots bigint[], job_ids bigint[], late_ids bigint[], signal_ids bigint[], marker bigint, last_job_id bigint
) RETURNS TABLE (source text, id text, content json)
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  family CONSTANT bigint[] := powertools.family_of_v1(roots);
BEGIN
  RETURN QUERY
  WITH steps AS MATERIALIZED (
    SELECT s.workflow_id, s.position, s.job_id, s.wait_id, s.xmin AS version,
      CASE WHEN powertools.is_since(s.xmin, marker) THEN powertools.repair_row(s) END AS content
    FROM powertools.steps s WHERE s.workflow_id = ANY (family)
  ), jobs AS (
    SELECT s.job_id FROM steps s WHERE s.job_id IS NOT NULL AND s.job_id <= repair_after_v2.last_job_id
    UNION
    SELECT unnest(repair_after_v2.job_ids)
    UNION
    SELECT j.id FROM public.oban_jobs j WHERE j.id > repair_after_v2.last_job_id
  ), waits AS MATERIALIZED (
    SELECT w.id, w.signal, w.correlation_key, w.xmin AS version, powertools.repair_row(w) AS content
    FROM (SELECT DISTINCT s.wait_id FROM steps s WHERE s.wait_id IS NOT NULL) AS s
    JOIN powertools.waits w ON w.id = s.wait_id
    WHERE powertools.is_since(w.xmin, marker)
  ), written AS MATERIALIZED (
    SELECT 'workflow' AS source, w.id::text AS id, w.xmin AS version, powertools.repair_row(w) AS content
    FROM powertools.workflows w WHERE w.id = ANY (family) AND powertools.is_since(w.xmin, marker)
    UNION ALL
    SELECT 'step', format('%s/%s', s.workflow_id, s.position), s.version, s.content FROM steps s WHERE s.content IS NOT NULL
    UNION ALL
    SELECT 'job', j.id::text, j.xmin, powertools.repair_row(j)
    FROM jobs k JOIN public.oban_jobs j ON j.id = k.job_id WHERE powertools.is_since(j.xmin, marker)
    UNION ALL
    SELECT 'wait', w.id::text, w.version, w.content FROM waits w
    UNION ALL
    SELECT 'signal', g.id::text, g.xmin, powertools.repair_row(g)
    FROM waits w
    JOIN powertools.signals g ON g.wait_id = w.id
    WHERE powertools.is_since(g.xmin, marker) AND g.id <> ALL (signal_ids)
    UNION ALL
    SELECT 'signal', g.id::text, g.xmin, powertools.repair_row(g)
    FROM powertools.signals g WHERE g.id = ANY (signal_ids) AND powertools.is_since(g.xmin, marker)
    UNION ALL
    SELECT 'late_result', l.id::text, l.xmin, powertools.repair_row(l)
    FROM powertools.late_results l WHERE l.id = ANY (late_ids) AND powertools.is_since(l.xmin, marker)
    UNION ALL
    SELECT 'settle_fault', f.job_id::text, f.xmin, powertools.repair_row(f)
    FROM jobs k JOIN powertools.settle_faults f ON f.job_id = k.job_id WHERE powertools.is_since(f.xmin, marker)
  ), versions AS MATERIALIZED (
    SELECT v.version::text, powertools.is_ours(v.version, marker) AS ours FROM (SELECT DISTINCT version FROM written) AS v
  )
  SELECT w.source, w.id, w.content
  FROM written w JOIN versions v ON v.version = w.version::text
  WHERE v.ours;
END $$;

-- The events that this transaction has written in batches after this one. Rows: how many of each kind, by kind.
CREATE OR REPLACE FUNCTION powertools.repair_events_v1(marker bigint, last_batch_id bigint)
RETURNS TABLE (change text, events bigint)
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN QUERY
  SELECT e.change, count(*)
  FROM powertools.event_batches b
  CROSS JOIN LATERAL unnest(b.workflow_ids, b.first_numbers, b.last_numbers) AS n (workflow_id, first, last)
  JOIN powertools.events e ON e.workflow_id = n.workflow_id AND e.number BETWEEN n.first AND n.last
  WHERE b.id > repair_events_v1.last_batch_id AND powertools.is_since(b.xmin, marker) AND powertools.is_ours(b.xmin, marker)
  GROUP BY e.change ORDER BY e.change;
END $$;

-- Reads these rows. Args: one entry per row. Rows: those that exist.
CREATE OR REPLACE FUNCTION powertools.repair_before_v1(sources text[], ids text[])
RETURNS TABLE (source text, id text, content json)
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT a.source, a.id, split_part(a.id, '/', 1)::bigint AS number, nullif(split_part(a.id, '/', 2), '')::int AS position
    FROM unnest(sources, ids) AS a (source, id)
  )
  SELECT a.source, a.id, powertools.repair_row(w)
  FROM asked a JOIN powertools.workflows w ON w.id = a.number WHERE a.source = 'workflow'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(s)
  FROM asked a JOIN powertools.steps s ON s.workflow_id = a.number AND s.position = a.position WHERE a.source = 'step'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(j)
  FROM asked a JOIN public.oban_jobs j ON j.id = a.number WHERE a.source = 'job'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(w)
  FROM asked a JOIN powertools.waits w ON w.id = a.number WHERE a.source = 'wait'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(g)
  FROM asked a JOIN powertools.signals g ON g.id = a.number WHERE a.source = 'signal'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(l)
  FROM asked a JOIN powertools.late_results l ON l.id = a.number WHERE a.source = 'late_result'
  UNION ALL
  SELECT a.source, a.id, powertools.repair_row(f)
  FROM asked a JOIN powertools.settle_faults f ON f.job_id = a.number WHERE a.source = 'settle_fault';
END $$;
