-- Copies whole families of workflows to temporary tables, for the doctor's invariants. One snapshot, rolled back in the
-- end. The outermost workflows are named by the setting powertools.doctor_roots. Locks: none on the originals.

SET LOCAL client_min_messages = warning;

CREATE TEMP TABLE workflows ON COMMIT DROP AS
SELECT w.* FROM powertools.workflows w
WHERE w.id = ANY (powertools.family_of_v1(current_setting('powertools.doctor_roots')::bigint[]));
CREATE INDEX ON pg_temp.workflows (id);
CREATE INDEX ON pg_temp.workflows (parent_id, parent_position);
ANALYZE pg_temp.workflows;

CREATE TEMP TABLE steps ON COMMIT DROP AS
SELECT s.* FROM pg_temp.workflows w JOIN powertools.steps s ON s.workflow_id = w.id;
CREATE INDEX ON pg_temp.steps (workflow_id, position);
ANALYZE pg_temp.steps;

CREATE TEMP TABLE edges ON COMMIT DROP AS
SELECT s.workflow_id, p.parent, s.position AS child, 'cancel' AS policy
FROM pg_temp.steps s CROSS JOIN LATERAL unnest(s.parents) AS p (parent)
UNION ALL
SELECT s.workflow_id, p.parent, s.position, 'continue'
FROM pg_temp.steps s CROSS JOIN LATERAL unnest(s.continue_parents) AS p (parent);
CREATE INDEX ON pg_temp.edges (workflow_id, child);
ANALYZE pg_temp.edges;

CREATE TEMP TABLE jobs ON COMMIT DROP AS
SELECT j.* FROM pg_temp.steps s JOIN public.oban_jobs j ON j.id = s.job_id;
CREATE INDEX ON pg_temp.jobs (id);
ANALYZE pg_temp.jobs;

-- A wait is its step's last one, or one of an earlier generation, which the step names no more.
CREATE TEMP TABLE waits ON COMMIT DROP AS
SELECT n.* FROM pg_temp.steps s JOIN powertools.waits n ON n.id = s.wait_id;
CREATE INDEX ON pg_temp.waits (id);

CREATE TEMP TABLE signals ON COMMIT DROP AS
SELECT g.*
FROM pg_temp.waits n
JOIN powertools.signals g ON g.wait_id = n.id;  -- a redirected one has another name or key
CREATE INDEX ON pg_temp.signals (wait_id);

CREATE TEMP TABLE events ON COMMIT DROP AS
SELECT e.* FROM pg_temp.workflows w JOIN powertools.events e ON e.workflow_id = w.id;
CREATE INDEX ON pg_temp.events (workflow_id, number);
CREATE INDEX ON pg_temp.events (workflow_id, position, number);
ANALYZE pg_temp.events;

CREATE TEMP TABLE deferred_starts ON COMMIT DROP AS
SELECT d.* FROM pg_temp.jobs j JOIN powertools.deferred_starts d ON d.job_id = j.id;
CREATE TEMP TABLE settle_faults ON COMMIT DROP AS
SELECT f.* FROM powertools.settle_faults f WHERE f.repaired_at IS NULL;
