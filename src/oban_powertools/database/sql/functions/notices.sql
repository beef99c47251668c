-- Notices: events for people on call, about incidents, executors, repairs and retention, in the same log as those of
-- workflows.
--
-- Triggers on the rows that change write them, in the transaction of the change (events/E4), so that processes of an
-- earlier release write them, too.

-- Writes one batch of notices. Called after the rows that they report are locked, so that the notices of one subject
-- are in the order of the commits (events/E2).
CREATE OR REPLACE FUNCTION powertools.write_notices(of_topic text, ids text[], kinds text[], datas jsonb[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  batch bigint;
BEGIN
  IF coalesce(cardinality(ids), 0) = 0 THEN
    RETURN;
  END IF;
  batch := nextval('powertools.event_batches_id_seq');
  INSERT INTO powertools.notices (batch_id, place, topic, subject_id, kind, data)
  SELECT batch, n.place, of_topic, n.id, n.kind, n.data
  FROM unnest(ids, kinds, datas) WITH ORDINALITY AS n (id, kind, data, place);
  INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
  OVERRIDING SYSTEM VALUE
  VALUES (batch, cardinality(ids), '{}', '{}', '{}');
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;

-- Writes notices for the entries in the timelines of incidents that change their state or size.
CREATE OR REPLACE FUNCTION powertools.tell_of_incidents_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM powertools.write_notices('incident', array_agg(t.id ORDER BY t.entry), array_agg(t.kind ORDER BY t.entry), array_agg(t.data ORDER BY t.entry))
  FROM (
    SELECT a.id AS entry, i.id::text AS id, 'incident.' || CASE a.kind WHEN 'detected' THEN 'opened' ELSE a.kind END AS kind,
      jsonb_build_object(
        'fingerprint', i.fingerprint, 'incident_class', i.class, 'state', i.state, 'subject_type', i.subject_type,
        'subject_id', i.subject_id, 'title', i.title, 'count', i.count, 'waiting_workflows', i.waiting_workflows,
        'waiting_steps', i.waiting_steps, 'opened_at', i.opened_at, 'actor', a.actor, 'because', a.detail -> 'because',
        'muted', coalesce(i.muted_until > clock_timestamp(), false) OR a.detail ? 'muted'
      ) AS data
    FROM added a
    JOIN powertools.incidents i ON i.id = a.incident_id
    WHERE a.kind IN ('detected', 'reopened', 'changed', 'resolved', 'acknowledged')
  ) AS t;
  RETURN NULL;
END $$;

-- Writes notices for acts of operators on jobs, steps, workflows, executors and signals, executed or refused; not for what
-- Powertools does by itself or the host's program reports, nor for a value that was revealed.
CREATE OR REPLACE FUNCTION powertools.tell_of_repairs_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM powertools.write_notices('audit', array_agg(a.id::text ORDER BY a.id), array_agg('repair.' || a.outcome ORDER BY a.id), array_agg(jsonb_build_object(
    'action', a.action, 'target_type', a.target_type, 'target_id', a.target_id, 'workflow_id', a.workflow_id, 'step', a.step,
    'actor', nullif(a.actor_id, ''), 'actor_type', a.actor_type, 'reason', a.reason, 'surface', a.surface,
    'incident_id', a.incident_id, 'code', CASE jsonb_typeof(a.details) WHEN 'object' THEN a.details -> 'code' END
  ) ORDER BY a.id))
  FROM added a
  WHERE a.actor_type <> 'system' AND (a.actor_id, a.actor_type) <> ('host', 'service')
    AND a.target_type IN ('job', 'step', 'late_result', 'workflow', 'executor', 'callback', 'signal')
    AND a.action NOT IN ('preview_repair', 'step_publish', 'reveal_value');
  RETURN NULL;
END $$;

-- Writes a notice for a run of the retention that has ended.
CREATE OR REPLACE FUNCTION powertools.tell_of_retention_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM powertools.write_notices('audit', ARRAY[NEW.id::text], ARRAY['retention.ran'], ARRAY[jsonb_build_object(
    'outcome', NEW.outcome, 'actor', NEW.actor, 'reason', NEW.reason, 'error', NEW.error, 'archived', NEW.archived,
    'pruned', NEW.pruned, 'started_at', NEW.started_at
  )]);
  RETURN NULL;
END $$;

-- Marks executors that are missing now, until their next heartbeat, and writes notices for those that are late, missing
-- or have recovered. Locks: these rows, skipping those whose heartbeat is just being stored.
CREATE OR REPLACE FUNCTION powertools.judge_executors() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  ids text[];
  kinds text[];
  datas jsonb[];
BEGIN
  WITH judged AS (
    SELECT d.told_as, h.*
    FROM powertools.executors d
    JOIN powertools.executor_health_v1() AS h ON h.executor_id = d.executor_id
    WHERE d.beat_at = h.beat_at AND (h.state <> d.told_as OR h.state = 'missing' AND d.missing_at IS NULL)
      -- one that is only silent so far is told of when it is missing
      AND (h.state <> 'late' OR least(h.beat_at, h.loop_beat_at) < clock_timestamp() - d.late_after)
    ORDER BY d.executor_id FOR UPDATE OF d SKIP LOCKED
  ), marked AS (
    UPDATE powertools.executors e
    SET told_as = j.state,
        missing_at = CASE j.state WHEN 'missing' THEN coalesce(e.missing_at, clock_timestamp()) ELSE e.missing_at END
    FROM judged j WHERE e.executor_id = j.executor_id
  ), news AS (
    SELECT j.*, CASE WHEN j.state IN ('late', 'missing') THEN j.state ELSE 'recovered' END AS change
    FROM judged j
    WHERE j.state <> j.told_as AND (j.state IN ('late', 'missing') OR j.told_as IN ('late', 'missing'))
  )
  SELECT array_agg(n.executor_id ORDER BY n.executor_id), array_agg('executor.' || n.change ORDER BY n.executor_id),
    array_agg(jsonb_build_object(
      'node', n.node, 'queue', n.producer_scope, 'process_alive', n.process_alive AND n.state <> 'stopped',
      'loop_responsive', n.loop_responsive AND n.state <> 'stopped',
      'executing', n.executing, 'beat_at', n.beat_at
    ) ORDER BY n.executor_id)
  INTO ids, kinds, datas
  FROM news n;
  PERFORM powertools.write_notices('executor', ids, kinds, datas);
END $$;
