-- The sweep: what no trigger can see, found and settled. Locks: none to install.

-- One row a part of the sweep: when it last did all that was due, or found nothing due; NULL: never yet. Whoever carries
-- a part out holds its row. Not an advisory lock: any role that may connect could hold that, and stop rescue, deadlines
-- and seals for ever.
CREATE TABLE powertools.sweep_parts (
  name text PRIMARY KEY,
  succeeded_at timestamptz
) WITH (fillfactor = 25);  -- nothing that a success changes is indexed: rows are updated in place

INSERT INTO powertools.sweep_parts (name)
SELECT unnest(ARRAY[
  'repair_settle_faults', 'match_signals', 'expire_waits', 'expire_workflows', 'cancel_stopping_jobs', 'expire_holds',
  'analyze_outgrown', 'reconcile', 'rescue', 'project_incidents', 'keep_events', 'seal_audit', 'dispatch_webhooks', 'retention'
]);
