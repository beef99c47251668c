-- Incidents: what is broken, one row a cause. Locks: CREATE INDEX takes SHARE on the steps and the workflows while it
-- reads them (nothing is stored yet where this is installed with the rest).

-- The classes: a release brings the rows, and functions/ the functions that they name.
CREATE TABLE powertools.incident_classes (
  name text PRIMARY KEY,
  -- finds what is wrong now: (whole bool) -> SETOF powertools.detected; several classes may share one
  found_by text NOT NULL,
  -- whether an open one still holds that was not found: (powertools.incidents) -> bool; NULL: not found is over
  holds_by text,
  -- what its timeline says when it is over
  over_because text NOT NULL
);

CREATE TABLE powertools.incidents (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- its class, then what tells it from others of the class
  fingerprint text NOT NULL,
  class text NOT NULL REFERENCES powertools.incident_classes (name),
  state text NOT NULL DEFAULT 'active',
  substatus text NOT NULL DEFAULT 'new',
  subject_type text NOT NULL,
  subject_id text NOT NULL,
  title text NOT NULL,
  count bigint NOT NULL,
  evidence jsonb NOT NULL,
  -- workflows that are concerned, of at most 1,000, and their steps without an outcome
  waiting_workflows int NOT NULL,
  waiting_steps bigint NOT NULL,
  -- it is not over before this instant, whatever can be seen
  holds_until timestamptz,
  first_detected_at timestamptz NOT NULL,
  -- since it was detected or reopened
  opened_at timestamptz NOT NULL,
  last_detected_at timestamptz NOT NULL,
  resolved_at timestamptz,
  reopened int NOT NULL DEFAULT 0,
  acknowledged_by text,
  acknowledged_at timestamptz,
  assignee text,
  muted_until timestamptz,
  CONSTRAINT incident_fingerprint UNIQUE (fingerprint),
  CONSTRAINT incident_class CHECK (split_part(fingerprint, ':', 1) = class),
  CONSTRAINT incident_state CHECK (state IN ('active', 'acknowledged', 'resolved')),
  CONSTRAINT incident_substatus CHECK (substatus IN ('new', 'ongoing', 'recurring', 'regressed')),
  CONSTRAINT incident_resolved CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
  CONSTRAINT incident_acknowledged CHECK (
    (acknowledged_by IS NULL) = (acknowledged_at IS NULL) AND (state <> 'acknowledged' OR acknowledged_by IS NOT NULL)
  )
);

CREATE INDEX incidents_open ON powertools.incidents (class) WHERE state <> 'resolved';

CREATE INDEX incidents_opened ON powertools.incidents (opened_at, id);

CREATE TABLE powertools.incident_entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  incident_id bigint NOT NULL REFERENCES powertools.incidents ON DELETE CASCADE,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind text NOT NULL,
  -- NULL: Powertools itself
  actor text,
  detail jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT entry_kind CHECK (
    kind IN ('detected', 'reopened', 'changed', 'resolved', 'acknowledged', 'assigned', 'noted', 'muted')
  )
);

CREATE INDEX incident_entries_incident ON powertools.incident_entries (incident_id, id);

-- A trigger needs a function: it does nothing until the text of functions/notices.sql is applied, in the same transaction.
CREATE FUNCTION powertools.tell_of_incidents_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER told AFTER INSERT ON powertools.incident_entries
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_incidents_v1();

-- One row at most: when everything was last looked at, and how far the search for stuck workflows has come.
CREATE TABLE powertools.incident_projection (
  only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
  projected_at timestamptz NOT NULL,
  after_workflow_id bigint NOT NULL
) WITH (fillfactor = 50);

-- What no index leads to yet. Only a change of the cause touches the first: a step that ends by its own job has none.
CREATE INDEX steps_job_deleted ON powertools.steps (workflow_id, position) WHERE cause = 'job_deleted';

CREATE INDEX workflows_unknown_semantics ON powertools.workflows (id) WHERE semantics_version <> 2;

CREATE INDEX rescues_quarantined ON powertools.rescues (job_id, id) WHERE action = 'quarantined';

-- What is wrong now. workflow_ids: those concerned, at most 1,000.
CREATE TYPE powertools.detected AS (
  class text, fingerprint text, subject_type text, subject_id text, title text, count bigint, evidence jsonb,
  workflow_ids bigint[], holds_until timestamptz
);
