-- What a database of before the first release lacks; nothing for any other. Locks: ACCESS EXCLUSIVE on the executors, the
-- incidents and the audit, for an instant; SHARE on the audit while its index is built.

-- Migrations that only made functions are no more, and their numbers free.
DELETE FROM powertools.migrations WHERE name IN (
  'release', 'turbo', 'nested', 'commands', 'holds', 'recover', 'invariants', 'incident_classes', 'due', 'rescue', 'errors'
);

UPDATE powertools.migrations SET version = 3 WHERE name = 'settle';

-- The audit is the only ledger.
DROP TABLE IF EXISTS powertools.recovery_attempts, powertools.recovery_sessions, powertools.commands;

ALTER TABLE powertools.audit ADD COLUMN IF NOT EXISTS workflow_id bigint, ADD COLUMN IF NOT EXISTS step text;

CREATE INDEX IF NOT EXISTS audit_workflow ON powertools.audit (workflow_id, id) WHERE workflow_id IS NOT NULL;

ALTER TABLE powertools.executors
  ADD COLUMN IF NOT EXISTS late_after interval NOT NULL DEFAULT '45 s',
  ADD COLUMN IF NOT EXISTS missing_after interval NOT NULL DEFAULT '2 min',
  ADD COLUMN IF NOT EXISTS started_with jsonb NOT NULL DEFAULT '{}',
  DROP CONSTRAINT IF EXISTS executor_late_after,
  ADD CONSTRAINT executor_late_after CHECK (interval '0' < late_after AND late_after <= missing_after);

CREATE TABLE IF NOT EXISTS powertools.incident_classes (
  name text PRIMARY KEY,
  place int NOT NULL UNIQUE,
  found_by text NOT NULL,
  holds_by text,
  over_because text NOT NULL
);

INSERT INTO powertools.incident_classes (place, name, found_by, holds_by, over_because) VALUES
  (1, 'executor_late', 'detect_executors', 'executor_late_holds', 'it beats in time, has stopped, was replaced or removed, or is missing by now'),
  (2, 'executor_missing', 'detect_executors', NULL, 'it beats again, has stopped, was replaced or removed, or has been missing for a day'),
  (3, 'dead_executor', 'detect_executors', NULL, 'it has no job in hand any more'),
  (4, 'orphaned_jobs', 'detect_orphans', 'orphaned_jobs_holds', 'none of the jobs is executing any more, or their executor is known'),
  (5, 'workflow_stuck', 'detect_stuck', NULL, 'it can move again'),
  (6, 'wait_overdue', 'detect_overdue_waits', 'wait_overdue_holds', 'the waits have ended'),
  (7, 'poison_job', 'detect_poison', 'poison_job_holds', 'the job is not quarantined any more'),
  (8, 'failing_jobs', 'detect_failing_jobs', NULL, 'no job has failed like this for the whole window'),
  (9, 'worker_not_importable', 'detect_not_importable', 'worker_not_importable_holds', 'none of the jobs waits for it any more'),
  (10, 'late_result', 'detect_late_results', 'late_result_holds', 'each was adopted or dismissed, or the job has a result of its own'),
  (11, 'outside_edit', 'detect_outside_edits', NULL, 'it was undone, or happened a day ago'),
  (12, 'bookkeeping_fault', 'detect_settle_faults', 'bookkeeping_fault_holds', 'every job was settled'),
  (13, 'callback_failed', 'detect_failed_callbacks', 'callback_failed_holds', 'none of the callbacks is discarded any more')
ON CONFLICT DO NOTHING;

ALTER TABLE powertools.incidents
  DROP CONSTRAINT IF EXISTS incident_class,
  ADD CONSTRAINT incident_class CHECK (split_part(fingerprint, ':', 1) = class),
  DROP CONSTRAINT IF EXISTS incidents_class_fkey,
  ADD CONSTRAINT incidents_class_fkey FOREIGN KEY (class) REFERENCES powertools.incident_classes (name);
