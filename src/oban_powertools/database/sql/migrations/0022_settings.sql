-- What must be equal on all nodes: one row a setting, read wherever it counts. One that nobody has set has the default of
-- the release that installed it. Locks: ACCESS EXCLUSIVE on the executors for an instant.

CREATE TABLE powertools.settings (
  name text PRIMARY KEY,
  -- a span of time in seconds, null for ever; a count; of rescue an object, queue or '*' -> automatic or operator
  value jsonb NOT NULL,
  -- NULL: nobody has set it
  changed_at timestamptz,
  -- NULL: the first process that was started with a value of its own
  changed_by text,
  CONSTRAINT setting_value CHECK (
    CASE
      WHEN name = 'rescue' THEN jsonb_typeof(value) = 'object'
      WHEN name LIKE 'retention.%' THEN jsonb_typeof(value) IN ('number', 'null')
      ELSE jsonb_typeof(value) = 'number'
    END
  ),
  CONSTRAINT setting_changed CHECK (changed_at IS NOT NULL OR changed_by IS NULL)
);

INSERT INTO powertools.settings (name, value)
SELECT s.name, s.value FROM jsonb_each('{
  "events_kept_for": 604800, "rescue": {}, "rescue_unknown_after": 300,
  "incident_failing_for": 600, "incident_failing_count": 5, "incident_stuck_after": 300, "incident_unclaimed_after": 3600,
  "incident_hung_after": 300, "incident_hung_factor": 10, "incident_hung_unknown_after": 7200,
  "incident_queue_late_after": 600,
  "retention.workflows": 2592000, "retention.signals": 2592000,
  "retention.rescues": 2592000, "retention.late_results": 7776000, "retention.audit": 31536000,
  "retention.incidents": 7776000, "retention.previews": 604800, "retention.bulks": 604800,
  "retention.executors": 604800, "retention.settle_faults": 2592000, "retention.archive": null,
  "retention.prune_runs": 31536000
}') AS s (name, value);

CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON powertools.settings DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.changed_by IS NOT NULL) EXECUTE FUNCTION powertools.require_audit_v1();
