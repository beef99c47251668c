-- name: get_steps
-- Args: workflow_id (bigint); step (text: only this one, or NULL), states, words (text[] or NULL for all); failed_first (bool: by rank, else by position); rank, position
--   (int or NULL) of the last step of the page before; page (int or NULL for all); payloads (bool: whether args, template and result are read).
-- Rows: all columns of the record, and rank (0: failed by itself; 1 to 5: by its word, what needs a person first; 6: cancelled
--   because of another; 7: any other outcome), by rank and position. The first row has in all_words how many steps of the
--   workflow have each word, with step only that one's; NULL without a workflow. Without a step it is the only row, and the rest
--   of it NULL.
-- Index: the primary key; a step's own row is read only where its word does not decide.
-- Long: the word of one step, as step_words_v1 has it of all, which would take as long for one.
WITH RECURSIVE it AS MATERIALIZED (
  SELECT s.position, s.child_id, s.finished_at IS NOT NULL AS finished, s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL AS released
  FROM powertools.step_states s
  WHERE s.workflow_id = %(workflow_id)s::bigint AND s.name = %(step)s::text LIMIT 1
), before (position) AS (
  -- what it waits for, up to what has been released
  SELECT i.position FROM it i WHERE NOT i.finished AND NOT i.released
  UNION
  SELECT p.position
  FROM before b
  CROSS JOIN LATERAL (
    SELECT s.parents || s.continue_parents AS parents FROM powertools.steps s
    WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = b.position AND s.state = 'pending' LIMIT 1
  ) AS s
  CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
  CROSS JOIN LATERAL (
    SELECT s.position FROM powertools.steps s
    WHERE s.workflow_id = %(workflow_id)s::bigint AND s.position = e.parent AND s.finished_at IS NULL LIMIT 1
  ) AS p
), leaves AS MATERIALIZED (
  -- inside of what it runs
  SELECT l.workflow_id, l.position, false AS outside
  FROM powertools.leaves_of(ARRAY(SELECT i.child_id FROM it i WHERE NOT i.finished AND i.released AND i.child_id IS NOT NULL)) AS l
  UNION ALL
  SELECT l.workflow_id, l.position, l.via IS NULL
  FROM powertools.leaves_of(ARRAY(SELECT %(workflow_id)s::bigint FROM it i WHERE NOT i.finished AND NOT i.released)) AS l
  WHERE l.via IS NULL OR l.via IN (SELECT b.position FROM before b)
), leaf AS MATERIALIZED (
  SELECT w.workflow_id, w.position, w.word, w.code
  FROM (
    SELECT coalesce(array_agg(p.workflow_id), '{}') AS ids, coalesce(array_agg(p.position), '{}') AS positions
    FROM (
      SELECT l.workflow_id, l.position FROM leaves l
      UNION
      SELECT %(workflow_id)s::bigint, i.position FROM it i WHERE NOT i.finished AND i.released
    ) AS p
  ) AS a, powertools.leaf_words(a.ids, a.positions) AS w
), around AS (
  SELECT bool_or(w.word IN ('Needs Review', 'Blocked')) FILTER (WHERE NOT l.outside) AS stuck,
    bool_or(w.word IN ('Needs Review', 'Blocked')) FILTER (WHERE l.outside) AS stuck_outside,
    bool_or(w.word = 'Running') AS running, count(*) > 0 AS any
  FROM leaves l JOIN leaf w ON w.workflow_id = l.workflow_id AND w.position = l.position
), worded AS MATERIALIZED (
  SELECT k.position, k.word, k.code FROM powertools.step_words_v1(%(workflow_id)s::bigint) AS k WHERE %(step)s::text IS NULL
  UNION ALL
  SELECT i.position,
    CASE
      WHEN i.finished THEN 'Finished'
      WHEN NOT i.released THEN CASE coalesce(a.stuck, a.stuck_outside) WHEN true THEN 'Blocked' WHEN false THEN 'Waiting' ELSE 'Needs Review' END
      WHEN i.child_id IS NOT NULL AND a.any THEN CASE WHEN a.stuck THEN 'Blocked' WHEN a.running THEN 'Running' ELSE 'Waiting' END
      ELSE o.word
    END,
    CASE
      WHEN i.finished THEN NULL
      WHEN i.released THEN o.code
      WHEN coalesce(a.stuck, a.stuck_outside) IS NULL THEN 'bookkeeping_fault'
      ELSE 'waiting_on_dependencies'
    END
  FROM it i
  CROSS JOIN around a
  LEFT JOIN leaf o ON o.workflow_id = %(workflow_id)s::bigint AND o.position = i.position
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
  SELECT coalesce(
    jsonb_object_agg(c.word, c.steps),
    (SELECT '{}'::jsonb FROM powertools.workflows w WHERE w.id = %(workflow_id)s::bigint AND %(step)s::text IS NOT NULL)
  ) AS words
  FROM (SELECT word, count(*) AS steps FROM worded GROUP BY word) AS c
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
