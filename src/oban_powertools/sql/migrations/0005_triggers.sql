-- The triggers on Oban's jobs: whoever changes a job moves the workflow (I1), and a fault of ours
-- never keeps a job from changing (I6). Locks: CREATE TRIGGER takes SHARE ROW EXCLUSIVE on Oban's
-- jobs table for an instant.

-- I6: settles, and on a fault settles one by one, so that a faulty job stays alone; what still
-- fails is kept for the sweep. Lock faults are not tried again here: the sweep comes in a second. It has a bound of its
-- own in anybody's session: a transaction that somebody left open slows a queue by it, and does not stop it.
CREATE FUNCTION powertools.settle_guarded_v1(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s'
AS $$
DECLARE
  o powertools.outcome;
  contended bool;
BEGIN
  PERFORM powertools.settle_v1(outcomes);
EXCEPTION WHEN OTHERS THEN
  contended := SQLSTATE IN ('40001', '40P01', '55P03');
  FOREACH o IN ARRAY outcomes LOOP
    IF contended OR cardinality(outcomes) = 1 THEN
      PERFORM powertools.record_settle_fault_v1(o, SQLSTATE, SQLERRM);
    ELSE
      PERFORM powertools.settle_guarded_v1(ARRAY[o]);
    END IF;
  END LOOP;
END $$;

CREATE FUNCTION powertools.record_settle_fault_v1(o powertools.outcome, code text, detail text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO powertools.settle_faults AS f (
    job_id, workflow_id, position, state, attempt, result, error, released_at, started_at, cause, sqlstate, message
  )
  VALUES (
    o.job_id, o.workflow_id, o.position, o.state, o.attempt, o.result, o.error, o.released_at, o.started_at,
    o.cause, code, detail
  )
  ON CONFLICT (job_id) DO UPDATE
  SET state = excluded.state, attempt = excluded.attempt, result = excluded.result, error = excluded.error,
      released_at = excluded.released_at, started_at = excluded.started_at, cause = excluded.cause,
      sqlstate = excluded.sqlstate, message = excluded.message,
      faults = f.faults + 1, last_fault_at = clock_timestamp(), repaired_at = NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not record the settle fault of job %: % (it was: %)', o.job_id, SQLERRM, detail;
  -- A bulk ack that finds its setting again keeps its results in the jobs, for the sweep.
  PERFORM set_config('powertools.results', '{}', true);
END $$;

-- I6: a fault while writing down that jobs started is kept for the sweep, as any other.
CREATE FUNCTION powertools.defer_starts_guarded_v1(starts powertools.change[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  c powertools.change;
BEGIN
  PERFORM powertools.defer_starts_v1(starts);
EXCEPTION WHEN OTHERS THEN
  FOREACH c IN ARRAY starts LOOP
    PERFORM powertools.record_settle_fault_v1(
      ROW (
        c.workflow_id, c.position, c.job_id, NULL, NULL, 'executing', NULL, c.attempt, NULL, NULL, NULL, NULL
      )::powertools.outcome,
      SQLSTATE, SQLERRM
    );
  END LOOP;
END $$;

-- After an UPDATE of jobs. What the workers returned comes with a bulk ack in the setting
-- powertools.results (job id -> result) and is taken from there; else it is in the job's meta. Old rows are asked for by
-- IN, which hashes them: a join of two transition tables can be quadratic.
CREATE FUNCTION powertools.jobs_updated_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outcomes powertools.outcome[];
  starts powertools.change[];
  results jsonb;
BEGIN
  IF NOT EXISTS (SELECT FROM new_jobs n WHERE n.meta ? 'position') THEN
    RETURN NULL;
  END IF;
  results := nullif(current_setting('powertools.results', true), '')::jsonb;
  IF results IS NOT NULL THEN
    PERFORM set_config('powertools.results', '', true);
  END IF;
  SELECT array_agg(ROW (
    n.meta ->> 'workflow_id', n.meta ->> 'position', n.id, NULL, NULL,
    CASE WHEN n.state = 'completed' AND r.result ? 'await' THEN 'awaiting_signal' ELSE n.state::text END,
    NULL, n.attempt,
    CASE WHEN n.state = 'completed' THEN r.result END,
    CASE WHEN n.state IN ('retryable', 'discarded', 'cancelled') THEN n.errors -> -1 END,
    n.inserted_at AT TIME ZONE 'UTC', n.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome) FILTER (WHERE n.state <> 'executing'),
  array_agg(ROW (
    n.meta ->> 'workflow_id', n.meta ->> 'position', 'started', 'executing', n.id, n.attempt, NULL, NULL
  )::powertools.change ORDER BY n.id) FILTER (WHERE n.state = 'executing')
  INTO outcomes, starts
  FROM new_jobs n
  CROSS JOIN LATERAL (SELECT coalesce(results -> n.id::text, n.meta -> 'return') AS result) AS r
  WHERE (
      n.state IN ('completed', 'discarded', 'cancelled')
      OR n.state = 'executing' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state <> 'executing')
      OR n.state = 'retryable' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state IN ('available', 'scheduled', 'executing'))
      OR n.state = 'scheduled' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state IN ('available', 'retryable', 'executing'))
      OR n.state = 'available' AND n.id IN (SELECT o.id FROM old_jobs o WHERE o.state = 'executing')
    )
    AND n.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' AND n.meta ->> 'position' ~ '^[0-9]{1,9}$';
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded_v1(outcomes);
  END IF;
  IF starts IS NOT NULL THEN
    PERFORM powertools.defer_starts_guarded_v1(starts);
  END IF;
  RETURN NULL;
END $$;

-- After a DELETE of jobs: a live step without its job is cancelled. Finished jobs, which the
-- pruner removes by the thousand, are passed over.
CREATE FUNCTION powertools.jobs_deleted_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  SELECT array_agg(ROW (
    o.meta ->> 'workflow_id', o.meta ->> 'position', o.id, NULL, NULL, 'cancelled', 'job_deleted', o.attempt, NULL,
    o.errors -> -1, o.inserted_at AT TIME ZONE 'UTC', o.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome)
  INTO outcomes
  FROM old_jobs o
  WHERE o.state NOT IN ('completed', 'discarded', 'cancelled')
    AND o.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' AND o.meta ->> 'position' ~ '^[0-9]{1,9}$';
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded_v1(outcomes);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER powertools_jobs_updated AFTER UPDATE ON public.oban_jobs
REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_updated_v1();

CREATE TRIGGER powertools_jobs_deleted AFTER DELETE ON public.oban_jobs
REFERENCING OLD TABLE AS old_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_deleted_v1();
