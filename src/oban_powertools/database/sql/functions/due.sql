-- What is due: one query that says which parts of the sweep have something to do, and the ids of each part's next
-- batch.

-- Each of these functions returns rows when its part is due. They are plain queries, STABLE and without settings, so
-- that the planner inlines them.

CREATE OR REPLACE FUNCTION powertools.open_settle_faults() RETURNS SETOF powertools.settle_faults
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.settle_faults WHERE repaired_at IS NULL
$$;

CREATE OR REPLACE FUNCTION powertools.unmatched() RETURNS SETOF bool
LANGUAGE sql STABLE
AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND NOT swept)
    OR EXISTS (SELECT FROM powertools.waits WHERE state = 'waiting' AND NOT swept)
    OR EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND expires_at <= clock_timestamp())
    OR EXISTS (
      SELECT FROM powertools.signals WHERE status = 'stored' AND last_workflow_id < (SELECT powertools.oldest_unfinished())
    )
$$;

CREATE OR REPLACE FUNCTION powertools.overdue_waits() RETURNS SETOF powertools.waits
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.waits WHERE state = 'waiting' AND deadline_at <= clock_timestamp()
$$;

CREATE OR REPLACE FUNCTION powertools.overdue_workflows() RETURNS SETOF powertools.workflows
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.workflows WHERE state = 'running' AND expires_at <= clock_timestamp()
$$;

CREATE OR REPLACE FUNCTION powertools.stopping() RETURNS SETOF bool
LANGUAGE sql STABLE
AS $$
  SELECT true FROM powertools.workflows WHERE state = 'cancel_requested'
  UNION ALL
  SELECT true FROM powertools.steps WHERE cancel_requested_at IS NOT NULL AND state = 'available'
$$;

CREATE OR REPLACE FUNCTION powertools.overdue_holds() RETURNS SETOF powertools.steps
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.steps WHERE held_until <= clock_timestamp()
$$;

-- Our tables that have grown many times over since their last ANALYZE: plans made for nearly empty tables are made
-- again after one. Counted by committed rows: an ANALYZE during a large insert would see a large table without rows,
-- for which any index looks right. By size only where the server has lost its count, as after a crash.
CREATE OR REPLACE FUNCTION powertools.outgrown_tables() RETURNS SETOF regclass
LANGUAGE sql STABLE
AS $$
  SELECT t.name
  FROM unnest(ARRAY[
    'powertools.workflows', 'powertools.steps', 'powertools.events', 'powertools.event_batches', 'powertools.waits',
    'powertools.notices'
  ]::regclass[]) AS t (name)
  JOIN pg_class c ON c.oid = t.name
  WHERE pg_stat_get_live_tuples(t.name) > 4 * greatest(c.reltuples, 250)
    OR pg_stat_get_live_tuples(t.name) = 0 AND c.relpages > 0
      AND pg_relation_size(t.name) > 4 * greatest(c.relpages, 10) * current_setting('block_size')::bigint
$$;

CREATE OR REPLACE FUNCTION powertools.unfinished_workflows() RETURNS SETOF powertools.workflows
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.workflows WHERE state IN ('running', 'cancel_requested')
$$;

CREATE OR REPLACE FUNCTION powertools.gone_or_dated_ahead() RETURNS SETOF bool
LANGUAGE sql STABLE
AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.gone_executors WHERE relieved_at IS NULL)
    OR EXISTS (SELECT FROM powertools.executors_dated_ahead)
$$;

CREATE OR REPLACE FUNCTION powertools.projection_aged(incidents_every interval) RETURNS SETOF bool
LANGUAGE sql STABLE
AS $$
  SELECT true
  WHERE NOT EXISTS (
    SELECT FROM powertools.incident_projection
    WHERE projected_at BETWEEN clock_timestamp() - incidents_every AND clock_timestamp()
  )
$$;

CREATE OR REPLACE FUNCTION powertools.events_to_keep(events_kept_for interval) RETURNS SETOF bool
LANGUAGE sql STABLE
AS $$
  SELECT true
  WHERE EXISTS (SELECT FROM powertools.deferred_starts)
    OR EXISTS (SELECT FROM powertools.event_batches WHERE last_cursor IS NULL)
    OR (
      SELECT b.inserted_at < clock_timestamp() - events_kept_for FROM powertools.event_batches b
      WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT 1
    )
$$;

CREATE OR REPLACE FUNCTION powertools.unsealed() RETURNS SETOF powertools.audit_links
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.audit_links WHERE seal_id IS NULL
$$;

CREATE OR REPLACE FUNCTION powertools.webhook_addresses() RETURNS SETOF powertools.webhook_endpoints
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.webhook_endpoints
$$;

-- The ids of one batch: the longest overdue, family after family by its outermost workflow (settle/S4).

CREATE OR REPLACE FUNCTION powertools.waits_to_match(batch int) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT m.wait_id AS id, m.workflow_id FROM powertools.missed(batch) AS m LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;

CREATE OR REPLACE FUNCTION powertools.waits_to_expire(batch int) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT w.id, w.workflow_id FROM powertools.overdue_waits() w ORDER BY w.deadline_at LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;

CREATE OR REPLACE FUNCTION powertools.workflows_to_expire(batch int) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT d.id
    FROM (
      SELECT w.id, w.root_id FROM powertools.overdue_workflows() w ORDER BY w.expires_at LIMIT batch
    ) AS d
    ORDER BY d.root_id
  );
END $$;

CREATE OR REPLACE FUNCTION powertools.holds_to_expire(batch int) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT ON (w.root_id, w.id) w.id
    FROM (
      SELECT s.workflow_id FROM powertools.overdue_holds() s ORDER BY s.held_until LIMIT batch
    ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
    ORDER BY w.root_id
  );
END $$;

-- Locks: SHARE UPDATE EXCLUSIVE on the tables, which holds up no reader or writer. As their owner: others may
-- not analyze them.
CREATE OR REPLACE FUNCTION powertools.analyze_outgrown_v1() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outgrown CONSTANT regclass[] := ARRAY(SELECT powertools.outgrown_tables());
  one regclass;
BEGIN
  FOREACH one IN ARRAY outgrown LOOP
    EXECUTE format('ANALYZE %s', one);
  END LOOP;
  RETURN cardinality(outgrown);
END $$;
REVOKE EXECUTE ON FUNCTION powertools.analyze_outgrown_v1() FROM PUBLIC;

-- All of them, once: there is never more to do at once.
CREATE OR REPLACE FUNCTION powertools.analyze_tables(batch int, OUT done int, OUT failed int, OUT more bool)
LANGUAGE sql
AS $$
  SELECT powertools.analyze_outgrown_v1(), 0, false
$$;

-- Which parts have something to do, so that an idle process needs one query a sweep; an upgrade writes in a line of
-- each row of sweep_parts.py. Each uses an index of open rows: with statistics from busier times the planner would
-- expect a scan of a whole log to find a row at once. Index: settle_faults_open, signals_new, waits_new,
-- signals_expiring, signals_for_begun, waits_deadline, workflows_expiring, workflows_stopping, steps_stopping,
-- steps_held, workflows_unfinished, event_batches_unplaced, event_batches by last_cursor, audit_links_unsealed.
CREATE OR REPLACE FUNCTION powertools.due_parts_v1(incidents_every interval, events_kept_for interval) RETURNS text[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
BEGIN
  RETURN array_remove(ARRAY[
    /* each part that is due */
  ]::text[], NULL);
END $$;
