-- Incidents: what is broken, one row per cause.
--
-- Rules: incidents/N1 to N4, on docs/design/rules.md.

-- A fingerprint as stored: Oban does not limit the names of queues, nodes and workers, and an index entry holds 2,704
-- bytes. Two fingerprints that differ stay different, also when both are cut.
CREATE OR REPLACE FUNCTION powertools.fingerprint_v1(whole text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN octet_length(whole) <= 2500 THEN whole ELSE left(whole, 600) || '~' || md5(whole) END
$$;

-- Brings all incidents, or one, in line with the current rows. Locks: the part's row, waiting for it; the incidents
-- that change.
CREATE OR REPLACE FUNCTION powertools.project_incidents_v1(only_fingerprint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  found powertools.detected[];
  crowded text[];
  -- a row is written once a minute only, but what is over now was still seen the last time that somebody looked
  seen_at CONSTANT timestamptz := (
    SELECT least(p.projected_at, clock_timestamp()) FROM powertools.incident_projection p WHERE only_fingerprint IS NULL
  );
BEGIN
  IF NOT powertools.take_part_v2('project_incidents') THEN
    PERFORM FROM powertools.sweep_parts p WHERE p.name = 'project_incidents' FOR NO KEY UPDATE;
  END IF;
  PERFORM powertools.judge_executors();
  found := ARRAY(
    SELECT DISTINCT ON (d.fingerprint) ROW (d.*)::powertools.detected
    FROM (
      SELECT x.class, powertools.fingerprint_v1(x.fingerprint) AS fingerprint, x.subject_type, x.subject_id, x.title, x.count,
        x.evidence, x.workflow_ids, x.holds_until
      FROM powertools.detect_incidents(split_part(only_fingerprint, ':', 1)) AS x
    ) AS d
    WHERE only_fingerprint IS NULL OR d.fingerprint = only_fingerprint
    ORDER BY d.fingerprint
  );
  crowded := ARRAY(SELECT f.class FROM unnest(found) AS f GROUP BY 1 HAVING count(*) >= 1000);
  PERFORM powertools.keep_incidents(found);
  WITH over AS (
    UPDATE powertools.incidents i
    SET state = 'resolved', resolved_at = clock_timestamp(), muted_until = NULL, waiting_workflows = 0, waiting_steps = 0,
        last_detected_at = CASE WHEN i.count > 0 THEN greatest(i.last_detected_at, seen_at) ELSE i.last_detected_at END
    FROM powertools.incidents b
    WHERE b.id = i.id AND i.state <> 'resolved' AND (only_fingerprint IS NULL OR i.fingerprint = only_fingerprint)
      AND i.class <> ALL (crowded) AND NOT EXISTS (SELECT FROM unnest(found) AS f WHERE f.fingerprint = i.fingerprint)
      AND NOT powertools.still_holds(i)
    RETURNING i.id, i.class, i.count, i.subject_type, i.subject_id, b.muted_until > clock_timestamp() AS muted
  )
  INSERT INTO powertools.incident_entries (incident_id, kind, detail)
  SELECT o.id, 'resolved', jsonb_build_object('count', o.count, 'because', coalesce(
    CASE WHEN o.subject_type = 'executor' THEN powertools.why_executor_is_over(o.class, o.subject_id) END,
    powertools.why_queue_is_over(o.class, o.subject_id), c.over_because
  )) || CASE WHEN o.muted THEN '{"muted": true}' ELSE '{}' END::jsonb
  FROM over o JOIN powertools.incident_classes c ON c.name = o.class;
  -- One whose mute has ended while nobody has taken it is told of again, once.
  WITH heard AS (
    UPDATE powertools.incidents i SET muted_until = NULL
    WHERE i.state = 'active' AND i.muted_until <= clock_timestamp() AND (only_fingerprint IS NULL OR i.fingerprint = only_fingerprint)
    RETURNING i.id, i.count
  )
  INSERT INTO powertools.incident_entries (incident_id, kind, detail)
  SELECT h.id, 'changed', jsonb_build_object('count', h.count, 'because', 'its mute has ended') FROM heard h ORDER BY h.id;
  -- An incident whose cause holds for a while although nothing shows it any more: it names nothing, and no workflow waits
  -- for it now.
  UPDATE powertools.incidents i
  SET count = 0, waiting_workflows = 0, waiting_steps = 0, last_detected_at = greatest(i.last_detected_at, seen_at), evidence = i.evidence || '{"ids": []}'
  WHERE i.state <> 'resolved' AND (only_fingerprint IS NULL OR i.fingerprint = only_fingerprint)
    AND i.holds_until > clock_timestamp() AND (i.count, i.waiting_workflows, i.waiting_steps) <> (0, 0, 0)
    AND i.class <> ALL (crowded) AND NOT EXISTS (SELECT FROM unnest(found) AS f WHERE f.fingerprint = i.fingerprint);
END $$;

-- Which of the reasons for which an incident of an executor ends it was; NULL: its class has one reason, or nobody knows.
CREATE OR REPLACE FUNCTION powertools.why_executor_is_over(of_class text, of_executor text) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT CASE
    WHEN h.executor_id IS NULL THEN CASE of_class
      WHEN 'dead_executor' THEN 'its row was removed: what it had in hand is orphaned' ELSE 'its row was removed'
    END
    WHEN of_class = 'dead_executor' THEN NULL
    WHEN h.stopped_at IS NOT NULL THEN 'it has stopped'
    WHEN h.process_alive AND h.loop_responsive THEN 'it sends heartbeats in time'
    WHEN EXISTS (
      SELECT FROM powertools.executors e
      WHERE e.producer_scope = h.producer_scope AND e.stopped_at IS NULL AND e.started_at > h.beat_at
    ) THEN 'another executor was started for its queue'
    WHEN of_class = 'executor_late' THEN 'it is missing by now'
    WHEN h.beat_at < clock_timestamp() - interval '1 day' THEN 'it was missing for a day'
  END
  FROM (SELECT) AS one LEFT JOIN powertools.executor_health_v1() AS h ON h.executor_id = of_executor
$$;

-- Which of the reasons for which an incident of a late queue ends it was; NULL: its class has one reason.
CREATE OR REPLACE FUNCTION powertools.why_queue_is_over(of_class text, of_queue text) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN of_class = 'queue_late' THEN CASE
    WHEN powertools.is_served(of_queue) THEN 'its oldest due job has not waited for so long' ELSE 'nobody works on the queue any more'
  END END
$$;

-- Stores detected incidents: new ones, those that come back, and those that have changed. The caller holds the part's
-- row, so nobody else inserts one meanwhile, and only a new incident uses up an id.
CREATE OR REPLACE FUNCTION powertools.keep_incidents(found powertools.detected[]) RETURNS void
LANGUAGE sql
-- PLANNED EACH TIME
AS $$
  WITH before AS (
    SELECT i.* FROM powertools.incidents i WHERE i.fingerprint = ANY (ARRAY(SELECT f.fingerprint FROM unnest(found) AS f))
  ), seen AS MATERIALIZED (
    SELECT f.fingerprint, f.class, f.subject_type, f.subject_id, f.title, f.count, f.evidence, f.holds_until,
      n.waiting_workflows, n.waiting_steps, c.now AS opened_at, c.now AS last_detected_at
    FROM unnest(found) AS f
    CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS c
    CROSS JOIN LATERAL (
      SELECT count(*)::int AS waiting_workflows, coalesce(sum(w.open), 0)::bigint AS waiting_steps
      FROM (SELECT DISTINCT id FROM unnest(f.workflow_ids[: 1000]) AS u (id)) AS u
      JOIN powertools.workflows w ON w.id = u.id AND w.open > 0
    ) AS n
  ), added AS (
    INSERT INTO powertools.incidents AS i (
      fingerprint, class, subject_type, subject_id, title, count, evidence, waiting_workflows, waiting_steps, holds_until,
      first_detected_at, opened_at, last_detected_at
    )
    SELECT s.fingerprint, s.class, s.subject_type, s.subject_id, s.title, s.count, s.evidence, s.waiting_workflows,
      s.waiting_steps, s.holds_until, s.opened_at, s.opened_at, s.last_detected_at
    FROM seen s
    WHERE NOT EXISTS (SELECT FROM before b WHERE b.fingerprint = s.fingerprint)
    ORDER BY s.fingerprint
    RETURNING i.id, i.fingerprint, i.title, i.count, i.evidence, i.holds_until
  ), changed AS (
    UPDATE powertools.incidents i
    SET state = CASE i.state WHEN 'resolved' THEN 'active' ELSE i.state END,
        substatus = CASE
          WHEN i.state = 'resolved' THEN CASE i.reopened WHEN 0 THEN 'regressed' ELSE 'recurring' END
          WHEN i.reopened = 0 AND i.opened_at < s.opened_at - interval '1 hour' THEN 'ongoing'
          ELSE i.substatus
        END,
        reopened = i.reopened + (i.state = 'resolved')::int,
        opened_at = CASE i.state WHEN 'resolved' THEN s.opened_at ELSE i.opened_at END,
        acknowledged_by = CASE WHEN i.state <> 'resolved' THEN i.acknowledged_by END,
        acknowledged_at = CASE WHEN i.state <> 'resolved' THEN i.acknowledged_at END,
        resolved_at = NULL, subject_type = s.subject_type, subject_id = s.subject_id, title = s.title, count = s.count,
        evidence = s.evidence, waiting_workflows = s.waiting_workflows, waiting_steps = s.waiting_steps,
        holds_until = s.holds_until, last_detected_at = s.last_detected_at
    FROM seen s
    WHERE i.fingerprint = s.fingerprint AND (
      -- an unchanged row is written at most once a minute; a clock that was set back counts as a minute
      i.state = 'resolved'
      OR (i.last_detected_at BETWEEN s.last_detected_at - interval '1 minute' AND s.last_detected_at) IS NOT TRUE
      OR (i.title, i.count, i.evidence, i.waiting_workflows, i.waiting_steps, i.holds_until)
        IS DISTINCT FROM (s.title, s.count, s.evidence, s.waiting_workflows, s.waiting_steps, s.holds_until)
    )
    RETURNING i.id, i.fingerprint, i.title, i.count, i.evidence, i.holds_until
  ), kept AS (
    SELECT * FROM added
    UNION ALL
    SELECT * FROM changed
  )
  INSERT INTO powertools.incident_entries (incident_id, kind, detail)
  SELECT k.id,
    CASE WHEN b.id IS NULL THEN 'detected' WHEN b.state = 'resolved' THEN 'reopened' ELSE 'changed' END,
    jsonb_build_object('title', k.title, 'count', k.count, 'evidence', k.evidence)
  FROM kept k
  LEFT JOIN before b ON b.fingerprint = k.fingerprint
  -- a growing number is reported at each doubling; an equal one is no news
  WHERE b.id IS NULL OR b.state = 'resolved' OR k.count > b.count AND k.count >= 2 * b.count
    OR k.count < b.count AND k.holds_until IS NULL
  ORDER BY k.fingerprint;
$$;

-- Detects every class, or one. Checks about 200,000 steps of unfinished workflows for stuck ones and continues there
-- the next time; open incidents are checked every time.
CREATE OR REPLACE FUNCTION powertools.detect_incidents(only_class text) RETURNS SETOF powertools.detected
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  found_by text;
BEGIN
  FOR found_by IN
    SELECT c.found_by FROM powertools.incident_classes c
    WHERE only_class IS NULL OR c.name = only_class GROUP BY c.found_by ORDER BY c.found_by
  LOOP
    RETURN QUERY EXECUTE format('SELECT * FROM powertools.%I($1)', found_by) USING only_class IS NULL;
  END LOOP;
END $$;

-- Missing queues and releases, and workflows that cannot move. whole: also detect new ones, not only check open
-- incidents.
CREATE OR REPLACE FUNCTION powertools.detect_stuck(whole bool) RETURNS SETOF powertools.detected
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN QUERY SELECT * FROM powertools.detect_stuck_causes();
  RETURN QUERY SELECT * FROM powertools.detect_stuck_workflows(powertools.stuck_candidates(whole));
END $$;

-- The workflows to check now: those of open incidents, and the next ones after the cursor, which advances.
CREATE OR REPLACE FUNCTION powertools.stuck_candidates(move_on bool) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  open CONSTANT bigint[] := ARRAY(
    SELECT i.subject_id::bigint FROM powertools.incidents i
    WHERE i.class = 'workflow_stuck' AND i.state <> 'resolved' AND i.subject_type = 'workflow'
  );
  after_id CONSTANT bigint := coalesce((SELECT p.after_workflow_id FROM powertools.incident_projection p), 0);
  next_ids bigint[];
  at_end bool;
BEGIN
  IF NOT move_on THEN
    RETURN open;
  END IF;
  SELECT array_agg(n.id ORDER BY n.id) FILTER (WHERE n.before < 200000), count(*) < 5000 AND max(n.before + n.total) < 200000
  INTO next_ids, at_end
  FROM (
    SELECT w.id, w.total, sum(w.total) OVER (ORDER BY w.id) - w.total AS before
    FROM (
      SELECT w.id, w.total FROM powertools.workflows w
      WHERE w.state IN ('running', 'cancel_requested') AND w.id > after_id ORDER BY w.id LIMIT 5000
    ) AS w
  ) AS n;
  INSERT INTO powertools.incident_projection AS p (projected_at, after_workflow_id)
  VALUES (clock_timestamp(), CASE WHEN at_end THEN 0 ELSE coalesce(next_ids[cardinality(next_ids)], 0) END)
  ON CONFLICT (only_one) DO UPDATE SET projected_at = excluded.projected_at, after_workflow_id = excluded.after_workflow_id;
  RETURN ARRAY(SELECT unnest(open) UNION SELECT unnest(next_ids));
END $$;

-- The sweep's part: projects when no node has for this long. Returns whether it did. Locks: the part's row.
CREATE OR REPLACE FUNCTION powertools.sweep_incidents_v1(every interval) RETURNS bool
LANGUAGE plpgsql
AS $$
BEGIN
  IF EXISTS (
      SELECT FROM powertools.incident_projection p WHERE p.projected_at BETWEEN clock_timestamp() - every AND clock_timestamp()
    )
    OR NOT powertools.take_part_v2('project_incidents') THEN
    RETURN false;
  END IF;
  PERFORM powertools.project_incidents_v1();
  RETURN true;
END $$;
