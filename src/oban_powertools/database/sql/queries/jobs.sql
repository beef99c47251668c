-- Jobs as operators look for them, of steps or plain.

-- name: find_jobs
-- Args: filters (jsonb text), before (bigint or NULL: only smaller ids), page (int, rows); as powertools.find_jobs_v1.
-- Rows: one; ids (bigint[], newest first), searched (int or NULL), reached (bigint or NULL). Index: as that.
SELECT f.ids, f.searched, f.reached FROM powertools.find_jobs_v1(%(filters)s::jsonb, %(before)s::bigint, %(page)s::int) AS f;

-- name: list_jobs
-- Args: ids (bigint[]).
-- Rows: as powertools.listed_jobs_v1; newest first. Index: the primary keys.
SELECT
  l.id, l.status, l.state, l.blocker, l.queue, l.worker, l.attempt, l.max_attempts, l.priority, l.tags, l.workflow_id, l.step, l.node,
  l.error, l.inserted_at, l.scheduled_at, l.attempted_at, l.finished_at
FROM powertools.listed_jobs_v1(%(ids)s::bigint[]) AS l;
