-- name: draw_steps
-- Args: workflow_id (bigint).
-- Rows: name, kind, child_id, state, attempt, parents, continue_parents (positions; NULL without any), by position.
-- Index: the primary key.
SELECT s.name, s.kind, s.child_id, s.state, s.attempt, s.parents, s.continue_parents
FROM powertools.step_states s
WHERE s.workflow_id = %(workflow_id)s::bigint
ORDER BY s.position;
