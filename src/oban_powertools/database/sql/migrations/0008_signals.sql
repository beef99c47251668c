-- Signals and waits. Locks: none to install.

CREATE TABLE powertools.waits (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  generation int NOT NULL,
  state text NOT NULL DEFAULT 'waiting',
  signal text NOT NULL,
  correlation_key text NOT NULL,
  deadline_at timestamptz,
  registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,
  swept bool NOT NULL DEFAULT false,
  CONSTRAINT wait_state CHECK (state IN ('waiting', 'consumed', 'expired', 'cancelled')),
  CONSTRAINT wait_ended CHECK ((ended_at IS NULL) = (state = 'waiting'))
);

CREATE INDEX waits_key ON powertools.waits (signal, correlation_key, id);

CREATE INDEX waits_deadline ON powertools.waits (deadline_at) WHERE state = 'waiting' AND deadline_at IS NOT NULL;

CREATE INDEX waits_waiting ON powertools.waits (signal, correlation_key, workflow_id) WHERE state = 'waiting';

CREATE INDEX waits_new ON powertools.waits (id) WHERE state = 'waiting' AND NOT swept;

CREATE TABLE powertools.signals (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  signal text NOT NULL,
  correlation_key text NOT NULL,
  -- given by the sender to say which workflow is meant
  workflow_id bigint,
  dedupe_key text,
  payload jsonb,
  status text NOT NULL,
  duplicate_of bigint,
  wait_id bigint,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  consumed_at timestamptz,
  expires_at timestamptz,
  -- of a signal for workflows that had begun: the newest of them; NULL when later ones are meant too
  last_workflow_id bigint,
  swept bool NOT NULL DEFAULT false,
  CONSTRAINT signal_named CHECK (signal <> '' AND correlation_key <> ''),
  CONSTRAINT signal_status CHECK (status IN ('consumed', 'stored', 'late', 'ambiguous', 'duplicate')),
  CONSTRAINT signal_consumed CHECK ((status = 'consumed') = (wait_id IS NOT NULL) AND (status = 'consumed') = (consumed_at IS NOT NULL)),
  CONSTRAINT signal_duplicate CHECK ((status = 'duplicate') = (duplicate_of IS NOT NULL))
);

CREATE INDEX signals_stored ON powertools.signals (signal, correlation_key, id) WHERE status = 'stored';

CREATE INDEX signals_new ON powertools.signals (id) WHERE status = 'stored' AND NOT swept;

CREATE INDEX signals_for_workflow ON powertools.signals (workflow_id) WHERE status = 'stored' AND workflow_id IS NOT NULL;

CREATE INDEX signals_expiring ON powertools.signals (expires_at) WHERE status = 'stored' AND expires_at IS NOT NULL;

CREATE INDEX signals_for_begun ON powertools.signals (last_workflow_id) WHERE status = 'stored' AND last_workflow_id IS NOT NULL;

CREATE UNIQUE INDEX signals_dedupe ON powertools.signals (signal, correlation_key, dedupe_key)
WHERE dedupe_key IS NOT NULL AND status <> 'duplicate';
