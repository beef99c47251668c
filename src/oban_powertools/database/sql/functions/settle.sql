-- Settle: records the outcomes of jobs, waits and nested workflows in their steps, and moves their workflows on.
--
-- Rules: settle/S1 to S5, on docs/design/rules.md.

-- Whether a step fails its workflow: it did not complete, for any reason except the cancel of the whole workflow. In
-- one expression, so that the planner puts it where it is called.
CREATE OR REPLACE FUNCTION powertools.is_failure(state text, cause text) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT state IN ('discarded', 'expired') OR state = 'cancelled' AND cause IS DISTINCT FROM 'cancel_requested'
$$;

-- Locks the families of these workflows. Returns those of them that are being cancelled or expired.
CREATE OR REPLACE FUNCTION powertools.lock_families_v1(workflow_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  stopping bigint[];
BEGIN
  SELECT array_agg(locked.id) FILTER (WHERE locked.cancel_requested_at IS NOT NULL OR locked.expired_at IS NOT NULL)
  INTO stopping
  FROM (
    SELECT w.id, w.cancel_requested_at, w.expired_at
    FROM (
      SELECT DISTINCT unnest(ARRAY[f.id, f.root_id]) AS id
      FROM (SELECT DISTINCT unnest(workflow_ids) AS id) AS given
      CROSS JOIN LATERAL (SELECT w.id, w.root_id FROM powertools.workflows w WHERE w.id = given.id OFFSET 0) AS f
      ORDER BY id LIMIT 2 * cardinality(workflow_ids)
    ) AS family
    CROSS JOIN LATERAL (
      SELECT w.id, w.cancel_requested_at, w.expired_at
      FROM powertools.workflows w WHERE w.id = family.id OFFSET 0 FOR NO KEY UPDATE
    ) AS w
  ) AS locked;
  RETURN stopping;
END $$;

-- Whether continue edges handled every failure of these ended workflows: a failure is handled when its cascade reaches
-- a continue edge whose step completed.
CREATE OR REPLACE FUNCTION powertools.judge_failures(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  WITH RECURSIVE handled AS (
    SELECT s.workflow_id, s.position
    FROM powertools.steps s
    WHERE s.workflow_id = ANY (workflow_ids) AND s.state IN ('discarded', 'expired', 'cancelled')
      AND EXISTS (
        SELECT FROM powertools.steps k
        WHERE k.workflow_id = s.workflow_id AND k.position = ANY (s.continue_children) AND k.state = 'completed'
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
      AND powertools.is_failure(s.state, s.cause) AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
  )
  UPDATE powertools.workflows w
  SET failures_handled = NOT EXISTS (SELECT FROM unhandled u WHERE u.workflow_id = w.id)
  WHERE w.id = ANY (workflow_ids);
END $$;

-- Inserts the on_finished jobs of these ended workflows; at most 1,000 failed steps are named.
CREATE OR REPLACE FUNCTION powertools.insert_on_finished(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
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
        'failed_steps', CASE WHEN w.failed = 0 THEN '[]' ELSE to_jsonb(powertools.failed_steps_v1(w.id)) END
      ),
      j.tags, timezone('UTC', greatest(j.scheduled_at, now()))
    FROM powertools.workflows w
    CROSS JOIN LATERAL jsonb_to_record(w.on_finished) AS j (
      queue text, worker text, max_attempts int, priority int, args jsonb, meta jsonb, tags text[],
      scheduled_at timestamptz
    )
    WHERE w.id = ANY (workflow_ids)
    ORDER BY w.id
    RETURNING id, queue, state, worker, meta
  ), callbacks AS (
    INSERT INTO powertools.callbacks (workflow_id, generation, job_id, worker, state)
    SELECT (j.meta ->> 'workflow_id')::bigint, (j.meta ->> 'generation')::int, j.id, j.worker, j.state::text FROM jobs j
    ON CONFLICT DO NOTHING
  )
  SELECT array_agg(queue) INTO woken FROM jobs WHERE state = 'available';
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
END $$;

-- Gives steps their outcomes. Only a step that still runs on the job, wait or workflow of the outcome takes it; any
-- other is unchanged (fenced completion). In a workflow that is being stopped, a cancelled job counts as cancelled by
-- the request. Returns the steps that ended; the caller holds the workflows.
CREATE OR REPLACE FUNCTION powertools.apply_outcomes_v1(outcomes powertools.outcome[], stopping bigint[])
RETURNS powertools.ended[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  ended powertools.ended[];
BEGIN
  WITH done AS (
    UPDATE powertools.steps s
    SET state = CASE
          WHEN o.state = 'cancelled' AND o.workflow_id = ANY (stopping) AND EXISTS (
            SELECT FROM powertools.workflows w WHERE w.id = o.workflow_id AND w.expired_at IS NOT NULL
          ) THEN 'expired'
          ELSE o.state
        END,
        cause = coalesce(o.cause, CASE
          WHEN o.state = 'completed' AND (o.workflow_id = ANY (stopping) OR s.cancel_requested_at IS NOT NULL)
            THEN 'completed_after_cancel_request'
          WHEN o.state = 'cancelled' AND o.workflow_id = ANY (stopping) THEN (
            SELECT CASE WHEN w.expired_at IS NULL THEN 'cancel_requested' ELSE 'workflow_expired' END
            FROM powertools.workflows w WHERE w.id = o.workflow_id
          )
          WHEN o.state = 'cancelled' AND s.cancel_requested_at IS NOT NULL THEN 'cancelled_by_operator'
        END),
        attempt = o.attempt,
        result = CASE o.state WHEN 'completed' THEN o.result -> 'json' END,
        error = powertools.told_error_v1(o.error),
        released_at = coalesce(o.released_at, s.released_at), started_at = coalesce(o.started_at, s.started_at),
        held_until = NULL, hold_reason = NULL,
        finished_at = clock_timestamp()
    FROM (SELECT * FROM unnest(outcomes) LIMIT cardinality(outcomes)) AS o
    WHERE s.workflow_id = o.workflow_id AND s.position = o.position
      AND o.state IN ('completed', 'discarded', 'cancelled', 'expired')
      AND CASE s.state
        WHEN 'available' THEN s.job_id = o.job_id
        WHEN 'awaiting_signal' THEN s.wait_id = o.wait_id
        WHEN 'executing' THEN s.child_id = o.child_id
      END
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO ended
  FROM done s;
  RETURN ended;
END $$;

-- The cascade: cancels the steps that depend on failed ones by cancel edges, at any depth. A nested workflow among them
-- never starts. A step that was cancelled, by any cause, counts as failed here. The policy of an edge is ``on_failure``
-- of ``Workflow.add``: cancel, the default, or continue. Returns the steps that ended.
CREATE OR REPLACE FUNCTION powertools.cascade(ended powertools.ended[]) RETURNS powertools.ended[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  cancelled_too powertools.ended[];
BEGIN
  WITH RECURSIVE reached AS (
    SELECT e.workflow_id, c.child AS position
    FROM unnest(ended) AS e CROSS JOIN LATERAL unnest(e.children) AS c (child)
    WHERE e.state <> 'completed'
    UNION
    SELECT n.workflow_id, n.position
    FROM reached r
    JOIN powertools.steps s ON s.workflow_id = r.workflow_id AND s.position = r.position
    CROSS JOIN LATERAL (
      SELECT s.workflow_id, c.child AS position FROM unnest(s.children) AS c (child)
      UNION ALL
      SELECT k.workflow_id, k.position FROM powertools.steps k
      WHERE k.workflow_id = s.child_id AND s.kind = 'workflow' AND k.state = 'pending'
    ) AS n
    WHERE CASE s.state WHEN 'pending' THEN true END
  ), cancelled AS (
    UPDATE powertools.steps s
    SET state = 'cancelled', cause = 'cancelled_by_dependency', finished_at = clock_timestamp(),
        held_until = NULL, hold_reason = NULL
    FROM reached r
    WHERE s.workflow_id = r.workflow_id AND s.position = r.position AND CASE s.state WHEN 'pending' THEN true END
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO cancelled_too
  FROM cancelled s;
  RETURN cancelled_too;
END $$;

-- Does what the end of these workflows takes. Args: all of them, and those among them that have failed steps, a callback,
-- a step that runs them; NULL for none. Returns the outcomes of such steps.
CREATE OR REPLACE FUNCTION powertools.end_workflows(finished bigint[], failed bigint[], called_back bigint[], nested bigint[])
RETURNS powertools.outcome[]
LANGUAGE plpgsql
AS $$
BEGIN
  IF failed IS NOT NULL THEN
    PERFORM powertools.judge_failures(failed);
  END IF;
  PERFORM powertools.write_ends(finished);
  PERFORM powertools.close_signals_of(finished);
  IF called_back IS NOT NULL THEN
    PERFORM powertools.insert_on_finished(called_back);
  END IF;
  RETURN CASE WHEN nested IS NOT NULL THEN powertools.nested_outcomes(nested) END;
END $$;

-- Moves workflows on from ended steps: the cascade, the releases, the ends of workflows, and again for the steps that
-- end thereby (a step that ran a nested workflow, an early signal), until none is left. changes are earlier changes,
-- whose events are written first. The caller holds the workflows.
CREATE OR REPLACE FUNCTION powertools.move_on_v1(
  ended powertools.ended[], stopping bigint[], changes powertools.change[] DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  edge_in bigint[];
  edge_to int[];
  failed bool;
  waited bigint[];
  outcomes powertools.outcome[];
  finished bigint[];
  finished_failed bigint[];
  called_back bigint[];
  nested bigint[];
BEGIN
  WHILE ended IS NOT NULL LOOP
    SELECT bool_or(e.state <> 'completed'), array_agg(e.wait_id) FILTER (WHERE e.wait_id IS NOT NULL)
    INTO failed, waited FROM unnest(ended) AS e;
    IF failed THEN
      ended := ended || powertools.cascade(ended);
    END IF;
    changes := changes || ARRAY(
      SELECT ROW (e.workflow_id, e.position, e.state, e.state, NULL, NULL, NULL, NULL)::powertools.change FROM unnest(ended) AS e
    );
    IF waited IS NOT NULL THEN
      PERFORM powertools.close_waits(waited, ended);
    END IF;

    SELECT array_agg(e.workflow_id), array_agg(c.child) INTO edge_in, edge_to
    FROM unnest(ended) AS e CROSS JOIN LATERAL unnest(e.children || e.continue_children) AS c (child);
    IF edge_in IS NOT NULL THEN
      outcomes := powertools.release_v1(edge_in, edge_to, 1, changes);
    ELSE
      outcomes := NULL;
      PERFORM powertools.write_events_v1(changes);
    END IF;
    changes := NULL;

    WITH counted AS (
      UPDATE powertools.workflows w
      SET open = w.open - c.ended, failed = w.failed + c.failed, stopped = w.stopped + c.stopped,
          state = CASE
            WHEN w.open > c.ended THEN w.state
            WHEN w.stopped + c.stopped > 0 THEN CASE WHEN w.expired_at IS NULL THEN 'cancelled' ELSE 'expired' END
            WHEN w.failed + c.failed > 0 THEN 'failed'
            ELSE 'completed'
          END,
          finished_at = CASE WHEN w.open = c.ended THEN clock_timestamp() END
      FROM (
        SELECT e.workflow_id, count(*)::int AS ended,
          count(*) FILTER (WHERE powertools.is_failure(e.state, e.cause))::int AS failed,
          count(*) FILTER (WHERE e.cause IN ('cancel_requested', 'workflow_expired'))::int AS stopped
        FROM unnest(ended) AS e
        GROUP BY e.workflow_id
        LIMIT cardinality(ended)
      ) AS c
      WHERE w.id = c.workflow_id
      RETURNING w.id, w.open, w.failed, w.on_finished, w.parent_id
    )
    SELECT array_agg(id), array_agg(id) FILTER (WHERE counted.failed > 0),
      array_agg(id) FILTER (WHERE on_finished IS NOT NULL), array_agg(id) FILTER (WHERE parent_id IS NOT NULL)
    INTO finished, finished_failed, called_back, nested
    FROM counted WHERE open = 0;

    IF finished IS NOT NULL THEN
      outcomes := outcomes || powertools.end_workflows(finished, finished_failed, called_back, nested);
    END IF;
    ended := CASE WHEN outcomes IS NOT NULL THEN powertools.apply_outcomes_v1(outcomes, stopping) END;
  END LOOP;
  PERFORM powertools.write_events_v1(changes);
END $$;

-- Moves workflows on from the outcomes of their steps' jobs, waits and nested workflows. The most common batch goes in one
-- statement (complete_steps). An outcome need not be an end:
-- a job started, failed with attempts left, snoozed or was rescued; then only its event is written.
CREATE OR REPLACE FUNCTION powertools.settle(outcomes powertools.outcome[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  asked CONSTANT powertools.outcome[] := outcomes;
  workflow_ids bigint[];
  job_ids bigint[];
  all_completed bool;
  some_live bool;
  some_extend bool;
  ended powertools.ended[];
  stopping bigint[];
  changes powertools.change[];
BEGIN
  SELECT array_agg(o.workflow_id), array_agg(o.job_id) FILTER (WHERE o.job_id IS NOT NULL),
    bool_and(o.state = 'completed' AND o.job_id IS NOT NULL AND o.cause IS NULL AND o.error IS NULL),
    bool_or(o.state IN ('executing', 'retryable', 'scheduled', 'available')),
    bool_or(o.state = 'awaiting_signal' OR o.result ? 'append')
  INTO workflow_ids, job_ids, all_completed, some_live, some_extend
  FROM unnest(outcomes) AS o;
  stopping := powertools.lock_families_v1(workflow_ids);
  IF all_completed AND some_extend IS NOT TRUE AND stopping IS NULL THEN
    IF powertools.complete_steps(outcomes, job_ids) THEN
      RETURN;
    END IF;
  END IF;
  changes := powertools.take_starts_v1(job_ids);
  IF some_live THEN
    changes := changes || powertools.own_changes(ARRAY(
      SELECT ROW (
        o.workflow_id, o.position,
        CASE o.state WHEN 'executing' THEN 'started' WHEN 'scheduled' THEN 'snoozed' WHEN 'retryable' THEN 'retrying' WHEN 'available' THEN 'retrying' END,
        o.state, o.job_id, o.attempt, powertools.error_summary_v1(o.error), NULL
      )::powertools.change
      FROM unnest(outcomes) AS o WHERE o.state IN ('executing', 'retryable', 'scheduled', 'available')
    ));
  END IF;
  IF some_extend THEN
    PERFORM powertools.write_events_v1(changes);
    changes := NULL;
    outcomes := powertools.extend(outcomes, stopping);
  END IF;
  ended := powertools.apply_outcomes_v1(outcomes, stopping);
  IF cardinality(ended) IS DISTINCT FROM cardinality(asked) THEN
    PERFORM powertools.keep_untaken(asked);
  END IF;
  PERFORM powertools.move_on_v1(ended, stopping, changes);
END $$;
