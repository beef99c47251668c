-- What is due: one question for all parts of the sweep. Locks: none to install.

-- Which parts have something to do, so that an idle process asks once a sweep. Each is looked up by an index of what is
-- open: by statistics from busier times a scan of a whole log would seem to find something at once.
-- Index: settle_faults_open, signals_new, waits_new, signals_expiring, signals_for_begun, waits_deadline,
--   workflows_expiring, workflows_stopping, steps_stopping, steps_held, workflows_unfinished, event_batches_unplaced, event_batches by last_cursor, audit_links_unsealed.
CREATE FUNCTION powertools.due_parts_v1(incidents_every interval, events_kept_for interval) RETURNS text[]
LANGUAGE plpgsql
PLANNED ONCE
AS $$
BEGIN
  RETURN array_remove(ARRAY[
    CASE WHEN EXISTS (SELECT FROM powertools.settle_faults WHERE repaired_at IS NULL) THEN 'repair_settle_faults' END,
    CASE WHEN EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND NOT swept)
      OR EXISTS (SELECT FROM powertools.waits WHERE state = 'waiting' AND NOT swept)
      OR EXISTS (SELECT FROM powertools.signals WHERE status = 'stored' AND expires_at <= clock_timestamp())
      OR EXISTS (
        SELECT FROM powertools.signals WHERE status = 'stored' AND last_workflow_id < (SELECT powertools.oldest_unfinished_v1())
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
    CASE WHEN powertools.outgrown_v1() <> '{}' THEN 'analyze_outgrown' END,
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
