-- Turbo: acknowledging and inserting jobs in bulk.

-- Acknowledges a batch of executed jobs as Oban's own ack does, fenced by (id, state, attempted_at).
-- Args: one entry per job, in ascending id; metas and errors NULL where there is none; results: job id
-- -> JSON of the workflow steps among them, or NULL. Rows: the ids that were acknowledged.
-- Locks: the jobs by id, then as settle.
-- The fence on the state is written so that no index serves it: by Oban's index on the state a batch
-- would be joined in quadratic time.
CREATE OR REPLACE FUNCTION powertools.ack_jobs_v1(
  ids bigint[], attempted_ats timestamp[], states text[], attempt_changes int[], schedule_ins int[],
  new_errors jsonb[], new_metas jsonb[], results jsonb, fetching jsonb
) RETURNS SETOF bigint
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  told text;
  acked bigint[];
  one bigint;
BEGIN
  -- assigned, which starts no statement
  told := set_config('powertools.results', coalesce(results::text, ''), true);
  told := set_config('powertools.fetching', coalesce(fetching::text, ''), true);
  WITH updated AS (
    UPDATE public.oban_jobs j
    SET state = a.state::public.oban_job_state,
        completed_at = CASE a.state WHEN 'completed' THEN timezone('UTC', now()) ELSE j.completed_at END,
        discarded_at = CASE a.state WHEN 'discarded' THEN timezone('UTC', now()) ELSE j.discarded_at END,
        cancelled_at = CASE a.state WHEN 'cancelled' THEN timezone('UTC', now()) ELSE j.cancelled_at END,
        scheduled_at = coalesce(timezone('UTC', now()) + make_interval(secs => a.schedule_in), j.scheduled_at),
        attempt = j.attempt + coalesce(a.attempt_change, 0),
        errors = CASE WHEN a.error IS NULL THEN j.errors ELSE j.errors || a.error END,
        meta = CASE WHEN a.meta IS NULL THEN j.meta ELSE j.meta || a.meta END
    FROM (
      SELECT * FROM unnest(ids, attempted_ats, states, attempt_changes, schedule_ins, new_errors, new_metas)
        AS given (id, attempted_at, state, attempt_change, schedule_in, error, meta)
      LIMIT cardinality(ids)
    ) AS a
    WHERE j.id = a.id AND (j.state = 'executing') IS TRUE AND j.attempted_at = a.attempted_at
    RETURNING j.id
  )
  SELECT array_agg(id) INTO acked FROM updated;
  -- Settle takes the results; while its trigger is missing they are stored in the jobs, for the sweep.
  IF acked IS NOT NULL AND current_setting('powertools.results') <> '' THEN
    UPDATE public.oban_jobs j
    SET meta = j.meta || jsonb_build_object('return', results -> j.id::text)
    WHERE j.id = ANY (acked) AND results ? j.id::text;
  END IF;
  FOREACH one IN ARRAY coalesce(acked, '{}') LOOP
    RETURN NEXT one;
  END LOOP;
END $$;

-- Inserts jobs as Oban's own insert does. Args: one entry a job. Rows: in the order of the args.
CREATE OR REPLACE FUNCTION powertools.insert_jobs_v1(
  states text[], queues text[], workers text[], max_attempts int[], priorities int[], args jsonb[], metas jsonb[],
  tags jsonb[], inserted_ats timestamp[], scheduled_ats timestamp[]
) RETURNS TABLE (id bigint, inserted_at timestamp, queue text, scheduled_at timestamp, state text)
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
#variable_conflict use_column
DECLARE
  job_ids regclass := pg_get_serial_sequence('public.oban_jobs', 'id');
  woken text[];
BEGIN
  woken := ARRAY(
    SELECT q.queue FROM unnest(queues, states, scheduled_ats) AS q (queue, state, scheduled_at)
    WHERE q.state = 'available' AND q.scheduled_at IS NULL
  );
  RETURN QUERY
  INSERT INTO public.oban_jobs AS j (
    id, state, queue, worker, max_attempts, priority, args, meta, tags, inserted_at, scheduled_at
  )
  OVERRIDING SYSTEM VALUE
  SELECT
    nextval(job_ids),
    (CASE WHEN a.state = 'available' AND a.scheduled_at IS NOT NULL THEN 'scheduled' ELSE a.state END)::public.oban_job_state,
    a.queue, a.worker, a.max_attempts, a.priority, a.args, a.meta,
    ARRAY(SELECT jsonb_array_elements_text(a.tags)),
    coalesce(a.inserted_at, timezone('UTC', now())), coalesce(a.scheduled_at, timezone('UTC', now()))
  FROM unnest(states, queues, workers, max_attempts, priorities, args, metas, tags, inserted_ats, scheduled_ats)
    AS a (state, queue, worker, max_attempts, priority, args, meta, tags, inserted_at, scheduled_at)
  RETURNING j.id, j.inserted_at, j.queue, j.scheduled_at, j.state::text;
  IF woken <> '{}' THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
END $$;
