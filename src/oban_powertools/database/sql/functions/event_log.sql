-- The places of events in the log: numbered after their commit, read in order, pruned from the start.

-- Numbers deferred starts whose workflow is not locked, at most 10,000. Its index scan skips removed entries quickly
-- (PostgreSQL marks them in the index), so it reads all it needs in one go. Locks: the workflows of these starts that
-- are free.
CREATE OR REPLACE FUNCTION powertools.number_starts() RETURNS void
LANGUAGE plpgsql
-- PLANNED ONCE
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

-- Places committed batches in the log, in the order of their ids. Returns the cursor of the newest event.
-- Args: with_starts (also those deferred starts that can be numbered).
-- Locks: as number_starts; the log's row, when there is something to place.
CREATE OR REPLACE FUNCTION powertools.place_events_v1(with_starts bool, OUT head bigint, OUT pruned_to bigint)
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  placed bigint;
BEGIN
  IF with_starts THEN
    PERFORM powertools.number_starts();
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
      RETURNING b.id, b.events, b.last_cursor, b.workflow_ids = '{}' AS has_notices
    ), noticed AS (
      UPDATE powertools.notices n SET cursor = p.last_cursor - p.events + n.place
      FROM placed p
      WHERE p.has_notices AND n.batch_id = p.id
    )
    SELECT max(p.last_cursor) INTO placed FROM placed p;
    UPDATE powertools.event_log l SET head = placed WHERE placed IS NOT NULL;
  END IF;
  SELECT l.head, l.pruned_to INTO head, pruned_to FROM powertools.event_log l;
END $$;

-- Removes the oldest events and notices, at most so many batches. The newest event of a workflow stays: the next number
-- follows from it. Returns how many events of workflows it removed. Locks: the log's row, then the removed rows.
CREATE OR REPLACE FUNCTION powertools.prune_events_v1(kept_for interval, batch int) RETURNS int
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  removed bigint[];
  upto bigint;
  pruned int;
BEGIN
  PERFORM l.head FROM powertools.event_log l FOR UPDATE;
  -- up to the first batch that is too young: a batch that committed late counts as old as those placed with it
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
  DELETE FROM powertools.notices n WHERE n.batch_id = ANY (removed);
  UPDATE powertools.event_log l SET pruned_to = upto;
  RETURN pruned;
END $$;
