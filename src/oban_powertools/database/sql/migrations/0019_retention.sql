-- Retention: what is removed when its time is over, and what is kept of it.
-- Locks: SHARE on waits, signals and rescues while their indexes are built.

CREATE TABLE powertools.prune_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- NULL: it is under way, or its process died
  finished_at timestamptz,
  -- NULL: the sweep
  actor text,
  reason text NOT NULL,
  outcome text,
  error text,
  -- class -> rows
  archived jsonb NOT NULL DEFAULT '{}',
  pruned jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT prune_run_ended CHECK (
    (finished_at IS NULL) = (outcome IS NULL) AND outcome IN ('done', 'failed') AND (outcome = 'failed') = (error IS NOT NULL)
  )
) WITH (fillfactor = 50);

-- A trigger needs a function: it does nothing until the text of functions/notices.sql is applied, in the same transaction.
CREATE FUNCTION powertools.tell_of_retention_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER told AFTER UPDATE ON powertools.prune_runs
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION powertools.tell_of_retention_v1();

CREATE TABLE powertools.archive (
  class text NOT NULL,
  original_id bigint NOT NULL,
  -- of a workflow: 0 itself, 1 .. n its steps, 1,000 each
  part int NOT NULL DEFAULT 0,
  run_id bigint NOT NULL,
  archived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  record jsonb NOT NULL,
  PRIMARY KEY (class, original_id, part)
);

CREATE INDEX archive_archived_at ON powertools.archive USING brin (archived_at);

CREATE INDEX waits_workflow ON powertools.waits (workflow_id);

CREATE INDEX signals_wait ON powertools.signals (wait_id) WHERE wait_id IS NOT NULL;

CREATE INDEX signals_inserted_at ON powertools.signals (inserted_at);


CREATE INDEX rescues_at ON powertools.rescues (at);
