-- Steps are found by their worker in an index that costs an insert next to nothing; the one before it was 2 % of what a
-- step writes. Locks: none that a running application waits for.
-- Its number was free: workers of before the first release know those up to 24, and refuse a greater one.
-- Outside a transaction

-- What a range of pages may hold, as a Bloom filter: a worker that is rare is in few of them, and steps of one time lie
-- together. What is common is found among the newest workflows, before this is asked. VACUUM brings it up to date; what
-- was inserted since is read.
CREATE INDEX CONCURRENTLY IF NOT EXISTS steps_workers ON powertools.steps
USING brin (hashtext(worker) int4_bloom_ops (n_distinct_per_range = 50, false_positive_rate = 0.001))
WITH (pages_per_range = 16) WHERE worker IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS powertools.steps_worker;
