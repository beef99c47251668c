-- The door of agents in the audit. Locks: ACCESS EXCLUSIVE on the audit while its records are read, about 0.3 s a million.
-- Its number is free: workers of before the first release know those up to 24, and refuse a greater one.

-- A migration of before the first release that only made functions: it is no more, as migration 20 says of all of them.
DELETE FROM powertools.migrations WHERE version = 10 AND name = 'commands';

ALTER TABLE IF EXISTS powertools.audit
  DROP CONSTRAINT IF EXISTS audit_surface,
  ADD CONSTRAINT audit_surface CHECK (surface IN ('api', 'cli', 'web', 'mcp', 'system'));
