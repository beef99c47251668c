-- Settle: the one mechanism. Locks: CREATE TRIGGER takes SHARE ROW EXCLUSIVE on Oban's jobs table
-- for an instant; everything else is new.
--
-- S1  A job and its step move in one transaction, whoever changed the job.
-- S2  A constant number of statements per batch, whatever its size, fan-out or workflow size.
-- S3  pending = number of parents without an outcome, always, for every step; a step is released
--     when it is still pending and the number reaches 0.
-- S4  Lock order: jobs (held by whoever changed them), workflows by id, steps by (workflow, position).
--     Nobody waits for a job while holding a workflow; a new job cannot be waited for.
-- S5  A fault in here is written down in settle_faults and the job's own change commits (I6).
--
-- The functions force index lookups: their plans are cached, perhaps made while a table was empty.

-- The outcome of one job, to be settled.
CREATE TYPE powertools.outcome AS (
  job_id bigint,
  workflow_id bigint,
  position int,
  state text,
  attempt smallint,
  result jsonb,
  error jsonb,
  released_at timestamptz,
  started_at timestamptz,
  cause text
);

-- Args with each reference replaced by the parent's result or error, null where there is none.
-- Linear in the size of the outcome, whatever the number of references.
CREATE FUNCTION powertools.resolve_args_v1(of_workflow_id bigint, template jsonb) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
  SELECT string_agg(
    CASE jsonb_typeof(part)
      WHEN 'string' THEN part #>> '{}'
      ELSE coalesce((
        SELECT (
          CASE part ->> 1 WHEN 'result' THEN p.result ELSE p.error END
          #> ARRAY(SELECT jsonb_array_elements_text(part -> 2))
        )::text
        FROM powertools.steps p
        WHERE p.workflow_id = of_workflow_id AND p.position = (part ->> 0)::int
      ), 'null')
    END, '' ORDER BY place)::jsonb
  FROM jsonb_array_elements(template) WITH ORDINALITY AS t (part, place)
$$;

