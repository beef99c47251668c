-- The audit: who did what to what, why, and what came of it. Locks: none to install.

CREATE TABLE powertools.audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- empty: nobody was named, which is refused
  actor_id text NOT NULL,
  actor_type text NOT NULL,
  actor_label text,
  action text NOT NULL,
  target_type text NOT NULL,
  target_id text NOT NULL,
  -- the workflow and step of the target, as far as they were known when somebody acted; not of what Powertools does by itself
  workflow_id bigint,
  step text,
  reason text,
  outcome text NOT NULL,
  before jsonb,
  after jsonb,
  plan_hash text,
  preview_id bigint,
  incident_id bigint,
  surface text NOT NULL,
  request_id text,
  details jsonb NOT NULL DEFAULT '{}',
  CONSTRAINT audit_actor CHECK (
    actor_type IN ('user', 'service', 'agent', 'system') AND (actor_id <> '' OR outcome = 'refused')
  ),
  CONSTRAINT audit_outcome CHECK (outcome IN ('executed', 'refused', 'drifted', 'expired', 'failed')),
  CONSTRAINT audit_surface CHECK (surface IN ('api', 'cli', 'web', 'mcp', 'system')),
  CONSTRAINT audit_named CHECK (action <> '' AND target_type <> '' AND target_id <> '')
);

CREATE INDEX audit_target ON powertools.audit (target_type, target_id, id);

CREATE INDEX audit_workflow ON powertools.audit (workflow_id, id) WHERE workflow_id IS NOT NULL;
CREATE INDEX audit_actor_id ON powertools.audit (actor_id, id);

CREATE INDEX audit_action ON powertools.audit (action, id);

CREATE INDEX audit_at ON powertools.audit (at);

CREATE INDEX audit_not_executed ON powertools.audit (id) WHERE outcome <> 'executed';

CREATE INDEX audit_incident ON powertools.audit (incident_id, id) WHERE incident_id IS NOT NULL;

CREATE TABLE powertools.audit_links (
  audit_id bigint PRIMARY KEY,
  -- NULL until it is sealed
  seal_id bigint,
  row_hash bytea NOT NULL
);

CREATE INDEX audit_links_unsealed ON powertools.audit_links (audit_id) WHERE seal_id IS NULL;

CREATE INDEX audit_links_seal ON powertools.audit_links (seal_id, audit_id) WHERE seal_id IS NOT NULL;

CREATE TABLE powertools.audit_seals (
  -- 1, 2, 3 ... without gaps
  id bigint PRIMARY KEY,
  sealed_at timestamptz NOT NULL,
  -- retention may not remove it before
  kept_until timestamptz NOT NULL,
  first_id bigint NOT NULL,
  last_id bigint NOT NULL,
  count int NOT NULL,
  ids int8multirange NOT NULL,
  previous_hash bytea NOT NULL,
  hash bytea NOT NULL
);

-- One row: where the chain begins, because retention has removed what was before.
CREATE TABLE powertools.audit_chain (
  only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
  pruned_to bigint NOT NULL,
  pruned_hash bytea NOT NULL,
  -- of the last pruned seal, what its hash is made of
  pruned_previous_hash bytea,
  pruned_sealed_at timestamptz,
  pruned_kept_until timestamptz,
  pruned_digest bytea,
  -- the newest seal
  sealed_to bigint NOT NULL DEFAULT 0,
  -- for so long retention keeps what is sealed from now on; only the owner may change it
  kept_for_at_least interval NOT NULL DEFAULT '90 days',
  CONSTRAINT audit_chain_kept CHECK (kept_for_at_least BETWEEN '0' AND '1000 years'),
  CONSTRAINT audit_chain_order CHECK (pruned_to <= sealed_to)
);

INSERT INTO powertools.audit_chain (pruned_to, pruned_hash) VALUES (0, '');

-- A trigger needs a function: it does nothing until the text of functions/audit.sql is applied, in the same transaction.
CREATE FUNCTION powertools.link_audit_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

-- Not for replicas, unlike the guards: a subscriber's first copy brings the links with the rows. Who plays a replica to get a
-- row in without its link leaves one that verify finds.
CREATE TRIGGER audit_link AFTER INSERT ON powertools.audit
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.link_audit_v1();

-- A trigger needs a function: it does nothing until the text of functions/notices.sql is applied, in the same transaction.
CREATE FUNCTION powertools.tell_of_repairs_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

CREATE TRIGGER told AFTER INSERT ON powertools.audit
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION powertools.tell_of_repairs_v1();

-- A trigger needs a function: it does nothing until the text of functions/audit.sql is applied, in the same transaction.
CREATE FUNCTION powertools.guard_audit_v1() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

DO $$
DECLARE
  guarded text;
BEGIN
  FOREACH guarded IN ARRAY ARRAY['powertools.audit', 'powertools.audit_links', 'powertools.audit_seals', 'powertools.audit_chain'] LOOP
    EXECUTE format(
      'CREATE TRIGGER audit_guard BEFORE UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION powertools.guard_audit_v1();'
      'CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON %1$s EXECUTE FUNCTION powertools.guard_audit_v1();'
      'ALTER TABLE %1$s ENABLE ALWAYS TRIGGER audit_guard;'
      'ALTER TABLE %1$s ENABLE ALWAYS TRIGGER audit_guard_all;',
      guarded
    );
  END LOOP;
END $$;
