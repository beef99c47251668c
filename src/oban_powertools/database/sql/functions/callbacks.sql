-- Callbacks: records the outcomes of the on_finished jobs of ended workflows.

-- The workflow whose end inserted this on_finished job; NULL for any other job.
CREATE OR REPLACE FUNCTION powertools.ended_workflow_of_v1(meta jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN meta ?& '{outcome,failed_steps}' AND NOT meta ? 'position' AND meta ->> 'workflow_id' ~ '^[0-9]{1,18}$'
      AND meta ->> 'generation' ~ '^[0-9]{1,9}$'
    THEN (meta ->> 'workflow_id')::bigint
  END
$$;

-- Stores the outcomes of these on_finished jobs, if their callback names the job, too; position is the generation that
-- each was inserted for. An error here keeps no job from changing (invariant/I6).
-- Locks: the callbacks, after the jobs and all that settle locks.
CREATE OR REPLACE FUNCTION powertools.record_callbacks(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  UPDATE powertools.callbacks c
  SET state = o.state, attempt = o.attempt, attempted_at = o.started_at, error = powertools.told_error_v1(o.error),
      ended_at = CASE WHEN o.state IN ('completed', 'discarded', 'cancelled', 'job_deleted') THEN clock_timestamp() END
  FROM unnest(outcomes) AS o
  WHERE c.workflow_id = o.workflow_id AND c.generation = o.position AND c.job_id = o.job_id;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not write down what became of on_finished jobs: %', SQLERRM;
END $$;
