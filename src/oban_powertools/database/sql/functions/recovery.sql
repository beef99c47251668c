-- Recovery: failed steps run again, with what was cancelled because of them.

-- The steps that come back with these: those cancelled because of them, at any depth, unless another failed parent
-- keeps them cancelled. Ascending, including the targets. A target that was itself cancelled by a dependency comes back
-- alone: an operator decides its outcome.
CREATE OR REPLACE FUNCTION powertools.revived_with(of_workflow_id bigint, targets int[]) RETURNS int[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  decided CONSTANT int := CASE cardinality(targets) WHEN 1 THEN targets[1] END;
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE back AS (
      SELECT of_workflow_id AS workflow_id, unnest(targets) AS position
      UNION
      SELECT k.workflow_id, k.position
      FROM back b
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = b.workflow_id AND s.position = b.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = b.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.cause = 'cancelled_by_dependency'
    ), other_parents AS (
      SELECT b.workflow_id, e.parent AS position
      FROM back b
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = b.workflow_id AND k.position = b.position OFFSET 0
      ) AS k
      CROSS JOIN LATERAL unnest(k.parents) AS e (parent)
      WHERE k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
      EXCEPT
      SELECT b.workflow_id, b.position FROM back b
    ), still_doomed AS (
      SELECT k.workflow_id, k.position
      FROM other_parents o
      CROSS JOIN LATERAL (
        SELECT p.* FROM powertools.steps p WHERE p.workflow_id = o.workflow_id AND p.position = o.position OFFSET 0
      ) AS p
      CROSS JOIN LATERAL unnest(p.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = o.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE p.state IN ('discarded', 'expired', 'cancelled')
        AND k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
      UNION
      SELECT k.workflow_id, k.position
      FROM still_doomed d
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = d.workflow_id AND s.position = d.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = d.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.cause = 'cancelled_by_dependency' AND k.position IS DISTINCT FROM decided
    )
    SELECT b.position FROM back b
    EXCEPT
    SELECT d.position FROM still_doomed d
    ORDER BY position
  );
END $$;

-- Whether anything of a workflow was ever released.
CREATE OR REPLACE FUNCTION powertools.has_started(of_workflow_id bigint) RETURNS bool
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM powertools.steps k
    WHERE k.workflow_id = of_workflow_id AND (k.job_id IS NOT NULL OR k.released_at IS NOT NULL)
  );
END $$;

-- The steps that failed by themselves and may run again together, ascending. Without steps whose effects must never
-- happen twice, nested workflows in which no step may run again, and steps that depend on either.
CREATE OR REPLACE FUNCTION powertools.retryable_v1(of_workflow_id bigint) RETURNS int[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE failed AS MATERIALIZED (
      SELECT s.workflow_id, s.position, CASE
          WHEN s.effects = 'never' THEN true
          WHEN s.child_id IS NOT NULL AND powertools.has_started(s.child_id) THEN powertools.retryable_v1(s.child_id) = '{}'
          ELSE false
        END AS stuck
      FROM powertools.steps s
      WHERE s.workflow_id = of_workflow_id AND s.state IN ('discarded', 'expired', 'cancelled')
        AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
    ), stuck AS (
      SELECT f.workflow_id, f.position FROM failed f WHERE f.stuck
      UNION
      SELECT k.workflow_id, k.position
      FROM stuck d
      CROSS JOIN LATERAL (
        SELECT s.* FROM powertools.steps s WHERE s.workflow_id = d.workflow_id AND s.position = d.position OFFSET 0
      ) AS s
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      CROSS JOIN LATERAL (
        SELECT k.* FROM powertools.steps k WHERE k.workflow_id = d.workflow_id AND k.position = c.child OFFSET 0
      ) AS k
      WHERE k.state IN ('discarded', 'expired', 'cancelled')
    )
    SELECT f.position FROM failed f
    EXCEPT
    SELECT d.position FROM stuck d
    ORDER BY position
  );
END $$;

