-- The event log: what happened to steps and workflows, in the transaction in which it happened.
-- Locks: none to install.
--
-- Rules: events/E1 to E3, on docs/design/rules.md.

CREATE TABLE powertools.events (
  workflow_id bigint NOT NULL,
  number int NOT NULL,
  -- NULL: the workflow itself ended
  position int,
  batch_id bigint NOT NULL,
  -- 1..n in its batch
  place int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint,
  attempt int,
  has_result bool NOT NULL DEFAULT false,
  -- told by a host that runs the step elsewhere
  published bool NOT NULL DEFAULT false,
  change text NOT NULL,
  state text NOT NULL,
  error text,
  -- of an end: the workflow's generation, and at most 1,000 failed steps
  generation int,
  failed_steps text[],
  PRIMARY KEY (workflow_id, number),
  CONSTRAINT event_change CHECK (
    change IN (
      'released', 'started', 'completed', 'retrying', 'snoozed', 'cancelled', 'discarded', 'expired', 'awaiting', 'recovered'
    ) AND position IS NOT NULL
    OR change = 'finished' AND position IS NULL AND generation IS NOT NULL AND failed_steps IS NOT NULL
  )
);

CREATE TABLE powertools.event_batches (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the cursor of its last event; NULL until it has its place in the log
  last_cursor bigint UNIQUE,
  events int NOT NULL,
  -- one entry a workflow
  workflow_ids bigint[] NOT NULL,
  first_numbers int[] NOT NULL,
  last_numbers int[] NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX event_batches_unplaced ON powertools.event_batches (id) WHERE last_cursor IS NULL;

-- One row. Its lock is the right to give batches their places.
CREATE TABLE powertools.event_log (
  only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
  -- the cursor of the newest event, and of the newest that retention has removed
  head bigint NOT NULL,
  pruned_to bigint NOT NULL,
  CONSTRAINT event_log_order CHECK (pruned_to <= head)
);
INSERT INTO powertools.event_log (head, pruned_to) VALUES (0, 0);

CREATE TABLE powertools.deferred_starts (
  job_id bigint NOT NULL,
  attempt int NOT NULL,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, attempt)
  -- rows live for milliseconds: each round of autovacuum should come by
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- A change to write down. What is NULL here is read from the step: its state, job, attempt and error.
CREATE TYPE powertools.change AS (
  workflow_id bigint,
  position int,
  change text,
  state text,
  job_id bigint,
  attempt int,
  error text,
  at timestamptz
);

-- Events as their readers get them; those without a place in the log are not there yet.
CREATE VIEW powertools.placed_events AS
SELECT e.workflow_id, e.number, b.last_cursor - b.events + e.place AS cursor, e.at, e.position, s.name AS step_name,
  s.worker, coalesce(w.context ->> 'label', w.name) AS workflow_label, w.name AS workflow_name, e.change, e.state,
  e.job_id, e.attempt, e.has_result, e.published, e.error, e.generation, e.failed_steps
FROM powertools.events e
JOIN powertools.event_batches b ON b.id = e.batch_id AND b.last_cursor IS NOT NULL
LEFT JOIN powertools.workflows w ON w.id = e.workflow_id
LEFT JOIN powertools.steps s ON s.workflow_id = e.workflow_id AND s.position = e.position;

-- Sends a notification when the transaction commits, or leaves it out while the server's queue of notifications is nearly
-- full: without a place for it the commit would fail, and with it an ack, a fetch or a command (invariant/I5, I6).
CREATE FUNCTION powertools.notify_v1(channel text, payload text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  IF pg_notification_queue_usage() < 0.9 THEN
    PERFORM pg_notify(channel, payload);
  END IF;
END $$;

-- Writes changes down in their order. The caller holds the workflows (events/E1). Its statements are planned once
-- a session: they only look up by primary keys, which is right for any size of the tables.
CREATE FUNCTION powertools.write_events_v1(changes powertools.change[]) RETURNS void
LANGUAGE plpgsql
PLANNED ONCE
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
        -- asked once a workflow, before its first new row: among rows of this statement the last one is slow to find
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
CREATE FUNCTION powertools.failed_steps_v1(of_workflow_id bigint) RETURNS text[]
LANGUAGE plpgsql STABLE
PLANNED ONCE
AS $$
BEGIN
  RETURN ARRAY(
    SELECT s.name FROM powertools.steps s
    WHERE s.workflow_id = of_workflow_id AND powertools.is_failure_v1(s.state, s.cause)
    ORDER BY s.cause IS NOT DISTINCT FROM 'cancelled_by_dependency', s.position LIMIT 1000
  );
END $$;

-- Writes down that these workflows ended: the last event of their generation.
CREATE FUNCTION powertools.write_ends_v1(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
PLANNED ONCE
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

-- Those of these changes of jobs whose step runs on that very job.
CREATE FUNCTION powertools.own_changes_v1(changes powertools.change[]) RETURNS powertools.change[]
LANGUAGE plpgsql STABLE
PLANNED ONCE
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

-- Writes down that jobs started, in the transaction that fetched them (events/E3).
CREATE FUNCTION powertools.defer_starts_v1(starts powertools.change[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO powertools.deferred_starts (job_id, attempt, workflow_id, position)
  SELECT c.job_id, c.attempt, c.workflow_id, c.position FROM unnest(starts) AS c
  ON CONFLICT DO NOTHING;
  PERFORM powertools.notify_v1('powertools.events', '');
END $$;

-- Takes the deferred starts of these jobs, to be written down. The caller holds the workflows.
CREATE FUNCTION powertools.take_starts_v1(job_ids bigint[]) RETURNS powertools.change[]
LANGUAGE plpgsql
PLANNED ONCE
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
  RETURN powertools.own_changes_v1(starts);
END $$;

-- Numbers deferred starts whose workflow nobody holds, at most 10,000. Its walk along the index passes what was
-- taken before quickly (PostgreSQL marks it in the index), so it asks for all it needs in one go.
-- Locks: the workflows of these starts that are free.
CREATE FUNCTION powertools.number_starts_v1() RETURNS void
LANGUAGE plpgsql
PLANNED ONCE
AS $$
DECLARE
  job_ids bigint[];
  workflow_ids bigint[];
  roots bigint[];
BEGIN
  SELECT array_agg(d.job_id), array_agg(d.workflow_id) INTO job_ids, workflow_ids
  FROM (SELECT d.job_id, d.workflow_id FROM powertools.deferred_starts d ORDER BY d.job_id, d.attempt LIMIT 10000) AS d;
  IF job_ids IS NULL THEN
    RETURN;
  END IF;
  roots := ARRAY(
    SELECT held.id
    FROM (
      SELECT DISTINCT w.root_id AS id
      FROM (SELECT DISTINCT d.id FROM unnest(workflow_ids) AS d (id) LIMIT cardinality(workflow_ids)) AS d
      CROSS JOIN LATERAL (SELECT w.root_id FROM powertools.workflows w WHERE w.id = d.id OFFSET 0) AS w
      ORDER BY id LIMIT cardinality(workflow_ids)
    ) AS root
    CROSS JOIN LATERAL (
      SELECT w.id FROM powertools.workflows w WHERE w.id = root.id OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED
    ) AS held
  );
  -- a start whose workflow is gone is taken too, and dropped
  PERFORM powertools.write_events_v1(powertools.take_starts_v1(ARRAY(
    SELECT d.job_id FROM unnest(job_ids, workflow_ids) AS d (job_id, workflow_id)
    LEFT JOIN LATERAL (SELECT w.root_id FROM powertools.workflows w WHERE w.id = d.workflow_id OFFSET 0) AS w ON true
    WHERE w.root_id = ANY (roots) OR w.root_id IS NULL
  )));
END $$;

-- Gives committed batches their places in the log, in the order of their ids. Returns the cursor of the newest event.
-- Args: with_starts (also those deferred starts that can be numbered).
-- Locks: as number_starts_v1; the log's row, when there is something to place.
CREATE FUNCTION powertools.place_events_v1(with_starts bool, OUT head bigint, OUT pruned_to bigint)
LANGUAGE plpgsql
PLANNED ONCE
AS $$
DECLARE
  placed bigint;
BEGIN
  IF with_starts THEN
    PERFORM powertools.number_starts_v1();
  END IF;
  IF EXISTS (SELECT FROM powertools.event_batches b WHERE b.last_cursor IS NULL) THEN
    SELECT l.head INTO head FROM powertools.event_log l FOR UPDATE;
    WITH placed AS (
      UPDATE powertools.event_batches b SET last_cursor = place_events_v1.head + u.upto
      FROM (
        SELECT n.id, sum(n.events) OVER (ORDER BY n.id) AS upto
        FROM (
          SELECT b.id, b.events FROM powertools.event_batches b WHERE b.last_cursor IS NULL ORDER BY b.id LIMIT 10000
        ) AS n
      ) AS u
      WHERE b.id = u.id
      RETURNING b.last_cursor
    )
    SELECT max(p.last_cursor) INTO placed FROM placed p;
    UPDATE powertools.event_log l SET head = placed WHERE placed IS NOT NULL;
  END IF;
  SELECT l.head, l.pruned_to INTO head, pruned_to FROM powertools.event_log l;
END $$;

-- Removes the oldest events, at most so many batches. The newest event of a workflow stays: the next number
-- follows from it. Returns how many events went. Locks: the log's row, then the removed rows.
CREATE FUNCTION powertools.prune_events_v1(kept_for interval, batch int) RETURNS int
LANGUAGE plpgsql
PLANNED ONCE
AS $$
DECLARE
  removed bigint[];
  upto bigint;
  pruned int;
BEGIN
  PERFORM l.head FROM powertools.event_log l FOR UPDATE;
  -- up to the first batch that is too young: one that committed late is as old as what came with it
  SELECT array_agg(o.id), max(o.last_cursor) INTO removed, upto
  FROM (
    SELECT b.id, b.last_cursor,
      bool_and(b.inserted_at < clock_timestamp() - kept_for) OVER (ORDER BY b.last_cursor) AS old_so_far
    FROM (
      SELECT b.* FROM powertools.event_batches b WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT batch
    ) AS b
  ) AS o
  WHERE o.old_so_far;
  IF removed IS NULL THEN
    RETURN 0;
  END IF;
  WITH batches AS (
    DELETE FROM powertools.event_batches b WHERE b.id = ANY (removed) RETURNING b.*
  ), old AS (
    SELECT n.workflow_id, max(n.last) AS last
    FROM batches b CROSS JOIN LATERAL unnest(b.workflow_ids, b.last_numbers) AS n (workflow_id, last)
    GROUP BY n.workflow_id
    LIMIT batch * 100000::bigint
  )
  DELETE FROM powertools.events e USING old o
  WHERE e.workflow_id = o.workflow_id AND e.number <= o.last
    AND EXISTS (SELECT FROM powertools.events n WHERE n.workflow_id = e.workflow_id AND n.number > e.number);
  GET DIAGNOSTICS pruned = ROW_COUNT;
  UPDATE powertools.event_log l SET pruned_to = upto;
  RETURN pruned;
END $$;
