-- What operators and hosts ask of a workflow, and the evidence of it. Locks: none to install.

CREATE TABLE powertools.commands (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint,
  step text,
  action text NOT NULL,
  actor text NOT NULL,
  source text NOT NULL,
  reason text,
  outcome text NOT NULL,
  reason_code text,
  legal_next_steps text[] NOT NULL DEFAULT '{}',
  details jsonb NOT NULL DEFAULT '{}',
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT command_outcome CHECK (outcome IN ('accepted', 'rejected') AND (outcome = 'rejected') = (reason_code IS NOT NULL))
);

CREATE INDEX commands_workflow ON powertools.commands (workflow_id, id);

CREATE TABLE powertools.recovery_sessions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint NOT NULL,
  generation int NOT NULL,
  action text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  -- steps that came back because they were cancelled with the recovered ones
  revived int NOT NULL,
  before jsonb NOT NULL,
  after jsonb NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX recovery_sessions_workflow ON powertools.recovery_sessions (workflow_id, id);

CREATE TABLE powertools.recovery_attempts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id bigint NOT NULL,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  step text NOT NULL,
  before jsonb NOT NULL,
  after jsonb NOT NULL
);

CREATE INDEX recovery_attempts_session ON powertools.recovery_attempts (session_id);
