-- The repairs of jobs by operators.

-- The repairs of jobs. The caller holds the jobs and has checked that the repair is legal. First: an entry in a job's
-- errors.
CREATE OR REPLACE FUNCTION powertools.operator_error(attempt int, message text) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
  SELECT jsonb_build_object(
    'attempt', attempt, 'at', to_char(timezone('UTC', clock_timestamp()), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), 'error', message
  )
$$;

-- Rescues executing jobs that nobody works on, by an operator's decision; one that was asked to stop is cancelled.
CREATE OR REPLACE FUNCTION powertools.rescue_jobs_v1(job_ids bigint[]) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  woken text[];
BEGIN
  WITH facts AS (
    SELECT j.id, j.attempt, j.queue, j.worker, j.attempted_by, e.executor_id, s.workflow_id, s.position,
      powertools.was_asked_to_stop(s) AS stops, coalesce(j.attempted_at, j.inserted_at) AT TIME ZONE 'UTC' AS attempted_at,
      CASE WHEN e.executor_id IS NULL THEN 'unknown' WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END AS why
    FROM public.oban_jobs j
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    LEFT JOIN powertools.steps s ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE j.id = ANY (job_ids) AND j.state = 'executing'
  ), moved AS (
    UPDATE public.oban_jobs j
    SET state = (CASE WHEN f.stops THEN 'cancelled' ELSE 'available' END)::public.oban_job_state,
        cancelled_at = CASE WHEN f.stops THEN timezone('UTC', clock_timestamp()) ELSE j.cancelled_at END,
        max_attempts = CASE WHEN f.stops THEN j.max_attempts ELSE greatest(j.max_attempts, j.attempt + 1) END,
        errors = j.errors || powertools.operator_error(j.attempt, CASE
          WHEN f.stops THEN 'Rescued by an operator: it was asked to stop, and does not run again'
          ELSE 'Rescued by an operator: it runs again'
        END),
        meta = j.meta || jsonb_build_object('rescued', powertools.count_of(j.meta -> 'rescued') + 1)
    FROM facts f WHERE j.id = f.id
    RETURNING j.queue
  ), written AS (
    INSERT INTO powertools.rescues (
      job_id, attempt, attempted_at, executor_id, attempted_by, why, action, crashes, queue, worker, workflow_id, position
    )
    SELECT f.id, f.attempt, f.attempted_at, f.executor_id, coalesce(f.attempted_by, '{}'), f.why, 'retried', 0, f.queue, f.worker,
      f.workflow_id, f.position
    FROM facts f ORDER BY f.id
  )
  SELECT array_agg(m.queue) INTO woken FROM moved m;
  PERFORM powertools.notify_queues(woken);
  RETURN cardinality(woken);
END $$;

-- Makes a job that does not run available now, with an attempt left for it.
CREATE OR REPLACE FUNCTION powertools.retry_job_v1(of_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  woken text;
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'available', max_attempts = greatest(j.max_attempts, j.attempt + 1), scheduled_at = timezone('UTC', now()),
      completed_at = NULL, cancelled_at = NULL, discarded_at = NULL
  WHERE j.id = of_job_id AND j.state NOT IN ('available', 'executing', 'completed')
  RETURNING j.queue INTO woken;
  PERFORM powertools.notify_queues(ARRAY[woken]);
END $$;

-- Cancels a job that does not run; asks an executing one to stop.
CREATE OR REPLACE FUNCTION powertools.cancel_job_v1(of_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  WHERE j.id = of_job_id AND j.state IN ('available', 'scheduled', 'retryable', 'suspended');
  IF NOT FOUND THEN
    PERFORM powertools.notify_v1('public.oban_signal', json_build_object('action', 'pkill', 'job_id', of_job_id)::text);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION powertools.discard_job_v1(of_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'discarded', discarded_at = timezone('UTC', now()),
      errors = j.errors || powertools.operator_error(j.attempt, 'Discarded by an operator')
  WHERE j.id = of_job_id AND j.state NOT IN ('completed', 'cancelled', 'discarded');
END $$;

-- Gives a live job the late result of an attempt that had been taken from its executor.
CREATE OR REPLACE FUNCTION powertools.adopt_result_v1(of_job_id bigint, result jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE public.oban_jobs j
  SET state = 'completed', completed_at = timezone('UTC', now()),
      meta = CASE WHEN result IS NULL THEN j.meta ELSE j.meta || jsonb_build_object('return', result) END
  WHERE j.id = of_job_id AND j.state NOT IN ('executing', 'completed', 'cancelled', 'discarded');
END $$;
