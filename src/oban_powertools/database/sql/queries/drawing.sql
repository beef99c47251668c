-- name: draw_steps
-- Args: workflow_id (bigint).
-- Rows: name, kind, child_id, state, attempt, parents, continue_parents (positions; NULL without any), by position.
-- Index: the primary key.
SELECT s.name, s.kind, s.child_id, s.state, s.attempt, s.parents, s.continue_parents
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint
ORDER BY s.position;

-- name: outline_steps
-- Args: workflow_id (bigint).
-- Rows: the columns of the record, and parents, continue_parents (positions; NULL without any), by position. Index: the primary key.
SELECT s.workflow_id, s.position, s.name, s.kind, s.worker, k.word AS status, s.state, k.code AS blocker, s.cause, s.child_id, s.job_id,
  s.attempt, s.max_attempts, wait.signal, s.held_until, s.started_at, s.finished_at, s.parents, s.continue_parents
FROM powertools.step_words_v1(%(workflow_id)s::bigint) AS k
CROSS JOIN LATERAL (
  SELECT * FROM powertools.step_states WHERE workflow_id = %(workflow_id)s::bigint AND position = k.position LIMIT 1
) AS s
LEFT JOIN powertools.waits wait ON wait.id = s.wait_id
ORDER BY s.position;

-- name: step_spells
-- Args: workflow_id (bigint); steps (text[]: only these, or NULL for all).
-- Rows: step, phase, at, lasts_for (interval), goes_on, attempt (of work, else NULL), failed; by position, then in the order of time.
--   Index: as step_phases_v2.
SELECT p.step, p.phase, p.at, coalesce(p.until, greatest(clock_timestamp(), p.at)) - p.at AS lasts_for, p.until IS NULL AS goes_on,
  CASE p.phase WHEN 'work' THEN p.attempt END AS attempt,
  p.phase = 'work' AND coalesce(p.next IN ('lost', 'retrying', 'discarded', 'expired', 'cancelled'), false) AS failed
FROM (
  SELECT p.*, lead(p.change) OVER (PARTITION BY p.position ORDER BY p.change IS NOT NULL, p.kept, p.at, p.number) AS next
  FROM powertools.step_phases_v2(%(workflow_id)s::bigint, %(steps)s::text[]) AS p
) AS p
WHERE p.phase IS NOT NULL
ORDER BY p.position, p.change IS NOT NULL, p.kept, p.at, p.number;
