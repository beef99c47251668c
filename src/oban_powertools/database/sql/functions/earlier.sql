-- Functions that only workers of earlier releases call. Each is removed when no migration is compatible with its
-- release.

-- 24: ages were settings of a process; now they stand on the executor's row.
CREATE OR REPLACE FUNCTION powertools.beat_v1(
  executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages float8[], gone_afters interval[],
  of_host text DEFAULT NULL, of_pid int DEFAULT NULL, of_ticks bigint DEFAULT NULL
) RETURNS int
LANGUAGE sql
AS $$
  SELECT powertools.beat_v1(
    executor_ids, nodes, producers, scopes, loop_ages, gone_afters, '{}', '{}', '45 s', '2 min', '{}', of_host, of_pid, of_ticks
  )
$$;

CREATE OR REPLACE FUNCTION powertools.executor_health_v1(
  late_after interval, missing_after interval, at timestamptz DEFAULT statement_timestamp()
)
RETURNS TABLE (
  executor_id text, node text, producer_scope text, state text, process_alive bool, loop_responsive bool,
  executing bigint, started_at timestamptz, beat_at timestamptz, loop_beat_at timestamptz, stopped_at timestamptz
)
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.executor_health_v1(at)
$$;

-- 24: thresholds were settings of a process; now they are rows.
CREATE OR REPLACE FUNCTION powertools.project_incidents_v1(thresholds jsonb, only_fingerprint text DEFAULT NULL) RETURNS void
LANGUAGE sql
AS $$
  SELECT powertools.project_incidents_v1(only_fingerprint)
$$;

CREATE OR REPLACE FUNCTION powertools.sweep_incidents_v1(thresholds jsonb, every interval) RETURNS bool
LANGUAGE sql
AS $$
  SELECT powertools.sweep_incidents_v1(every)
$$;

-- 24: webhooks sent only events of workflows, as CloudEvents. A process that knows nothing else leaves the events and
-- deliveries of other endpoints to a newer one.
CREATE OR REPLACE FUNCTION powertools.take_part_v1(part text) RETURNS bool
LANGUAGE plpgsql
AS $$
BEGIN
  RETURN NOT (part = 'dispatch_webhooks' AND EXISTS (
    SELECT FROM powertools.webhook_endpoints e
    WHERE e.format <> 'cloudevents' OR EXISTS (SELECT FROM unnest(e.types) AS t (name) WHERE t.name NOT LIKE 'workflow.%')
  )) AND powertools.take_part_v2(part);
END $$;

CREATE OR REPLACE FUNCTION powertools.claim_webhook_v1(
  endpoint bigint, deliverer bigint, leased_for interval, OUT outcome text, OUT wait_for interval, OUT lease uuid,
  OUT url text, OUT allow_private bool, OUT secrets text[], OUT delivery bigint, OUT message jsonb, OUT attempts int,
  OUT age interval
)
LANGUAGE plpgsql
AS $$
BEGIN
  IF EXISTS (SELECT FROM powertools.webhook_endpoints e WHERE e.id = endpoint AND e.format <> 'cloudevents') THEN
    outcome := 'wait';
    wait_for := '5 s';
    RETURN;
  END IF;
  SELECT c.outcome, c.wait_for, c.lease, c.url, c.allow_private, c.secrets, c.delivery, c.message, c.attempts, c.age
  INTO outcome, wait_for, lease, url, allow_private, secrets, delivery, message, attempts, age
  FROM powertools.claim_webhook_v2(endpoint, deliverer, leased_for) AS c;
END $$;

-- 24: incidents and executors had the words of workflows; now they have their own.
CREATE OR REPLACE FUNCTION powertools.incident_word_v1(state text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE state WHEN 'resolved' THEN 'Finished' WHEN 'acknowledged' THEN 'Waiting' WHEN 'active' THEN 'Needs Review' END
$$;

CREATE OR REPLACE FUNCTION powertools.executor_word_v1(state text, executing bigint) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE state
    WHEN 'stopped' THEN 'Finished'
    WHEN 'missing' THEN 'Needs Review'
    WHEN 'late' THEN 'Blocked'
    WHEN 'healthy' THEN CASE WHEN executing > 0 THEN 'Running' ELSE 'Runnable' END
  END
$$;

-- 24: a muted incident had the word of others; now it has its own.
CREATE OR REPLACE FUNCTION powertools.incident_word_v2(state text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT powertools.incident_word_v3(state, false)
$$;

-- 24: no repair was about a signal; now one may be.
CREATE OR REPLACE FUNCTION powertools.repair_after_v1(
  roots bigint[], job_ids bigint[], late_ids bigint[], marker bigint, last_job_id bigint
) RETURNS TABLE (source text, id text, content json)
LANGUAGE sql
AS $$
  SELECT * FROM powertools.repair_after_v2(roots, job_ids, late_ids, '{}', marker, last_job_id)
$$;

-- 24: a history knew neither the runs of a step nor that its executor was lost.
CREATE OR REPLACE FUNCTION powertools.step_phases_v1(of_workflow bigint, names text[])
RETURNS TABLE (
  step text, "position" int, number int, kept bool, at timestamptz, change text, state text, attempt int, job_id bigint,
  node text, error text, phase text, until timestamptz
)
LANGUAGE sql STABLE
AS $$
  SELECT p.step, p.position, p.number, p.kept, p.at, p.change, p.state, p.attempt, p.job_id, p.node, p.error, p.phase, p.until
  FROM powertools.step_phases_v2(of_workflow, names) AS p
  WHERE p.change IS DISTINCT FROM 'lost'
$$;