-- Why a step that failed by itself may not be retried alone; NULL when it may.
CREATE OR REPLACE FUNCTION powertools.retry_refusal_v1(of_workflow_id bigint, of_position int) RETURNS text
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN (
    SELECT CASE
      WHEN f.name IS NOT NULL THEN format('step %L before it is %s: recover that one first', f.name, f.state)
      WHEN s.child_id IS NOT NULL AND powertools.has_started(s.child_id) AND powertools.retryable_v1(s.child_id) = '{}'
        THEN format('no step of workflow %s may run again', s.child_id)
    END
    FROM powertools.steps s
    LEFT JOIN LATERAL (
      SELECT p.name, p.state
      FROM unnest(s.parents) AS e (parent)
      JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
      WHERE p.state IN ('discarded', 'expired', 'cancelled')
      ORDER BY p.position LIMIT 1
    ) AS f ON true
    WHERE s.workflow_id = of_workflow_id AND s.position = of_position
  );
END $$;

-- Why no failed step of a workflow may come back; NULL when it may. A workflow that is being stopped ends
-- first, and a nested one comes back with the step that ran it, unless that step has another outcome. One that
-- never started comes back from there only, where it waits again for the steps before it.
CREATE OR REPLACE FUNCTION powertools.revival_refusal_v1(of_workflow_id bigint) RETURNS text
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN (
    WITH RECURSIVE above AS (
      SELECT w.id, w.state, w.parent_id, w.parent_position, NULL AS step, NULL AS outcome
      FROM powertools.workflows w WHERE w.id = of_workflow_id
      UNION ALL
      SELECT w.id, w.state, w.parent_id, w.parent_position, p.name,
        CASE
          WHEN p.state = 'completed' OR p.cause = 'cancelled_by_dependency'
            OR p.finished_at IS NOT NULL AND NOT powertools.has_started(a.id) THEN p.state
        END
      FROM above a
      JOIN powertools.workflows w ON w.id = a.parent_id
      JOIN powertools.steps p ON p.workflow_id = a.parent_id AND p.position = a.parent_position
    )
    SELECT CASE
      WHEN a.outcome IS NOT NULL THEN format('step %L of workflow %s, which ran it, is %s', a.step, a.id, a.outcome)
      ELSE format('workflow %s is being cancelled: recover it when it has ended', a.id)
    END
    FROM above a WHERE a.outcome IS NOT NULL OR a.state = 'cancel_requested'
    ORDER BY a.id DESC LIMIT 1
  );
END $$;

