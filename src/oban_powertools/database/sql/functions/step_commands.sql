-- Commands of operators on one step.

-- Cancels one unfinished step by an operator's decision. Pending and waiting steps end here; an idle job is cancelled,
-- an executing one asked to stop. Rows: whether the step had its outcome at once.
CREATE OR REPLACE FUNCTION powertools.cancel_step_v1(of_workflow_id bigint, of_position int) RETURNS bool
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  s powertools.steps;
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  UPDATE powertools.steps k SET cancel_requested_at = clock_timestamp()
  WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
  RETURNING k.* INTO s;
  IF s.kind = 'workflow' OR s.state = 'executing' THEN
    PERFORM powertools.stop_workflows_v1(ARRAY[s.child_id], false);
  END IF;
  IF s.state = 'available' THEN
    UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
    WHERE j.id = (
      SELECT i.id FROM public.oban_jobs i
      WHERE i.id = s.job_id AND powertools.is_job_of_v1(i.meta, s.workflow_id, s.position)
        AND i.state IN ('available', 'scheduled', 'retryable', 'suspended')
      FOR UPDATE SKIP LOCKED
    );
    PERFORM powertools.tell_executing_jobs(ARRAY[of_workflow_id], of_position);
  ELSIF s.state <> 'executing' THEN
    WITH done AS (
      UPDATE powertools.steps k
      SET state = 'cancelled', cause = 'cancelled_by_operator', finished_at = clock_timestamp(), held_until = NULL, hold_reason = NULL
      WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
      RETURNING k.*
    )
    SELECT array_agg(ROW (
      d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
    )::powertools.ended)
    INTO ended FROM done d;
    PERFORM powertools.move_on_v1(ended, NULL);
  END IF;
  RETURN (SELECT k.finished_at IS NOT NULL FROM powertools.steps k WHERE k.workflow_id = of_workflow_id AND k.position = of_position);
END $$;

-- Completes one unfinished step that has no live job, by an operator's decision.
CREATE OR REPLACE FUNCTION powertools.complete_step_v1(of_workflow_id bigint, of_position int, payload jsonb, of_cause text) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  WITH done AS (
    UPDATE powertools.steps k
    SET state = 'completed', cause = of_cause, result = payload, pending = 0, finished_at = clock_timestamp(),
        held_until = NULL, hold_reason = NULL
    WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.state IN ('pending', 'awaiting_signal')
    RETURNING k.*
  )
  SELECT array_agg(ROW (
    d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
  )::powertools.ended)
  INTO ended FROM done d;
  PERFORM powertools.move_on_v1(ended, NULL);
END $$;
