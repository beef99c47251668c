-- What is due: one query for all parts of the sweep, and the rows of each.

-- The work of a part of the sweep: ids of waits, or of workflows. At most one batch, the longest overdue,
-- family after family by its outermost workflow (settle/S4).
CREATE OR REPLACE FUNCTION powertools.due(part text, batch int) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  CASE part
    WHEN 'match_signals' THEN RETURN ARRAY(
      SELECT d.id
      FROM (
        SELECT m.wait_id AS id, m.workflow_id FROM powertools.missed(batch) AS m LIMIT batch
      ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
      ORDER BY w.root_id
    );
    WHEN 'expire_waits' THEN RETURN ARRAY(
      SELECT d.id
      FROM (
        SELECT w.id, w.workflow_id FROM powertools.waits w
        WHERE w.state = 'waiting' AND w.deadline_at <= clock_timestamp()
        ORDER BY w.deadline_at LIMIT batch
      ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
      ORDER BY w.root_id
    );
    WHEN 'expire_workflows' THEN RETURN ARRAY(
      SELECT d.id
      FROM (
        SELECT w.id, w.root_id FROM powertools.workflows w
        WHERE w.state = 'running' AND w.expires_at <= clock_timestamp()
        ORDER BY w.expires_at LIMIT batch
      ) AS d
      ORDER BY d.root_id
    );
    WHEN 'expire_holds' THEN RETURN ARRAY(
      SELECT DISTINCT ON (w.root_id, w.id) w.id
      FROM (
        SELECT s.workflow_id FROM powertools.steps s
        WHERE s.held_until <= clock_timestamp() ORDER BY s.held_until LIMIT batch
      ) AS d JOIN powertools.workflows w ON w.id = d.workflow_id
      ORDER BY w.root_id
    );
  END CASE;
END $$;

-- Our tables that have grown many times over since their last ANALYZE: plans made for nearly empty tables are made
-- again after one. Counted by committed rows: an ANALYZE during a large insert would see a large table without rows,
-- for which any index looks right. By size only where the server has lost its count, as after a crash.
CREATE OR REPLACE FUNCTION powertools.outgrown() RETURNS regclass[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN ARRAY(
    SELECT t.name
    FROM unnest(ARRAY[
      'powertools.workflows', 'powertools.steps', 'powertools.events', 'powertools.event_batches', 'powertools.waits',
      'powertools.notices'
    ]::regclass[]) AS t (name)
    JOIN pg_class c ON c.oid = t.name
    WHERE pg_stat_get_live_tuples(t.name) > 4 * greatest(c.reltuples, 250)
      OR pg_stat_get_live_tuples(t.name) = 0 AND c.relpages > 0
        AND pg_relation_size(t.name) > 4 * greatest(c.relpages, 10) * current_setting('block_size')::bigint
  );
END $$;

-- Locks: SHARE UPDATE EXCLUSIVE on the tables, which holds up no reader or writer. As their owner: others may
-- not analyze them.
CREATE OR REPLACE FUNCTION powertools.analyze_outgrown_v1() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outgrown CONSTANT regclass[] := powertools.outgrown();
  one regclass;
BEGIN
  FOREACH one IN ARRAY outgrown LOOP
    EXECUTE format('ANALYZE %s', one);
  END LOOP;
  RETURN cardinality(outgrown);
END $$;
REVOKE EXECUTE ON FUNCTION powertools.analyze_outgrown_v1() FROM PUBLIC;

-- Which parts have something to do, so that an idle process needs one query a sweep. Each uses an index of open rows:
-- with statistics from busier times the planner would expect a scan of a whole log to find a row at once. Index:
-- settle_faults_open, signals_new, waits_new, signals_expiring, signals_for_begun, waits_deadline,  
-- workflows_expiring, workflows_stopping, steps_stopping, steps_held, workflows_unfinished, event_batches_unplaced,
-- event_batches by last_cursor, audit_links_unsealed.
CREATE OR REPLACE FUNCTION powertools.due_parts_v1(incidents_every interval, events_kept_for interval) RETURNS text[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
BEGIN
  RETURN array_remove(ARRAY[
    CASE WHEN EXISTS (SELECT FROM powertools.settle_faults WHERE repaired_at IS NULL) THEN 'repair_settle_faults' END,
    CASE WHEN EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND NOT swept)
      OR EXISTS (SELECT FROM powertools.waits WHERE state = 'waiting' AND NOT swept)
      OR EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND expires_at <= clock_timestamp())
      OR EXISTS (
        SELECT FROM powertools.signals WHERE status = 'stored' AND last_workflow_id < (SELECT powertools.oldest_unfinished())
      ) THEN 'match_signals' END,
    CASE WHEN EXISTS (
      SELECT FROM powertools.waits WHERE state = 'waiting' AND deadline_at <= clock_timestamp()
    ) THEN 'expire_waits' END,
    CASE WHEN EXISTS (
      SELECT FROM powertools.workflows WHERE state = 'running' AND expires_at <= clock_timestamp()
    ) THEN 'expire_workflows' END,
    CASE WHEN EXISTS (
      SELECT FROM powertools.workflows WHERE state = 'cancel_requested'
      UNION ALL
      SELECT FROM powertools.steps WHERE cancel_requested_at IS NOT NULL AND state = 'available'
    ) THEN 'cancel_stopping_jobs' END,
    CASE WHEN EXISTS (SELECT FROM powertools.steps WHERE held_until <= clock_timestamp()) THEN 'expire_holds' END,
    CASE WHEN powertools.outgrown() <> '{}' THEN 'analyze_outgrown' END,
    CASE WHEN EXISTS (
      SELECT FROM powertools.workflows WHERE state IN ('running', 'cancel_requested')
    ) THEN 'reconcile' END,
    CASE WHEN EXISTS (SELECT FROM powertools.gone_executors WHERE relieved_at IS NULL)
      OR EXISTS (SELECT FROM powertools.executors_dated_ahead) THEN 'rescue' END,
    CASE WHEN NOT EXISTS (
      SELECT FROM powertools.incident_projection
      WHERE projected_at BETWEEN clock_timestamp() - incidents_every AND clock_timestamp()
    ) THEN 'project_incidents' END,
    CASE WHEN EXISTS (SELECT FROM powertools.deferred_starts)
      OR EXISTS (SELECT FROM powertools.event_batches WHERE last_cursor IS NULL)
      OR (
        SELECT b.inserted_at < clock_timestamp() - events_kept_for FROM powertools.event_batches b
        WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT 1
      ) THEN 'keep_events' END,
    CASE WHEN EXISTS (SELECT FROM powertools.audit_links WHERE seal_id IS NULL) THEN 'seal_audit' END,
    CASE WHEN EXISTS (SELECT FROM powertools.webhook_endpoints) THEN 'dispatch_webhooks' END
  ], NULL);
END $$;