-- Recomputes the counters of a workflow, and reopens it when it has open steps.
CREATE OR REPLACE FUNCTION powertools.reopen(of_workflow_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE powertools.workflows w
  SET open = n.open, failed = n.failed, stopped = n.stopped, generation = w.generation + 1,
      state = 'running', finished_at = NULL, failures_handled = NULL, cancel_requested_at = NULL, expired_at = NULL,
      expires_at = clock_timestamp() + w.expires_in
  FROM (
    SELECT count(*) FILTER (WHERE s.finished_at IS NULL) AS open,
      count(*) FILTER (WHERE powertools.is_failure(s.state, s.cause)) AS failed,
      count(*) FILTER (WHERE s.cause IN ('cancel_requested', 'workflow_expired')) AS stopped
    FROM powertools.steps s WHERE s.workflow_id = of_workflow_id
  ) AS n
  WHERE w.id = of_workflow_id AND n.open > 0;
END $$;

-- Recounts the open parents of pending steps: of these, and of their pending children.
CREATE OR REPLACE FUNCTION powertools.recount_pending(of_workflow_id bigint, positions int[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  WITH touched AS (
    SELECT of_workflow_id AS workflow_id, unnest(positions) AS position
    UNION
    SELECT s.workflow_id, c.child
    FROM unnest(array_fill(of_workflow_id, ARRAY[cardinality(positions)]), positions) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    CROSS JOIN LATERAL unnest(s.children || s.continue_children) AS c (child)
  ), counted AS (
    SELECT k.workflow_id, k.position, count(p.position) FILTER (WHERE p.finished_at IS NULL) AS open
    FROM touched t
    CROSS JOIN LATERAL (
      SELECT k.* FROM powertools.steps k WHERE k.workflow_id = t.workflow_id AND k.position = t.position OFFSET 0
    ) AS k
    LEFT JOIN LATERAL unnest(k.parents || k.continue_parents) AS e (parent) ON true
    LEFT JOIN powertools.steps p ON p.workflow_id = k.workflow_id AND p.position = e.parent
    WHERE k.state = 'pending'
    GROUP BY k.workflow_id, k.position
  )
  UPDATE powertools.steps s
  SET pending = c.open + (s.depth = 0 AND EXISTS (
    SELECT FROM powertools.workflows w
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    WHERE w.id = of_workflow_id AND p.state = 'pending'
  ))::int
  FROM counted c
  WHERE s.workflow_id = c.workflow_id AND s.position = c.position;
END $$;

-- Writes the events of these steps' recovery.
CREATE OR REPLACE FUNCTION powertools.write_recovered(of_workflow_id bigint, positions int[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM powertools.write_events_v1(ARRAY(
    SELECT ROW (of_workflow_id, r.position, 'recovered', NULL, NULL, NULL, NULL, NULL)::powertools.change
    FROM unnest(positions) AS r (position)
  ));
END $$;

-- Resets nested workflows that never started, with everything nested in them.
CREATE OR REPLACE FUNCTION powertools.renew_nested(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  family bigint[] := powertools.family_of_v1(workflow_ids);
  one bigint;
BEGIN
  UPDATE powertools.steps s
  SET state = 'pending', generation = s.generation + 1, cause = NULL, result = NULL, error = NULL, finished_at = NULL,
      cancel_requested_at = NULL,
      pending = cardinality(s.parents) + coalesce(cardinality(s.continue_parents), 0) + (s.depth = 0)::int
  WHERE s.workflow_id = ANY (family);
  PERFORM powertools.write_events_v1(ARRAY(
    SELECT ROW (s.workflow_id, s.position, 'recovered', NULL, NULL, NULL, NULL, NULL)::powertools.change
    FROM powertools.steps s WHERE s.workflow_id = ANY (family) ORDER BY s.workflow_id, s.position
  ));
  FOREACH one IN ARRAY family LOOP
    PERFORM powertools.reopen(one);
  END LOOP;
  UPDATE powertools.workflows w SET expires_at = NULL WHERE w.id = ANY (family);
END $$;

-- Brings failed steps back, with the steps cancelled because of them; the workflow starts its next generation, with
-- clocks and attempts reset. Args: targets, failed steps; completed, whether they count as completed with this result
-- (of_cause says why) instead of running again. A failed nested workflow or map continues with its own failed steps. A
-- workflow that was itself a failed step continues in its parent. Returns all steps that came back, including the
-- targets. Locks: the caller holds the family.
CREATE OR REPLACE FUNCTION powertools.revive_v1(
  of_workflow_id bigint, targets int[], completed bool, payload jsonb, of_cause text
) RETURNS int[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  revived int[] := powertools.revived_with(of_workflow_id, targets);
  here bigint[] := array_fill(of_workflow_id, ARRAY[cardinality(revived)]);
  running int[];
  unstarted bigint[];
  nested record;
  parent record;
  ready int[];
BEGIN
  running := CASE WHEN NOT completed THEN ARRAY(
    SELECT s.position
    FROM unnest(here[: cardinality(targets)], targets) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.child_id IS NOT NULL AND powertools.has_started(s.child_id)
  ) END;
  unstarted := ARRAY(
    SELECT s.child_id
    FROM unnest(here, revived) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.kind = 'workflow' AND s.position <> ALL (coalesce(running, '{}')) AND NOT (completed AND s.position = ANY (targets))
  );

  UPDATE powertools.steps s
  SET state = CASE WHEN r.position = ANY (running) THEN 'executing' ELSE 'pending' END,
      generation = s.generation + 1, pending = 0, job_id = NULL, wait_id = NULL, attempt = 0, cause = NULL, result = NULL,
      error = NULL, released_at = NULL, started_at = NULL, finished_at = NULL, cancel_requested_at = NULL,
      child_id = CASE WHEN s.kind = 'map' AND r.position = ANY (running) IS NOT TRUE THEN NULL ELSE s.child_id END
  FROM unnest(here, revived) AS r (workflow_id, position)
  WHERE s.workflow_id = r.workflow_id AND s.position = r.position;
  PERFORM powertools.write_recovered(of_workflow_id, revived);
  IF unstarted <> '{}' THEN
    PERFORM powertools.renew_nested(unstarted);
  END IF;
  PERFORM powertools.recount_pending(of_workflow_id, revived);
  PERFORM powertools.reopen(of_workflow_id);

  FOR nested IN
    SELECT s.child_id, powertools.retryable_v1(s.child_id) AS failed
    FROM unnest(here[: cardinality(running)], running) AS r (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = r.workflow_id AND s.position = r.position OFFSET 0
    ) AS s
  LOOP
    PERFORM powertools.revive_v1(nested.child_id, nested.failed, false, NULL, NULL);
  END LOOP;

  SELECT p.workflow_id, p.position, p.finished_at IS NOT NULL AS ended, w.open > 0 AS reopened INTO parent
  FROM powertools.workflows w
  JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
  WHERE w.id = of_workflow_id;
  IF parent.ended AND parent.reopened THEN
    PERFORM powertools.resume_parent(parent.workflow_id, parent.position);
  END IF;

  IF completed THEN
    PERFORM powertools.complete_step_v1(of_workflow_id, t.position, payload, of_cause) FROM unnest(targets) AS t (position);
  END IF;
  ready := ARRAY(
    SELECT s.position
    FROM unnest(here, revived) AS r (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = r.workflow_id AND s.position = r.position OFFSET 0
    ) AS s
    WHERE s.state = 'pending' AND s.pending = 0
  );
  IF ready <> '{}' THEN
    PERFORM powertools.move_on_v1(powertools.apply_outcomes_v1(
      powertools.release_v1(here[: cardinality(ready)], ready, 0), NULL), NULL);
  END IF;
  RETURN revived;
END $$;

-- Brings back the step that ran a workflow which continues: it runs again, and the steps cancelled because of it wait
-- for it again.
CREATE OR REPLACE FUNCTION powertools.resume_parent(of_workflow_id bigint, of_position int) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  revived int[] := powertools.revived_with(of_workflow_id, ARRAY[of_position]);
  here bigint[] := array_fill(of_workflow_id, ARRAY[cardinality(revived)]);
  unstarted bigint[];
  parent record;
BEGIN
  unstarted := ARRAY(
    SELECT s.child_id
    FROM unnest(here, revived) AS t (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = t.workflow_id AND s.position = t.position OFFSET 0
    ) AS s
    WHERE s.kind = 'workflow' AND s.position <> of_position
  );
  UPDATE powertools.steps s
  SET state = CASE WHEN s.position = of_position THEN 'executing' ELSE 'pending' END,
      generation = s.generation + 1, pending = 0, job_id = NULL, wait_id = NULL, attempt = 0, cause = NULL, result = NULL,
      error = NULL, finished_at = NULL, cancel_requested_at = NULL
  FROM unnest(here, revived) AS r (workflow_id, position)
  WHERE s.workflow_id = r.workflow_id AND s.position = r.position;
  PERFORM powertools.write_recovered(of_workflow_id, revived);
  IF unstarted <> '{}' THEN
    PERFORM powertools.renew_nested(unstarted);
  END IF;
  PERFORM powertools.recount_pending(of_workflow_id, revived);
  PERFORM powertools.reopen(of_workflow_id);
  SELECT p.workflow_id, p.position, p.finished_at IS NOT NULL AS ended INTO parent
  FROM powertools.workflows w
  JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
  WHERE w.id = of_workflow_id;
  IF parent.ended THEN
    PERFORM powertools.resume_parent(parent.workflow_id, parent.position);
  END IF;
END $$;
