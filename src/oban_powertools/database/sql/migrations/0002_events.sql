-- The event log: what happened to steps and workflows, in the transaction in which it happened.
-- Locks: none to install.

CREATE TABLE powertools.events (
  workflow_id bigint NOT NULL,
  number int NOT NULL,
  -- NULL: the workflow itself ended
  position int,
  batch_id bigint NOT NULL,
  -- 1..n in its batch
  place int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  job_id bigint,
  attempt int,
  has_result bool NOT NULL DEFAULT false,
  -- told by a host that runs the step elsewhere
  published bool NOT NULL DEFAULT false,
  change text NOT NULL,
  state text NOT NULL,
  error text,
  -- of an end: the workflow's generation, and at most 1,000 failed steps
  generation int,
  failed_steps text[],
  PRIMARY KEY (workflow_id, number),
  CONSTRAINT event_change CHECK (
    change IN (
      'released', 'started', 'completed', 'retrying', 'snoozed', 'cancelled', 'discarded', 'expired', 'awaiting', 'recovered'
    ) AND position IS NOT NULL
    OR change = 'finished' AND position IS NULL AND generation IS NOT NULL AND failed_steps IS NOT NULL
  )
);

CREATE TABLE powertools.event_batches (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- the cursor of its last event; NULL until it has its place in the log
  last_cursor bigint UNIQUE,
  events int NOT NULL,
  -- one entry a workflow
  workflow_ids bigint[] NOT NULL,
  first_numbers int[] NOT NULL,
  last_numbers int[] NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX event_batches_unplaced ON powertools.event_batches (id) WHERE last_cursor IS NULL;

-- What happens to incidents and executors, what operators repair, and what retention removed: events of no workflow.
CREATE TABLE powertools.notices (
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

CREATE INDEX notices_topic ON powertools.notices (topic, cursor);

CREATE INDEX notices_subject ON powertools.notices (topic, subject_id, cursor);

-- One row. Its lock is the right to give batches their places.
CREATE TABLE powertools.event_log (
  only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
  -- the cursor of the newest event, and of the newest that retention has removed
  head bigint NOT NULL,
  pruned_to bigint NOT NULL,
  CONSTRAINT event_log_order CHECK (pruned_to <= head)
);

INSERT INTO powertools.event_log (head, pruned_to) VALUES (0, 0);

CREATE TABLE powertools.deferred_starts (
  job_id bigint NOT NULL,
  attempt int NOT NULL,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, attempt)
  -- rows live for milliseconds: each round of autovacuum should come by
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- A change to write down. What is NULL here is read from the step: its state, job, attempt and error.
CREATE TYPE powertools.change AS (
  workflow_id bigint,
  position int,
  change text,
  state text,
  job_id bigint,
  attempt int,
  error text,
  at timestamptz
);
