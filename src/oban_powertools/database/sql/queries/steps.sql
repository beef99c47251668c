-- name: get_steps
-- Args: workflow_id (bigint); step (text: only this one, or NULL), states, words (text[] or NULL for all); failed_first (bool: by rank, else by position); rank, position
--   (int or NULL) of the last step of the page before; page (int or NULL for all); payloads (bool: whether args, template and result are read).
-- Rows: all columns of the record, and rank (0: failed by itself; 1 to 5: by its word, what needs a person first; 6: cancelled
--   because of another; 7: any other outcome), by rank and position. The first row has in all_words how many steps of the
--   workflow have each word; NULL without a workflow. Without a step it is the only row, and the rest of it NULL.
-- Index: the primary key; a step's own row is read only where its word does not decide.
WITH worded AS MATERIALIZED (
  SELECT k.position, k.word, k.code FROM powertools.step_words_v1(%(workflow_id)s::bigint) AS k
), chosen AS MATERIALIZED (
  SELECT k.position, k.word, k.code, r.rank, row_number() OVER (ORDER BY r.rank, k.position) AS place
  FROM worded k
  LEFT JOIN LATERAL (
    SELECT * FROM powertools.step_states
    WHERE workflow_id = %(workflow_id)s::bigint AND position = k.position
      AND (%(step)s::text IS NOT NULL OR %(states)s::text[] IS NOT NULL OR %(failed_first)s::bool AND k.word = 'Finished')
    LIMIT 1
  ) AS s ON true
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN NOT %(failed_first)s::bool THEN 0
      WHEN k.word <> 'Finished' THEN array_position('{Needs Review,Blocked,Running,Runnable,Waiting}', k.word)
      WHEN s.cause = 'cancelled_by_dependency' THEN 6
      WHEN s.state = 'completed' OR s.cause = 'cancel_requested' THEN 7
      ELSE 0
    END AS rank
  ) AS r
  WHERE (%(step)s::text IS NULL OR s.name = %(step)s::text)
    AND (%(states)s::text[] IS NULL OR s.state = ANY (%(states)s::text[]))
    AND (%(words)s::text[] IS NULL OR k.word = ANY (%(words)s::text[]))
    AND (%(rank)s::int IS NULL OR (r.rank, k.position) > (%(rank)s::int, %(position)s::int))
  ORDER BY r.rank, k.position
  LIMIT %(page)s::int
)
SELECT
  CASE WHEN k.place > 1 THEN NULL ELSE a.words END AS all_words,
  s.workflow_id, s.position, s.name, s.kind, s.worker, s.queue, k.word AS status, s.state, k.code AS blocker, s.cause, s.effects, s.generation, s.pending,
  s.depth, s.child_id, s.cancel_requested_at, s.held_until, s.hold_reason, wait.signal, wait.correlation_key,
  wait.deadline_at, s.job_id, s.attempt, s.max_attempts,
  CASE WHEN %(payloads)s::bool THEN s.args END AS args, CASE WHEN %(payloads)s::bool THEN s.template END AS template,
  CASE WHEN %(payloads)s::bool THEN s.result END AS result, s.result IS NOT NULL AS has_result,
  powertools.told_error_v1(s.error) AS error,
  s.parents, s.continue_parents, s.children, s.continue_children,
  s.released_at, s.scheduled_at, s.started_at, s.finished_at, k.rank
FROM (
  SELECT jsonb_object_agg(c.word, c.steps) AS words FROM (SELECT word, count(*) AS steps FROM worded GROUP BY word) AS c
) AS a
LEFT JOIN chosen k ON true
LEFT JOIN LATERAL (
  SELECT * FROM powertools.step_states WHERE workflow_id = %(workflow_id)s::bigint AND position = k.position LIMIT 1
) AS s ON true
LEFT JOIN powertools.waits wait ON wait.id = s.wait_id
ORDER BY k.rank, s.position;

-- name: step_names
-- Args: workflow_id (bigint), positions (int[]). Rows: position, name, state of these steps. Index: the primary key.
SELECT s.position, s.name, s.state
FROM unnest(%(positions)s::int[]) AS u (position)
CROSS JOIN LATERAL (
  SELECT * FROM powertools.step_states WHERE workflow_id = %(workflow_id)s::bigint AND position = u.position LIMIT 1
) AS s;

-- name: known_step_names
-- For an unknown name: which one was meant?
-- Args: workflow_id (bigint). Rows: name of the first 1,001 steps, by position. Index: the primary key.
SELECT s.name FROM powertools.steps s WHERE s.workflow_id = %(workflow_id)s::bigint ORDER BY s.position LIMIT 1001;

-- name: get_results
-- Args: workflow_id (bigint).
-- Rows: name, result of the completed steps, by position. Index: the primary key.
SELECT name, result
FROM powertools.steps
WHERE workflow_id = %(workflow_id)s::bigint AND state = 'completed'
ORDER BY position;

-- name: get_result
-- Args: workflow_id (bigint), step (text).
-- Rows: none, or one: state, result of the step. Index: step_name_unique.
SELECT state, result
FROM powertools.steps
WHERE workflow_id = %(workflow_id)s::bigint AND name = %(step)s::text;

-- name: step_for_completion
-- The step and its job's id, to lock the job before the workflow.
-- Args: workflow_id (bigint), step (text).
-- Rows: none, or one. Index: step_name_unique.
SELECT
  s.name, s.kind, s.state, s.cause, s.effects, s.held_until, s.job_id, w.semantics_version,
  ARRAY(
    SELECT p.name FROM powertools.steps p
    WHERE p.workflow_id = s.workflow_id AND p.position = ANY (s.parents || s.continue_parents)
      AND p.finished_at IS NULL
    ORDER BY p.position LIMIT 20
  ) AS waiting_on
FROM powertools.steps s
JOIN powertools.workflows w ON w.id = s.workflow_id
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text;

-- name: complete_job
-- Ends a step's job from outside; its trigger settles the step.
-- Args: workflow_id (bigint), step (text), job_id (bigint); state (text: completed, discarded, cancelled); result, error (jsonb text or NULL).
-- Rows: id; none when the job has ended meanwhile, or its id is another job's by now.
-- Locks: the job, then as settle.
UPDATE public.oban_jobs j
SET state = %(state)s::text::public.oban_job_state,
    completed_at = CASE %(state)s::text WHEN 'completed' THEN timezone('UTC', now()) ELSE j.completed_at END,
    discarded_at = CASE %(state)s::text WHEN 'discarded' THEN timezone('UTC', now()) ELSE j.discarded_at END,
    cancelled_at = CASE %(state)s::text WHEN 'cancelled' THEN timezone('UTC', now()) ELSE j.cancelled_at END,
    errors = CASE WHEN %(error)s::jsonb IS NULL THEN j.errors ELSE j.errors || %(error)s::jsonb END,
    meta = CASE WHEN %(result)s::jsonb IS NULL THEN j.meta
      ELSE j.meta || jsonb_build_object('return', jsonb_build_object('json', %(result)s::jsonb)) END
FROM powertools.steps s
WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text
  AND j.id = %(job_id)s::bigint AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  AND j.state NOT IN ('completed', 'discarded', 'cancelled')
RETURNING j.id;
