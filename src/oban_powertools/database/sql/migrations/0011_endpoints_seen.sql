-- Until when each webhook endpoint has seen the log: what ended since is told, also when its event was removed meanwhile.
-- Locks: ACCESS EXCLUSIVE on the endpoints, for an instant.
-- Its number is free: workers of before the first release know those up to 24, and refuse a greater one.

-- A migration of before the first release that only made functions: it is no more, as migration 20 says of all of them.
DELETE FROM powertools.migrations WHERE version = 11 AND name <> 'endpoints_seen';

ALTER TABLE IF EXISTS powertools.webhook_endpoints ADD COLUMN IF NOT EXISTS seen_until timestamptz NOT NULL DEFAULT now();
