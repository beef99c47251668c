-- Settle: the one mechanism. Locks: none to install.
--
-- S1  A job and its step move in one transaction, whoever changed the job.
-- S2  A constant number of statements per batch, whatever its size, fan-out or workflow size.
-- S3  pending = number of parents without an outcome, always, for every step; a step is released
--     when it is still pending and the number reaches 0.
-- S4  Lock order: jobs (held by whoever changed them), workflows by id, steps by (workflow, position).
--     Nobody waits for a job while holding a workflow; a new job cannot be waited for.
-- S5  A fault in here is written down in settle_faults and the job's own change commits (I6).

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
