-- The event log: what happened to steps and workflows, in the transaction in which it happened.
--
-- Rules: events/E1 to E3, on docs/design/rules.md.

-- Sends a notification when the transaction commits, or leaves it out while the server's queue of notifications is
-- nearly full: without a place for it the commit would fail, and with it an ack, a fetch or a command
-- (invariant/I5, I6).
CREATE OR REPLACE FUNCTION powertools.notify_v1(channel text, payload text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  IF pg_notification_queue_usage() < 0.9 THEN
    PERFORM pg_notify(channel, payload);
  END IF;
END $$;

-- Writes the events of changes, in their order. The caller holds the workflows (events/E1). Its statements are planned
-- once a session: they only look up by primary key, which is right for any size of the tables.
CREATE OR REPLACE FUNCTION powertools.write_events_v1(changes powertools.change[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  most CONSTANT int := 20000;
  batch bigint;
  part powertools.change[];
BEGIN
  FOR start IN 1 .. coalesce(cardinality(changes), 0) BY most LOOP
    part := CASE WHEN cardinality(changes) <= most THEN changes ELSE changes[start : start + most - 1] END;
    batch := nextval('powertools.event_batches_id_seq');
    WITH written AS (
      INSERT INTO powertools.events (
        workflow_id, number, position, batch_id, place, at, job_id, attempt, has_result, change, state, error
      )
      SELECT c.workflow_id,
        -- read once per workflow, before its first new row: finding the last among rows of this statement is slow
        c.nth + max(CASE WHEN c.nth = 1 THEN coalesce((
          SELECT e.number FROM powertools.events e WHERE e.workflow_id = c.workflow_id ORDER BY e.number DESC LIMIT 1
        ), 0) END) OVER (PARTITION BY c.workflow_id),
        c.position, batch, c.place, coalesce(c.at, clock_timestamp()), coalesce(c.job_id, s.job_id),
        coalesce(c.attempt, s.attempt), c.change = 'completed' AND s.result IS NOT NULL, c.change,
        coalesce(c.state, CASE
          WHEN s.state = 'available' AND greatest(s.scheduled_at, now() + s.delay) > now() THEN 'scheduled'
          ELSE s.state
        END),
        coalesce(c.error, CASE WHEN c.change = s.state AND s.error IS NOT NULL THEN powertools.error_summary_v1(s.error) END)
      FROM (
        SELECT given.*, row_number() OVER (PARTITION BY given.workflow_id ORDER BY given.place) AS nth
        FROM unnest(part) WITH ORDINALITY
          AS given (workflow_id, position, change, state, job_id, attempt, error, at, place)
        LIMIT cardinality(part)
      ) AS c
      CROSS JOIN LATERAL (
        SELECT * FROM powertools.steps s WHERE s.workflow_id = c.workflow_id AND s.position = c.position OFFSET 0
      ) AS s
      RETURNING workflow_id, number
    )
    INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
    OVERRIDING SYSTEM VALUE
    SELECT batch, sum(n.events), array_agg(n.workflow_id), array_agg(n.first), array_agg(n.last)
    FROM (
      SELECT r.workflow_id, count(*) AS events, min(r.number) AS first, max(r.number) AS last
      FROM written r GROUP BY r.workflow_id
    ) AS n
    HAVING count(*) > 0;
  END LOOP;
  IF batch IS NOT NULL THEN
    PERFORM powertools.notify_v1('powertools.events', '');
  END IF;
END $$;

-- The names of a workflow's failed steps, at most 1,000: first those that failed by themselves, by position, then those
-- that were cancelled because of them.
CREATE OR REPLACE FUNCTION powertools.failed_steps_v1(of_workflow_id bigint) RETURNS text[]
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
BEGIN
  RETURN ARRAY(
    SELECT s.name FROM powertools.steps s
    WHERE s.workflow_id = of_workflow_id AND powertools.is_failure(s.state, s.cause)
    ORDER BY s.cause IS NOT DISTINCT FROM 'cancelled_by_dependency', s.position LIMIT 1000
  );
END $$;

-- How many steps of a workflow ended without completing, by their own words; zeros for NULL. Index: the primary key.
CREATE OR REPLACE FUNCTION powertools.step_ends_v1(of_workflow_id bigint, OUT failed int, OUT cancelled int, OUT expired int)
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
BEGIN
  SELECT count(*) FILTER (WHERE s.state = 'discarded'), count(*) FILTER (WHERE s.state = 'cancelled'),
    count(*) FILTER (WHERE s.state = 'expired')
  INTO failed, cancelled, expired
  FROM powertools.steps s
  WHERE s.workflow_id = of_workflow_id AND s.state IN ('discarded', 'cancelled', 'expired');
END $$;

-- The same as a part of a sentence: 1 of 3 steps failed, 2 cancelled.
CREATE OR REPLACE FUNCTION powertools.spelled_ends(w powertools.workflows) RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT string_agg(CASE WHEN n.place = 1 THEN format('%s of %s steps %s', n.steps, w.total, n.word) ELSE format('%s %s', n.steps, n.word) END,
    ', ' ORDER BY n.place)
  FROM (
    SELECT v.steps, v.word, row_number() OVER (ORDER BY v.place) AS place
    FROM powertools.step_ends_v1(w.id) AS e
    CROSS JOIN LATERAL (
      VALUES (1, e.failed, 'failed'), (2, e.cancelled, 'cancelled'), (3, e.expired, 'expired')
    ) AS v (place, steps, word)
    WHERE v.steps > 0
  ) AS n
$$;

-- Writes the events of these workflows' ends: the last events of their generation.
CREATE OR REPLACE FUNCTION powertools.write_ends(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  batch CONSTANT bigint := nextval('powertools.event_batches_id_seq');
BEGIN
  WITH written AS (
    INSERT INTO powertools.events (workflow_id, number, batch_id, place, change, state, generation, failed_steps)
    SELECT w.id,
      coalesce((
        SELECT e.number FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
      ), 0) + 1,
      batch, row_number() OVER (ORDER BY f.place), 'finished', w.state, w.generation,
      CASE WHEN w.failed = 0 THEN '{}' ELSE powertools.failed_steps_v1(w.id) END
    FROM (
      SELECT * FROM unnest(workflow_ids) WITH ORDINALITY AS given (workflow_id, place) LIMIT cardinality(workflow_ids)
    ) AS f
    JOIN powertools.workflows w ON w.id = f.workflow_id
    RETURNING workflow_id, number
  )
  INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
  OVERRIDING SYSTEM VALUE
  SELECT batch, count(*), array_agg(r.workflow_id), array_agg(r.number), array_agg(r.number) FROM written r;
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;

-- The changes among these whose step runs on that very job.
CREATE OR REPLACE FUNCTION powertools.own_changes(changes powertools.change[]) RETURNS powertools.change[]
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
BEGIN
  RETURN ARRAY(
    SELECT ROW (c.workflow_id, c.position, c.change, c.state, c.job_id, c.attempt, c.error, c.at)::powertools.change
    FROM unnest(changes) WITH ORDINALITY AS c
    CROSS JOIN LATERAL (
      SELECT s.job_id FROM powertools.steps s
      WHERE s.workflow_id = c.workflow_id AND s.position = c.position AND s.state = 'available' OFFSET 0
    ) AS s
    WHERE s.job_id = c.job_id
    ORDER BY c.ordinality
  );
END $$;

-- Writes deferred starts of jobs, in the transaction that fetched them (events/E3).
CREATE OR REPLACE FUNCTION powertools.defer_starts(starts powertools.change[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO powertools.deferred_starts (job_id, attempt, workflow_id, position)
  SELECT c.job_id, c.attempt, c.workflow_id, c.position FROM unnest(starts) AS c
  ON CONFLICT DO NOTHING;
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;

-- Removes the deferred starts of these jobs and returns them, to be numbered. The caller holds the workflows.
CREATE OR REPLACE FUNCTION powertools.take_starts_v1(job_ids bigint[]) RETURNS powertools.change[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  starts powertools.change[];
BEGIN
  WITH due AS (
    DELETE FROM powertools.deferred_starts d WHERE d.job_id = ANY (job_ids) RETURNING d.*
  )
  SELECT array_agg(ROW (
    d.workflow_id, d.position, 'started', 'executing', d.job_id, d.attempt, NULL, d.at
  )::powertools.change ORDER BY d.at, d.job_id)
  INTO starts FROM due d;
  RETURN powertools.own_changes(starts);
END $$;
