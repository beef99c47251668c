-- Repairs: what a preview stores, what a repair changed, and the repairs of jobs. Locks: none to install.

CREATE TABLE powertools.repair_secret (
  only_one bool PRIMARY KEY DEFAULT true CHECK (only_one),
  secret bytea NOT NULL
);

REVOKE ALL ON powertools.repair_secret FROM PUBLIC;

CREATE TABLE powertools.previews (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status text NOT NULL DEFAULT 'ready',
  actor_id text NOT NULL,
  action text NOT NULL,
  target_type text NOT NULL,
  target_id text NOT NULL,
  -- as text: numbers are read back as they were given
  arguments json NOT NULL,
  incident_fingerprint text,
  nonce bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
  token_hash bytea,
  plan_hash text NOT NULL,
  -- what it would change, the first 1,000 rows; payloads only as hashes
  plan jsonb NOT NULL,
  -- all rows that it writes: kind -> id -> a checksum of the change, null where nothing changes
  written json NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  ended_at timestamptz,
  CONSTRAINT preview_status CHECK (status IN ('ready', 'consumed', 'drifted', 'expired')),
  CONSTRAINT preview_ended CHECK ((ended_at IS NULL) = (status = 'ready'))
);

-- The same ready plan of the same actor is one preview.
CREATE UNIQUE INDEX previews_ready ON powertools.previews (actor_id, plan_hash) WHERE status = 'ready';

CREATE UNIQUE INDEX previews_token ON powertools.previews (token_hash);

CREATE TABLE powertools.bulks (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  status text NOT NULL DEFAULT 'ready',
  actor_id text NOT NULL,
  action text NOT NULL,
  filter jsonb NOT NULL,
  arguments json NOT NULL,
  manifest_hash text NOT NULL,
  total int NOT NULL,
  token_hash bytea NOT NULL UNIQUE,
  reason text,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  started_at timestamptz,
  ended_at timestamptz,
  incident_fingerprint text,
  CONSTRAINT bulk_status CHECK (status IN ('ready', 'running', 'done', 'expired')),
  CONSTRAINT bulk_started CHECK ((started_at IS NOT NULL) = (status IN ('running', 'done'))),
  CONSTRAINT bulk_ended CHECK ((ended_at IS NOT NULL) = (status IN ('done', 'expired')))
);

CREATE TABLE powertools.bulk_items (
  bulk_id bigint NOT NULL,
  place int NOT NULL,
  target_id text NOT NULL,
  -- of its state when the manifest was made; NULL when it did not exist
  state_hash text,
  outcome text NOT NULL DEFAULT 'pending',
  detail text,
  ended_at timestamptz,
  PRIMARY KEY (bulk_id, place),
  CONSTRAINT bulk_item_outcome CHECK (outcome IN ('pending', 'done', 'refused', 'drifted', 'failed')),
  CONSTRAINT bulk_item_ended CHECK ((ended_at IS NULL) = (outcome = 'pending'))
);
