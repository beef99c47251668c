-- Webhooks: who is told of which events, and what became of it. Locks: none to install.

CREATE TABLE powertools.webhook_endpoints (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  url text NOT NULL,
  description text NOT NULL DEFAULT '',
  -- empty: all
  types text[] NOT NULL DEFAULT '{}',
  -- NULL: of any workflow
  workflow_name text,
  -- may be reached without TLS and at an address that is not public
  allow_private bool NOT NULL DEFAULT false,
  enabled bool NOT NULL DEFAULT true,
  disabled_reason text,
  -- the newest event that was looked at
  cursor bigint NOT NULL,
  -- events that retention removed before they were looked at
  missed bigint NOT NULL DEFAULT 0,
  -- the Oban job that delivers; NULL when there is nothing to deliver
  job_id bigint,
  -- of the delivery under way
  lease uuid,
  leased_until timestamptz,
  -- what is sent: the event itself, a text for people, or an alert
  format text NOT NULL DEFAULT 'cloudevents',
  -- where an operator finds what is told of; NULL: nowhere
  console_url text,
  -- classes of incidents that are told in one message: class -> since when, and how many of these are open
  storms jsonb NOT NULL DEFAULT '{}',
  inserted_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- it was told of everything that was in the log then
  seen_until timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT webhook_endpoint_disabled CHECK (enabled = (disabled_reason IS NULL)),
  CONSTRAINT webhook_endpoint_format CHECK (format IN ('cloudevents', 'chat', 'pagerduty', 'alertmanager')),
  CONSTRAINT webhook_endpoint_lease CHECK ((lease IS NULL) = (leased_until IS NULL))
);

-- In a table of their own: a role that looks at endpoints need not see them, and no message of a constraint of
-- the endpoints can show them.
CREATE TABLE powertools.webhook_secrets (
  endpoint_id bigint NOT NULL REFERENCES powertools.webhook_endpoints ON DELETE CASCADE,
  -- 1 the newest; 2 the one before, which signs too until it expires
  place smallint NOT NULL,
  -- whsec_..., or env: and the name of a variable of the deliverer's environment
  secret text NOT NULL,
  expires_at timestamptz,
  PRIMARY KEY (endpoint_id, place),
  CONSTRAINT webhook_secret_place CHECK (place = 1 AND expires_at IS NULL OR place = 2 AND expires_at IS NOT NULL)
);

CREATE TABLE powertools.webhook_deliveries (
  endpoint_id bigint NOT NULL REFERENCES powertools.webhook_endpoints ON DELETE CASCADE,
  -- of the event
  cursor bigint NOT NULL,
  -- a CloudEvent; its id is the webhook-id of every attempt
  message jsonb NOT NULL,
  state text NOT NULL DEFAULT 'pending',
  attempts int NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  -- when it began to be tried; again when it is replayed
  queued_at timestamptz NOT NULL DEFAULT now(),
  attempted_at timestamptz,
  -- what the last attempt met
  status smallint,
  error text,
  finished_at timestamptz,
  PRIMARY KEY (endpoint_id, cursor),
  CONSTRAINT webhook_delivery_state CHECK (
    state = 'pending' AND finished_at IS NULL OR state IN ('delivered', 'dead') AND finished_at IS NOT NULL
  )
);

CREATE INDEX webhook_deliveries_pending ON powertools.webhook_deliveries (endpoint_id, cursor) WHERE state = 'pending';

CREATE INDEX webhook_deliveries_dead ON powertools.webhook_deliveries (endpoint_id, cursor) WHERE state = 'dead';

CREATE INDEX webhook_deliveries_finished ON powertools.webhook_deliveries (state, finished_at) WHERE finished_at IS NOT NULL;
