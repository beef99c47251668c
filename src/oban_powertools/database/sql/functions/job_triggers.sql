-- The triggers on Oban's jobs: any change of a job moves its workflow (invariant/I1), and a fault of ours never keeps a
-- job from changing (invariant/I6): nothing in here may raise outside a handler.

-- invariant/I6: settles, and on a fault settles one by one, so that a faulty job stays alone; what still
-- fails is kept for the sweep. Lock faults are not retried here: the sweep comes in a second. It sets its own lock
-- timeout in any session: a transaction that was left open slows a queue, and does not stop it.
CREATE OR REPLACE FUNCTION powertools.settle_guarded(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s'
AS $$
DECLARE
  o powertools.outcome;
  contended bool;
BEGIN
  PERFORM powertools.settle(outcomes);
EXCEPTION WHEN OTHERS THEN
  contended := SQLSTATE IN ('40001', '40P01', '55P03');
  FOREACH o IN ARRAY outcomes LOOP
    IF contended OR cardinality(outcomes) = 1 THEN
      PERFORM powertools.record_settle_fault(o, SQLSTATE, SQLERRM);
    ELSE
      PERFORM powertools.settle_guarded(ARRAY[o]);
    END IF;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION powertools.record_settle_fault(o powertools.outcome, code text, detail text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO powertools.settle_faults AS f (
    job_id, workflow_id, position, state, attempt, result, error, released_at, started_at, cause, sqlstate, message
  )
  VALUES (
    o.job_id, o.workflow_id, o.position, o.state, o.attempt, o.result, powertools.told_error_v1(o.error), o.released_at, o.started_at,
    o.cause, code, detail
  )
  ON CONFLICT (job_id) DO UPDATE
  SET state = excluded.state, attempt = excluded.attempt, result = excluded.result, error = excluded.error,
      released_at = excluded.released_at, started_at = excluded.started_at, cause = excluded.cause,
      sqlstate = excluded.sqlstate, message = excluded.message,
      faults = f.faults + 1, last_fault_at = clock_timestamp(), repaired_at = NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not record the settle fault of job %: % (it was: %)', o.job_id, SQLERRM, detail;
  -- A bulk ack that sees its setting unused stores its results in the jobs, for the sweep.
  PERFORM set_config('powertools.results', '{}', true);
END $$;

-- invariant/I6: a fault while writing the starts of jobs is kept for the sweep, as any other.
CREATE OR REPLACE FUNCTION powertools.defer_starts_guarded(starts powertools.change[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  c powertools.change;
BEGIN
  PERFORM powertools.defer_starts(starts);
EXCEPTION WHEN OTHERS THEN
  FOREACH c IN ARRAY starts LOOP
    PERFORM powertools.record_settle_fault(
      ROW (
        c.workflow_id, c.position, c.job_id, NULL, NULL, 'executing', NULL, c.attempt, NULL, NULL, NULL, NULL
      )::powertools.outcome,
      SQLSTATE, SQLERRM
    );
  END LOOP;
END $$;

-- Stores results of attempts that no step accepts: another tool ran a step's job again after its outcome, the step has
-- moved on without this job, or only the job's meta names the step. Settle calls it with all outcomes that it had to
-- settle.
CREATE OR REPLACE FUNCTION powertools.keep_untaken(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  INSERT INTO powertools.late_results (
    job_id, attempt, attempted_at, attempted_by, state, result, error, queue, worker, workflow_id, position
  )
  SELECT j.id, o.attempt, o.started_at, coalesce(j.attempted_by, '{}'),
    CASE o.state WHEN 'awaiting_signal' THEN 'completed' ELSE o.state END, o.result, o.error, j.queue, j.worker,
    s.workflow_id, s.position
  FROM unnest(outcomes) AS o
  CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = o.job_id OFFSET 0) AS j
  LEFT JOIN powertools.steps s ON s.workflow_id = o.workflow_id AND s.position = o.position
  WHERE o.state IN ('completed', 'discarded', 'cancelled', 'awaiting_signal') AND o.cause IS NULL AND o.started_at IS NOT NULL
    AND CASE WHEN s.job_id = o.job_id
      -- not the attempt that gave the step its outcome, whose job was changed since
      THEN s.started_at IS DISTINCT FROM o.started_at AND s.wait_id IS NULL OR o.started_at > s.finished_at
      ELSE o.state IN ('completed', 'awaiting_signal')
    END
  ON CONFLICT ON CONSTRAINT late_result_once DO NOTHING;
END $$;

-- No job of a workflow starts after it was cancelled or expired: cancels these jobs where they could. That includes a
-- job that another tool ran again, even when its step has its outcome; that is audited.
CREATE OR REPLACE FUNCTION powertools.keep_stopped(ids bigint[], ended bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  stopped bigint[];
BEGIN
  stopped := ARRAY(
    SELECT j.id
    FROM unnest(ids) AS g (id)
    CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = g.id OFFSET 0) AS j
    JOIN powertools.workflows w ON w.id = powertools.workflow_of_v1(j.meta)
    JOIN powertools.workflows r ON r.id = w.root_id
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
      AND coalesce(w.cancel_requested_at, w.expired_at, r.cancel_requested_at, r.expired_at) IS NOT NULL
    ORDER BY j.id
  );
  IF stopped = '{}' THEN
    RETURN;
  END IF;
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now()) WHERE j.id = ANY (stopped);
  PERFORM powertools.record_system_v1(
    'job_cancel', 'job', array_agg(s.id::text ORDER BY s.id), 'another tool ran it again after its workflow was cancelled or expired'
  )
  FROM unnest(stopped) AS s (id) WHERE s.id = ANY (ended) HAVING count(*) > 0;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not cancel again jobs %: %', ids, SQLERRM;
END $$;

-- After an UPDATE of jobs. A job stays with the step that it ran for before, whatever its meta says now. The results of
-- workers come with a bulk ack in the setting powertools.results (job id -> result); without one they are in the job's
-- meta. Each transition table is read once, as most batches are small: the old jobs for their state, one for all of most
-- batches, and a checksum over meta; the new ones again only when their meta has changed. No join of the two: it can be
-- quadratic.
-- Long: only the trigger's own function sees the transition tables.
CREATE OR REPLACE FUNCTION powertools.jobs_updated_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before bigint;
  after bigint;
  all_were text;
  each_was jsonb;
  results jsonb;
  kept jsonb;
  outcomes powertools.outcome[];
  starts powertools.change[];
  idle bigint[];
  callbacks bool;
BEGIN
  SELECT bit_xor(jsonb_hash_extended(o.meta, o.id)) FILTER (WHERE o.meta ? 'workflow_id'),
    CASE WHEN min(o.state) = max(o.state) THEN min(o.state) END
  INTO before, all_were
  FROM old_jobs o;
  IF before IS NULL THEN
    RETURN NULL;
  END IF;
  IF all_were IS NULL THEN
    each_was := (SELECT jsonb_object_agg(o.id, o.state) FROM old_jobs o);
  END IF;
  IF current_setting('powertools.results', true) <> '' THEN
    -- Any session may set it to anything, and its update must go on (invariant/I6).
    BEGIN
      results := current_setting('powertools.results', true)::jsonb;
    EXCEPTION WHEN data_exception THEN
      results := NULL;
    END;
    PERFORM set_config('powertools.results', '', true);
  END IF;
  LOOP
    SELECT bit_xor(n.checksum),
      array_agg(ROW (
        n.workflow_id, n.position, n.id, NULL, NULL,
        CASE WHEN n.state = 'completed' AND n.result ? 'await' THEN 'awaiting_signal' ELSE n.state END,
        NULL, n.attempt,
        CASE WHEN n.state = 'completed' THEN n.result END,
        CASE WHEN n.state IN ('retryable', 'discarded', 'cancelled') THEN n.error END,
        n.inserted_at AT TIME ZONE 'UTC', n.attempted_at AT TIME ZONE 'UTC'
      )::powertools.outcome) FILTER (WHERE n.moves AND n.state <> 'executing' AND n.workflow_id IS NOT NULL AND n.position IS NOT NULL),
      array_agg(ROW (
        n.workflow_id, n.position, 'started', 'executing', n.id, n.attempt, NULL, NULL
      )::powertools.change) FILTER (WHERE n.moves AND n.state = 'executing' AND n.workflow_id IS NOT NULL AND n.position IS NOT NULL),
      array_agg(n.id) FILTER (WHERE n.state IN ('available', 'scheduled', 'retryable', 'suspended')),
      bool_or(n.calls_back)
    INTO after, outcomes, starts, idle, callbacks
    FROM (
      SELECT n.id, n.state::text AS state, n.attempt, n.errors -> -1 AS error, n.inserted_at, n.attempted_at,
        coalesce(results -> n.id::text, n.meta -> 'return') AS result,
        CASE WHEN n.meta ? 'workflow_id' THEN jsonb_hash_extended(n.meta, n.id) END AS checksum,
        n.meta ? 'failed_steps' AS calls_back,
        -- written twice: a function is inlined only over a plain column
        CASE WHEN kept ? n.id::text THEN powertools.workflow_of_v1(kept -> n.id::text) ELSE powertools.workflow_of_v1(n.meta) END AS workflow_id,
        CASE WHEN kept ? n.id::text THEN powertools.position_of_v1(kept -> n.id::text) ELSE powertools.position_of_v1(n.meta) END AS position,
        n.state IN ('completed', 'discarded', 'cancelled') OR coalesce(all_were, each_was ->> n.id::text) = ANY (CASE n.state
          WHEN 'executing' THEN ARRAY['available', 'scheduled', 'retryable', 'suspended', 'completed', 'discarded', 'cancelled']
          WHEN 'retryable' THEN ARRAY['available', 'scheduled', 'executing']
          WHEN 'scheduled' THEN ARRAY['available', 'retryable', 'executing']
          WHEN 'available' THEN ARRAY['executing']
        END) AS moves
      FROM new_jobs n OFFSET 0
    ) AS n;
    EXIT WHEN after IS NOT DISTINCT FROM before OR kept IS NOT NULL
      OR current_setting('powertools.keeping', true) IS NOT DISTINCT FROM 'on';
    SELECT powertools.keep_identities(array_agg(o.id ORDER BY o.id), array_agg(o.meta ORDER BY o.id)) INTO kept
    FROM old_jobs o
    WHERE o.meta ?& '{workflow_id,position,uid}' OR o.meta ?& '{workflow_id,outcome,failed_steps}';
    EXIT WHEN kept IS NULL;
  END LOOP;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
  IF starts IS NOT NULL THEN
    PERFORM powertools.defer_starts_guarded(starts);
  END IF;
  IF callbacks THEN
    PERFORM powertools.record_callbacks(array_agg(ROW (
      powertools.ended_workflow_of_v1(m.own), (m.own ->> 'generation')::int, m.id, NULL, NULL, m.state, NULL, m.attempt,
      NULL, m.errors -> -1, NULL, m.attempted_at AT TIME ZONE 'UTC'
    )::powertools.outcome))
    FROM (SELECT n.*, coalesce(kept -> n.id::text, n.meta) AS own FROM new_jobs n OFFSET 0) AS m
    WHERE powertools.ended_workflow_of_v1(m.own) IS NOT NULL;
  END IF;
  IF idle IS NOT NULL THEN
    PERFORM powertools.keep_stopped(
      idle, ARRAY(SELECT o.id FROM old_jobs o WHERE o.state IN ('completed', 'discarded', 'cancelled'))
    );
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  -- What could not even be read is left to the sweep, which compares steps with their jobs.
  RAISE WARNING 'powertools could not look at jobs that were %: %', lower(TG_OP) || 'd', SQLERRM;
  RETURN NULL;
END $$;

-- After a DELETE of jobs: a live step without its job is cancelled. Finished jobs, which the
-- pruner removes by the thousand, are passed over.
CREATE OR REPLACE FUNCTION powertools.jobs_deleted_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  SELECT array_agg(ROW (
    powertools.workflow_of_v1(o.meta), powertools.position_of_v1(o.meta), o.id, NULL, NULL, 'cancelled', 'job_deleted', o.attempt, NULL,
    o.errors -> -1, o.inserted_at AT TIME ZONE 'UTC', o.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome)
  INTO outcomes
  FROM old_jobs o
  WHERE o.state NOT IN ('completed', 'discarded', 'cancelled')
    AND powertools.workflow_of_v1(o.meta) IS NOT NULL AND powertools.position_of_v1(o.meta) IS NOT NULL;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
  SELECT array_agg(ROW (
    powertools.ended_workflow_of_v1(o.meta), (o.meta ->> 'generation')::int, o.id, NULL, NULL, 'job_deleted', NULL, o.attempt,
    NULL, o.errors -> -1, NULL, o.attempted_at AT TIME ZONE 'UTC'
  )::powertools.outcome)
  INTO outcomes
  FROM old_jobs o
  WHERE o.state NOT IN ('completed', 'discarded', 'cancelled') AND powertools.ended_workflow_of_v1(o.meta) IS NOT NULL;
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.record_callbacks(outcomes);
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  -- What could not even be read is left to the sweep, which compares steps with their jobs.
  RAISE WARNING 'powertools could not look at jobs that were %: %', lower(TG_OP) || 'd', SQLERRM;
  RETURN NULL;
END $$;
