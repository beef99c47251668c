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
  found_by text NOT NULL,
  holds_by text,
  over_because text NOT NULL
);

-- For the foreign key; the release brings what they say.
INSERT INTO powertools.incident_classes (name, found_by, over_because)
SELECT DISTINCT i.class, '', '' FROM powertools.incidents i
ON CONFLICT DO NOTHING;

ALTER TABLE powertools.incidents
  DROP CONSTRAINT IF EXISTS incident_class,
  ADD CONSTRAINT incident_class CHECK (split_part(fingerprint, ':', 1) = class),
  DROP CONSTRAINT IF EXISTS incidents_class_fkey,
  ADD CONSTRAINT incidents_class_fkey FOREIGN KEY (class) REFERENCES powertools.incident_classes (name);
