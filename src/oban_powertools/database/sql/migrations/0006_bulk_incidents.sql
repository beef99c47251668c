-- The incident that a bulk repair is for. Locks: ACCESS EXCLUSIVE on the bulks, for an instant.
-- Its number is free: workers of before the first release know those up to 24, and refuse a greater one.

-- A migration of before the first release that only made functions: it is no more, as migration 20 says of all of them.
DELETE FROM powertools.migrations WHERE version = 6 AND name = 'turbo';

ALTER TABLE IF EXISTS powertools.bulks ADD COLUMN IF NOT EXISTS incident_fingerprint text;
