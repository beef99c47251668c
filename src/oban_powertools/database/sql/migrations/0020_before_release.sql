-- What a database of before the first release lacks; nothing for any other. Locks: ACCESS EXCLUSIVE on the executors, the
-- incidents, the endpoints of webhooks and the audit, for an instant; SHARE on the audit while its index is built.

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
  ADD COLUMN IF NOT EXISTS aside int NOT NULL DEFAULT 0,
  ADD COLUMN IF NOT EXISTS aside_since timestamptz,
  DROP CONSTRAINT IF EXISTS executor_aside,
  ADD CONSTRAINT executor_aside CHECK (aside >= 0 AND (aside = 0) = (aside_since IS NULL)),
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

-- Notices.
CREATE TABLE IF NOT EXISTS powertools.notices (
  batch_id bigint NOT NULL,
  -- 1..n in its batch, which has nothing else
  place int NOT NULL,
  -- NULL until it has its place in the log
  cursor bigint UNIQUE,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  topic text NOT NULL,
  -- whose: the id of the incident, of the executor, of the record in the audit, of the run
  subject_id text NOT NULL,
  kind text NOT NULL,
  -- the fields of the event
  data jsonb NOT NULL,
  PRIMARY KEY (batch_id, place),
  CONSTRAINT notice_kind CHECK (
    CASE topic
      WHEN 'incident' THEN kind IN (
        'incident.opened', 'incident.changed', 'incident.acknowledged', 'incident.resolved', 'incident.reopened'
      )
      WHEN 'executor' THEN kind IN ('executor.late', 'executor.missing', 'executor.recovered')
      WHEN 'audit' THEN kind IN (
        'repair.executed', 'repair.refused', 'repair.drifted', 'repair.expired', 'repair.failed', 'retention.ran'
      )
    END IS TRUE
  )
);

CREATE INDEX IF NOT EXISTS notices_topic ON powertools.notices (topic, cursor);

CREATE INDEX IF NOT EXISTS notices_subject ON powertools.notices (topic, subject_id, cursor);

ALTER TABLE powertools.executors
  ADD COLUMN IF NOT EXISTS told_as text NOT NULL DEFAULT 'healthy',
  ADD COLUMN IF NOT EXISTS stacks jsonb;

-- Those that are missing by now are no news.
UPDATE powertools.executors SET told_as = CASE WHEN stopped_at IS NULL THEN 'missing' ELSE 'stopped' END
WHERE num_nonnulls(stopped_at, missing_at, died_at, relieved_at) > 0;

CREATE OR REPLACE FUNCTION powertools.tell_of_incidents_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE OR REPLACE FUNCTION powertools.tell_of_repairs_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE OR REPLACE FUNCTION powertools.tell_of_retention_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE OR REPLACE TRIGGER told AFTER INSERT ON powertools.incident_entries
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_incidents_v1();

CREATE OR REPLACE TRIGGER told AFTER INSERT ON powertools.audit
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_repairs_v1();

CREATE OR REPLACE TRIGGER told AFTER UPDATE ON powertools.prune_runs
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION powertools.tell_of_retention_v1();

-- Formats of webhooks.
ALTER TABLE powertools.webhook_endpoints
  ADD COLUMN IF NOT EXISTS format text NOT NULL DEFAULT 'cloudevents',
  ADD COLUMN IF NOT EXISTS console_url text,
  ADD COLUMN IF NOT EXISTS storms jsonb NOT NULL DEFAULT '{}',
  DROP CONSTRAINT IF EXISTS webhook_endpoint_format,
  ADD CONSTRAINT webhook_endpoint_format CHECK (format IN ('cloudevents', 'chat', 'pagerduty', 'alertmanager'));
