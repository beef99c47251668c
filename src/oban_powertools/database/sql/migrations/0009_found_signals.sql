-- What signals are listed by, and found by for a history. Locks: none that a running application waits for.
-- Its number was free: workers of before the first release know those up to 24, and refuse a greater one.
-- Outside a transaction

-- Signals that nobody took yet, and waits that nothing ended: both few, and listed from the newest on.
CREATE INDEX CONCURRENTLY IF NOT EXISTS signals_untaken ON powertools.signals (id) WHERE status = 'stored';

CREATE INDEX CONCURRENTLY IF NOT EXISTS waits_open ON powertools.waits (id) WHERE state = 'waiting';

-- Those that came in vain, by what they were sent for.
CREATE INDEX CONCURRENTLY IF NOT EXISTS signals_in_vain ON powertools.signals (signal, correlation_key, id)
WHERE status IN ('late', 'ambiguous', 'duplicate');
