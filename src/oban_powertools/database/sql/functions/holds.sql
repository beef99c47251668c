-- Holds: keep a step, or every step of a workflow, from starting until an instant. The rule that a held step is not
-- released is in release_v1 (release.sql).

-- Holds unfinished steps (all of a workflow, or one) until an instant: pending ones are not released,
-- jobs that have not started are suspended. Returns how many steps are held.
CREATE OR REPLACE FUNCTION powertools.hold_v1(of_workflow_id bigint, of_position int, until timestamptz, reason text) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  held int;
  jobs bigint[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  WITH idle AS (
    SELECT j.id
    FROM powertools.steps s
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position)
      AND s.state = 'available' AND j.state IN ('available', 'scheduled', 'retryable')
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  ), suspended AS (
    UPDATE public.oban_jobs j SET state = 'suspended' FROM idle i WHERE j.id = i.id RETURNING j.id
  )
  SELECT array_agg(id) INTO jobs FROM suspended;
  UPDATE powertools.steps s SET held_until = until, hold_reason = reason
  WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position)
    AND (s.state = 'pending' OR s.state = 'available' AND (s.job_id = ANY (jobs) OR s.held_until IS NOT NULL));
  GET DIAGNOSTICS held = ROW_COUNT;
  RETURN held;
END $$;

-- Ends the holds of these steps: ready steps are released, suspended jobs become available. A job locked by another
-- session is left to the sweep (settle/S4). The caller holds the workflows.
CREATE OR REPLACE FUNCTION powertools.end_holds(workflow_ids bigint[], positions int[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  ready_in bigint[];
  ready int[];
  jobs bigint[];
  woken text[];
BEGIN
  jobs := ARRAY(
    SELECT j.id
    FROM unnest(workflow_ids, positions) AS h (workflow_id, position)
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.state = 'available' AND s.held_until IS NOT NULL
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  );
  WITH freed AS (
    UPDATE powertools.steps s
    SET held_until = CASE WHEN s.state = 'available' AND s.job_id <> ALL (jobs) THEN now() END,
        hold_reason = CASE WHEN s.state = 'available' AND s.job_id <> ALL (jobs) THEN s.hold_reason END
    FROM unnest(workflow_ids, positions) AS h (workflow_id, position)
    WHERE s.workflow_id = h.workflow_id AND s.position = h.position AND s.held_until IS NOT NULL
    RETURNING s.*
  )
  SELECT array_agg(f.workflow_id) FILTER (WHERE f.state = 'pending' AND f.pending = 0),
    array_agg(f.position) FILTER (WHERE f.state = 'pending' AND f.pending = 0)
  INTO ready_in, ready FROM freed f;
  WITH going_on AS (
    UPDATE public.oban_jobs j
    SET state = (CASE
          WHEN j.scheduled_at <= timezone('UTC', now()) THEN 'available'
          WHEN j.attempt > 0 THEN 'retryable'
          ELSE 'scheduled'
        END)::public.oban_job_state
    WHERE j.id = ANY (jobs) AND j.state = 'suspended'
    RETURNING j.queue, j.state
  )
  SELECT array_agg(queue) INTO woken FROM going_on WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  IF ready IS NOT NULL THEN
    PERFORM powertools.move_on_v1(
      powertools.apply_outcomes_v1(powertools.release_v1(ready_in, ready, 0), NULL), NULL);
  END IF;
END $$;

-- Ends the holds of a workflow, or of one step. Returns how many steps were held.
CREATE OR REPLACE FUNCTION powertools.unhold_v1(of_workflow_id bigint, of_position int) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  positions int[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  positions := ARRAY(
    SELECT s.position FROM powertools.steps s
    WHERE s.workflow_id = of_workflow_id AND (of_position IS NULL OR s.position = of_position) AND s.held_until IS NOT NULL
  );
  PERFORM powertools.end_holds(array_fill(of_workflow_id, ARRAY[cardinality(positions)]), positions);
  RETURN cardinality(positions);
END $$;

-- Ends the holds in these workflows whose time is over, and records it in the audit.
CREATE OR REPLACE FUNCTION powertools.expire_holds(of_workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  workflow_ids bigint[];
  positions int[];
  untils timestamptz[];
BEGIN
  PERFORM powertools.lock_families_v1(of_workflow_ids);
  SELECT array_agg(s.workflow_id), array_agg(s.position), array_agg(s.held_until) INTO workflow_ids, positions, untils
  FROM powertools.steps s
  WHERE s.workflow_id = ANY (of_workflow_ids) AND s.held_until <= clock_timestamp();
  PERFORM powertools.end_holds(workflow_ids, positions);
  PERFORM powertools.record_system_v1('hold_expire', 'step', e.steps, 'its time was over', e.befores, e.afters)
  FROM (
    SELECT array_agg(s.workflow_id || '/' || s.name ORDER BY s.workflow_id, s.position) AS steps,
      array_agg(jsonb_build_object('held_until', h.held_until) ORDER BY s.workflow_id, s.position) AS befores,
      array_agg('{"held_until": null}'::jsonb) AS afters
    FROM unnest(workflow_ids, positions, untils) AS h (workflow_id, position, held_until)
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    -- what is left to the next sweep is recorded then
    WHERE s.held_until IS NULL
  ) AS e
  WHERE e.steps IS NOT NULL;
END $$;