-- Wakes the producers of these queues (one entry a job) on every node. A producer that has just
-- acknowledged jobs fetches next by itself: its queue is left out while it freed as many places.
CREATE FUNCTION powertools.notify_queues_v1(queues text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  fetching jsonb := nullif(current_setting('powertools.fetching', true), '')::jsonb;
BEGIN
  PERFORM pg_notify('public.oban_insert', json_build_object('queue', q.queue)::text)
  FROM (SELECT queue, count(*) AS jobs FROM unnest(queues) AS queue GROUP BY queue ORDER BY queue) AS q
  WHERE q.jobs > coalesce((fetching ->> q.queue)::int, 0);
END $$;

-- Takes the ended parents off each child's count and releases those that reach 0: their job exists
-- in this same commit. Args: one entry an edge end, in any order; ended is what each takes off
-- (1, or 0 to release roots). The caller holds the workflows.
CREATE FUNCTION powertools.release_v1(workflow_ids bigint[], positions int[], ended int) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  job_ids regclass := pg_get_serial_sequence('public.oban_jobs', 'id');
  woken text[];
BEGIN
  WITH moved AS (
    UPDATE powertools.steps s
    SET pending = s.pending - c.ended,
        job_id = CASE WHEN s.state = 'pending' AND s.pending = c.ended THEN nextval(job_ids) ELSE s.job_id END,
        state = CASE WHEN s.state = 'pending' AND s.pending = c.ended THEN 'available' ELSE s.state END
    FROM (
      SELECT e.workflow_id, e.position, count(*)::int * release_v1.ended AS ended
      FROM unnest(workflow_ids, positions) AS e (workflow_id, position)
      GROUP BY e.workflow_id, e.position
      ORDER BY e.workflow_id, e.position
    ) AS c
    WHERE s.workflow_id = c.workflow_id AND s.position = c.position
    RETURNING s.*, greatest(s.scheduled_at, now() + s.delay) AS due_at
  ), jobs AS (
    INSERT INTO public.oban_jobs (id, state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    OVERRIDING SYSTEM VALUE
    SELECT
      m.job_id,
      (CASE WHEN m.due_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      m.queue, m.worker, m.max_attempts, m.priority,
      coalesce(m.args, powertools.resolve_args_v1(m.workflow_id, m.template)),
      coalesce(m.meta, '{}') || jsonb_build_object(
        'workflow_id', m.workflow_id, 'workflow_name', w.name, 'step', m.name, 'position', m.position, 'uid', w.uid
      )
      || CASE m.generation WHEN 1 THEN '{}' ELSE jsonb_build_object('generation', m.generation) END
      || CASE w.context WHEN '{}' THEN '{}' ELSE jsonb_build_object('context', w.context) END,
      coalesce(m.tags, '{}'),
      timezone('UTC', greatest(m.due_at, now()))
    FROM moved m
    JOIN powertools.workflows w ON w.id = m.workflow_id
    WHERE m.state = 'available'
    RETURNING queue, state
  )
  SELECT array_agg(queue) INTO woken FROM jobs WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues_v1(woken);
  END IF;
END $$;

-- Whether continue edges dealt with every failure of these ended workflows: a failure is handled when
-- the cascade it set off reaches a continue edge whose step completed.
CREATE FUNCTION powertools.judge_failures_v1(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off
AS $$
BEGIN
  WITH RECURSIVE handled AS (
    SELECT s.workflow_id, s.position
    FROM powertools.steps s
    WHERE s.workflow_id = ANY (workflow_ids) AND s.state IN ('discarded', 'expired', 'cancelled')
      AND EXISTS (
        SELECT FROM unnest(s.continue_children) AS c (child)
        JOIN powertools.steps k ON k.workflow_id = s.workflow_id AND k.position = c.child
        WHERE k.state = 'completed'
      )
    UNION
    SELECT p.workflow_id, p.position
    FROM handled h
    JOIN powertools.steps s ON s.workflow_id = h.workflow_id AND s.position = h.position
    CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
    JOIN powertools.steps p ON p.workflow_id = s.workflow_id AND p.position = e.parent
    WHERE p.state IN ('discarded', 'expired', 'cancelled')
  ), unhandled AS (
    SELECT DISTINCT s.workflow_id
    FROM powertools.steps s
    LEFT JOIN handled h ON h.workflow_id = s.workflow_id AND h.position = s.position
    WHERE s.workflow_id = ANY (workflow_ids) AND h.position IS NULL
      AND (s.state IN ('discarded', 'expired') OR s.state = 'cancelled' AND s.children <> '{}')
      AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
  )
  UPDATE powertools.workflows w
  SET failures_handled = NOT EXISTS (SELECT FROM unhandled u WHERE u.workflow_id = w.id)
  WHERE w.id = ANY (workflow_ids);
END $$;

-- Inserts the on_finished jobs of these ended workflows; at most 1,000 failed steps are named.
CREATE FUNCTION powertools.insert_on_finished_v1(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off
AS $$
DECLARE
  woken text[];
BEGIN
  WITH jobs AS (
    INSERT INTO public.oban_jobs (state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    SELECT
      (CASE WHEN j.scheduled_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      j.queue, j.worker, j.max_attempts, j.priority, j.args,
      j.meta || jsonb_build_object(
        'workflow_id', w.id, 'workflow_name', w.name, 'outcome', w.state, 'generation', w.generation,
        'failures_handled', w.failures_handled,
        'failed_steps', coalesce((
          SELECT jsonb_agg(f.name)
          FROM (
            SELECT s.name FROM powertools.steps s
            WHERE w.failed > 0 AND s.workflow_id = w.id
              AND (s.state IN ('discarded', 'expired') OR s.cause = 'cancelled_by_dependency')
            ORDER BY s.position LIMIT 1000
          ) AS f
        ), '[]')
      ),
      j.tags, timezone('UTC', greatest(j.scheduled_at, now()))
    FROM powertools.workflows w
    CROSS JOIN LATERAL jsonb_to_record(w.on_finished) AS j (
      queue text, worker text, max_attempts int, priority int, args jsonb, meta jsonb, tags text[],
      scheduled_at timestamptz
    )
    WHERE w.id = ANY (workflow_ids)
    ORDER BY w.id
    RETURNING queue, state
  )
  SELECT array_agg(queue) INTO woken FROM jobs WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues_v1(woken);
  END IF;
END $$;

-- Moves the workflows on from the outcomes of their jobs. A job is believed only if it is the
-- step's own and the step has no outcome yet; anything else changes nothing (fenced completion).
CREATE FUNCTION powertools.settle_v1(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  ended_in bigint[];
  ended_failed bool[];
  edge_in bigint[];
  edge_to int[];
  doomed_in bigint[];
  doomed int[];
  cascade_in bigint[];
  cascade_edge_in bigint[];
  cascade_edge_to int[];
  failed_ids bigint[];
  called_back bigint[];
BEGIN
  PERFORM FROM powertools.workflows
  WHERE id = ANY (ARRAY(SELECT o.workflow_id FROM unnest(outcomes) AS o))
  ORDER BY id FOR NO KEY UPDATE;

  WITH ended AS (
    UPDATE powertools.steps s
    SET state = o.state, attempt = o.attempt, cause = o.cause,
        result = CASE WHEN o.state = 'completed' THEN o.result END, error = o.error,
        released_at = o.released_at, started_at = o.started_at, finished_at = clock_timestamp()
    FROM unnest(outcomes) AS o
    WHERE s.workflow_id = o.workflow_id AND s.position = o.position
      AND s.job_id = o.job_id AND s.state = 'available'
    RETURNING s.workflow_id, s.state, s.children, s.continue_children
  )
  SELECT e.*, c.*, d.* INTO ended_in, ended_failed, edge_in, edge_to, doomed_in, doomed
  FROM (
    SELECT array_agg(workflow_id), array_agg(state = 'discarded') FROM ended
  ) AS e
  CROSS JOIN (
    SELECT array_agg(workflow_id), array_agg(child)
    FROM ended CROSS JOIN LATERAL unnest(children || continue_children) AS c (child)
  ) AS c
  CROSS JOIN (
    SELECT array_agg(workflow_id), array_agg(child)
    FROM ended CROSS JOIN LATERAL unnest(children) AS c (child)
    WHERE state <> 'completed'
  ) AS d;

  IF ended_in IS NULL THEN
    RETURN;
  END IF;

  IF doomed IS NOT NULL THEN
    WITH RECURSIVE reached AS (
      SELECT d.workflow_id, d.position FROM unnest(doomed_in, doomed) AS d (workflow_id, position)
      UNION
      SELECT s.workflow_id, c.child
      FROM reached r
      JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position
      CROSS JOIN LATERAL unnest(s.children) AS c (child)
      WHERE s.state = 'pending'
    ), ended AS (
      UPDATE powertools.steps s
      SET state = 'cancelled', cause = 'cancelled_by_dependency', finished_at = clock_timestamp()
      FROM reached r
      WHERE s.workflow_id = r.workflow_id AND s.position = r.position AND s.state = 'pending'
      RETURNING s.workflow_id, s.children, s.continue_children
    )
    SELECT e.*, c.* INTO cascade_in, cascade_edge_in, cascade_edge_to
    FROM (SELECT array_agg(workflow_id) FROM ended) AS e
    CROSS JOIN (
      SELECT array_agg(workflow_id), array_agg(child)
      FROM ended CROSS JOIN LATERAL unnest(children || continue_children) AS c (child)
    ) AS c;
    ended_in := ended_in || cascade_in;
    ended_failed := ended_failed || array_fill(true, ARRAY[coalesce(cardinality(cascade_in), 0)]);
    edge_in := edge_in || cascade_edge_in;
    edge_to := edge_to || cascade_edge_to;
  END IF;

  IF edge_in IS NOT NULL THEN
    PERFORM powertools.release_v1(edge_in, edge_to, 1);
  END IF;

  WITH counted AS (
    UPDATE powertools.workflows w
    SET open = w.open - c.ended, failed = w.failed + c.failed,
        state = CASE
          WHEN w.open > c.ended THEN w.state
          WHEN w.cancel_requested_at IS NOT NULL THEN 'cancelled'
          WHEN w.failed + c.failed > 0 THEN 'failed'
          ELSE 'completed'
        END,
        finished_at = CASE WHEN w.open = c.ended THEN clock_timestamp() END
    FROM (
      SELECT e.workflow_id, count(*)::int AS ended, count(*) FILTER (WHERE e.failed)::int AS failed
      FROM unnest(ended_in, ended_failed) AS e (workflow_id, failed)
      GROUP BY e.workflow_id
    ) AS c
    WHERE w.id = c.workflow_id
    RETURNING w.id, w.open, w.failed, w.on_finished IS NOT NULL AS calls_back
  )
  SELECT array_agg(id) FILTER (WHERE failed > 0), array_agg(id) FILTER (WHERE calls_back)
  INTO failed_ids, called_back
  FROM counted WHERE open = 0;

  IF failed_ids IS NOT NULL THEN
    PERFORM powertools.judge_failures_v1(failed_ids);
  END IF;
  IF called_back IS NOT NULL THEN
    PERFORM powertools.insert_on_finished_v1(called_back);
  END IF;
END $$;

-- I6: settles, and on a fault settles one by one, so that a faulty job stays alone; what still
-- fails is kept for the sweep. Lock faults are not tried again here: the sweep comes in a second.
CREATE FUNCTION powertools.settle_guarded_v1(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql
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
END $$;

-- After an UPDATE of jobs. A result that came with a bulk ack travels in the setting
-- powertools.results (job id -> JSON) and is taken from there; else it is in the job's meta.
CREATE FUNCTION powertools.jobs_updated_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  outcomes powertools.outcome[];
  results jsonb;
BEGIN
  IF NOT EXISTS (SELECT FROM new_jobs n WHERE n.meta ? 'position' AND n.state IN ('completed', 'discarded', 'cancelled')) THEN
    RETURN NULL;
  END IF;
  results := nullif(current_setting('powertools.results', true), '')::jsonb;
  IF results IS NOT NULL THEN
    PERFORM set_config('powertools.results', '', true);
  END IF;
  SELECT array_agg(ROW (
    n.id, n.meta ->> 'workflow_id', n.meta ->> 'position', n.state, n.attempt,
    CASE WHEN n.state = 'completed' THEN coalesce(results -> n.id::text, n.meta -> 'return' -> 'json') END,
    CASE WHEN n.state <> 'completed' THEN n.errors -> -1 END,
    n.inserted_at AT TIME ZONE 'UTC', n.attempted_at AT TIME ZONE 'UTC', NULL
  )::powertools.outcome)
  INTO outcomes
  FROM new_jobs n
  WHERE n.state IN ('completed', 'discarded', 'cancelled')
    AND n.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' AND n.meta ->> 'position' ~ '^[0-9]{1,9}$';
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded_v1(outcomes);
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
    o.id, o.meta ->> 'workflow_id', o.meta ->> 'position', 'cancelled', o.attempt, NULL, o.errors -> -1,
    o.inserted_at AT TIME ZONE 'UTC', o.attempted_at AT TIME ZONE 'UTC', 'job_deleted'
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
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_updated_v1();

CREATE TRIGGER powertools_jobs_deleted AFTER DELETE ON public.oban_jobs
REFERENCING OLD TABLE AS old_jobs
FOR EACH STATEMENT EXECUTE FUNCTION powertools.jobs_deleted_v1();
