-- Workflows and their steps. Locks: none that a running application waits for (new tables only).
--
-- No index touches a column that changes on the way of a step (state, pending, job_id): every
-- update on the hot path stays heap-only. The edges are arrays on both ends of each edge, which
-- costs 4 bytes an end instead of a row and two index entries; powertools.edges shows them as rows.

CREATE SCHEMA IF NOT EXISTS powertools;

CREATE TABLE powertools.migrations (
  version int PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE powertools.workflows (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state text NOT NULL DEFAULT 'running',
  generation int NOT NULL DEFAULT 1,
  total int NOT NULL,
  -- steps without an outcome; the workflow ends in the transaction that brings it to 0
  open int NOT NULL,
  -- steps that failed, as is_failure has it
  failed int NOT NULL DEFAULT 0,
  -- steps that ended because the workflow was cancelled or expired
  stopped int NOT NULL DEFAULT 0,
  failures_handled boolean,
  finished_at timestamptz,
  cancel_requested_at timestamptz,
  expired_at timestamptz,
  semantics_version smallint NOT NULL DEFAULT 2,
  name text NOT NULL,
  context jsonb NOT NULL DEFAULT '{}',
  tags text[] NOT NULL DEFAULT '{}',
  definition_version text,
  idempotency_key text,
  -- tells a repeated insert of the same definition from another one under the same key
  definition_hash text,
  -- what makes the steps' idempotency keys differ between databases
  uid text NOT NULL DEFAULT left(gen_random_uuid()::text, 8),
  -- an Oban job, as columns of its table; inserted in the transaction that ends the workflow
  on_finished jsonb,
  -- counted from the insert, from the start of a nested workflow, and from each recovery
  expires_in interval,
  expires_at timestamptz,
  inserted_at timestamptz NOT NULL DEFAULT now(),
  -- the outermost workflow; its row is the lock of the whole family
  root_id bigint NOT NULL,
  -- the step that runs this workflow, when it is nested or the items of a map
  parent_id bigint,
  parent_position int,
  -- of a map: how many items may fail before the map does; NULL for any other workflow
  max_failures int,

  CONSTRAINT workflow_state CHECK (
    state IN ('running', 'cancel_requested', 'completed', 'failed', 'cancelled', 'expired')
  ),
  CONSTRAINT workflow_name_required CHECK (name <> ''),
  CONSTRAINT workflow_counters CHECK (
    total > 0 AND open BETWEEN 0 AND total AND failed BETWEEN 0 AND total - open AND stopped BETWEEN 0 AND total - open
  ),
  CONSTRAINT workflow_family CHECK (
    (parent_id IS NULL) = (parent_position IS NULL) AND (parent_id IS NULL) = (root_id = id) AND root_id <= id
  ),
  CONSTRAINT workflow_ends_with_its_last_step CHECK (
    (open = 0) = (finished_at IS NOT NULL)
    AND (open = 0) = (state IN ('completed', 'failed', 'cancelled', 'expired'))
  ),
  CONSTRAINT workflow_idempotency CHECK ((idempotency_key IS NULL) = (definition_hash IS NULL)),
  CONSTRAINT workflow_generation CHECK (generation > 0)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX workflows_idempotency_key ON powertools.workflows (idempotency_key)
WHERE idempotency_key IS NOT NULL;

CREATE INDEX workflows_unfinished ON powertools.workflows (id)
WHERE state IN ('running', 'cancel_requested');

CREATE INDEX workflows_stopping ON powertools.workflows (id) WHERE state = 'cancel_requested';

CREATE INDEX workflows_expiring ON powertools.workflows (expires_at)
WHERE expires_at IS NOT NULL AND state = 'running';

CREATE INDEX workflows_parent ON powertools.workflows (parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX workflows_name ON powertools.workflows (name, id);

CREATE TABLE powertools.steps (
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  -- what changes while the step lives
  pending int NOT NULL,
  generation int NOT NULL DEFAULT 1,
  job_id bigint,
  -- its wait, the last one when there were several; its workflow, when it runs one
  wait_id bigint,
  child_id bigint,
  attempt int NOT NULL DEFAULT 0,
  state text NOT NULL DEFAULT 'pending',
  cause text,
  cancel_requested_at timestamptz,
  released_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  result jsonb,
  error jsonb,
  -- what was defined
  kind text NOT NULL DEFAULT 'job',
  max_attempts smallint NOT NULL DEFAULT 1,
  priority smallint NOT NULL DEFAULT 0,
  depth int NOT NULL,
  name text NOT NULL,
  worker text,
  queue text,
  effects text NOT NULL DEFAULT 'ask',
  args jsonb,
  -- args with references: text and [position, "result" | "error", [path]] in turn
  template jsonb,
  parents int[] NOT NULL DEFAULT '{}',
  children int[] NOT NULL DEFAULT '{}',
  continue_parents int[],
  continue_children int[],
  tags text[],
  meta jsonb,
  scheduled_at timestamptz,
  delay interval,
  -- of a wait, from its registration
  deadline interval,
  -- of a map: args of one item's job, as template; how many items may fail
  item_template jsonb,
  max_failures int,
  -- not released, nor its job started, before this instant
  held_until timestamptz,
  hold_reason text,

  PRIMARY KEY (workflow_id, position),
  -- the name first: only the primary key may look like a way to one workflow's step
  CONSTRAINT step_name_unique UNIQUE (name, workflow_id),
  CONSTRAINT step_state CHECK (
    state IN ('pending', 'available', 'executing', 'awaiting_signal', 'completed', 'discarded', 'cancelled', 'expired')
  ),
  CONSTRAINT step_kind CHECK (
    CASE kind
      WHEN 'job' THEN worker <> '' AND queue <> '' AND worker IS NOT NULL AND queue IS NOT NULL
      WHEN 'map' THEN worker IS NOT NULL AND queue IS NOT NULL AND item_template IS NOT NULL AND max_failures >= 0
      ELSE kind IN ('signal', 'workflow') AND worker IS NULL AND queue IS NULL
    END
  ),
  CONSTRAINT step_name_required CHECK (name <> ''),
  CONSTRAINT step_position CHECK (position >= 0 AND depth >= 0),
  CONSTRAINT step_pending CHECK (pending >= 0),
  CONSTRAINT step_released_only_when_ready CHECK (
    state NOT IN ('available', 'executing', 'awaiting_signal') OR pending = 0
  ),
  CONSTRAINT step_has_what_it_runs_on CHECK (
    CASE state
      WHEN 'available' THEN job_id IS NOT NULL
      WHEN 'executing' THEN child_id IS NOT NULL AND kind IN ('workflow', 'map')
      WHEN 'awaiting_signal' THEN wait_id IS NOT NULL
      WHEN 'pending' THEN job_id IS NULL
      ELSE true
    END
  ),
  CONSTRAINT step_finished CHECK (
    (finished_at IS NOT NULL) = (state IN ('completed', 'discarded', 'cancelled', 'expired'))
  ),
  CONSTRAINT step_result_of_completed CHECK (result IS NULL OR state = 'completed'),
  CONSTRAINT step_args CHECK ((args IS NULL) <> (template IS NULL)),
  CONSTRAINT step_effects CHECK (effects IN ('repeatable', 'ask', 'never')),
  CONSTRAINT step_cause CHECK (
    cause IN (
      'cancelled_by_dependency', 'job_deleted', 'cancel_requested', 'completed_after_cancel_request',
      'workflow_expired', 'wait_expired', 'cancelled_by_operator', 'completed_by_operator', 'skipped'
    )
  ),
  CONSTRAINT step_hold CHECK ((held_until IS NULL) = (hold_reason IS NULL)),
  CONSTRAINT step_job CHECK (max_attempts > 0 AND priority BETWEEN 0 AND 9)
) WITH (fillfactor = 45);

CREATE INDEX steps_held ON powertools.steps (held_until) WHERE held_until IS NOT NULL;

CREATE INDEX steps_stopping ON powertools.steps (workflow_id, position) WHERE cancel_requested_at IS NOT NULL;

-- A trigger needs a function: it does nothing until the text of functions/edges.sql is applied, in the same transaction.
CREATE FUNCTION powertools.check_edges_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER check_edges AFTER INSERT ON powertools.steps
REFERENCING NEW TABLE AS new_steps
FOR EACH STATEMENT EXECUTE FUNCTION powertools.check_edges_v1();

-- invariant/I6: what the bookkeeping could not settle in the job's own transaction, kept for the sweep.
CREATE TABLE powertools.settle_faults (
  job_id bigint PRIMARY KEY,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  state text NOT NULL,
  attempt int NOT NULL,
  -- what the worker returned: {"json": value}, {"await": ...}, {"json": value, "append": [...]}
  result jsonb,
  error jsonb,
  released_at timestamptz,
  started_at timestamptz,
  cause text,
  sqlstate text NOT NULL,
  message text NOT NULL,
  faults int NOT NULL DEFAULT 1,
  first_fault_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_fault_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  repaired_at timestamptz
);

CREATE INDEX settle_faults_open ON powertools.settle_faults (last_fault_at) WHERE repaired_at IS NULL;
