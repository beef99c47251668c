-- The common batch of settle in one statement: steps whose jobs completed, and what follows from them.

-- Gives these steps, whose jobs completed, their outcomes, and moves their workflows on: what apply_outcomes_v1,
-- release_v1 and write_events_v1 do one after another, in one statement, as starting a statement costs more than a row.
-- Only what another step's result is needed for comes after it: the args that refer to it, a wait, a nested workflow, the
-- end of a workflow. Args: outcomes, each of another job; their job_ids. The caller holds the workflows, none of which is
-- being stopped. Returns false, and does nothing, when so many steps depend on these that their events need several
-- batches.
-- Long: one statement, whose parts share what they read.
CREATE OR REPLACE FUNCTION powertools.complete_steps(outcomes powertools.outcome[], job_ids bigint[]) RETURNS bool
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  most CONSTANT int := 10000;
  batch bigint := nextval('powertools.event_batches_id_seq');
  fits bool;
  taken int;
  wrote bool;
  woken text[];
  referring_in bigint[];
  referring int[];
  others_in bigint[];
  others int[];
  finished bigint[];
  finished_failed bigint[];
  called_back bigint[];
  nested bigint[];
  waiting powertools.outcome[];
BEGIN
  WITH edges AS (
    SELECT o.workflow_id, c.child, count(*)::int AS ended
    FROM (SELECT u.workflow_id, u.position, u.job_id FROM unnest(outcomes) AS u LIMIT cardinality(outcomes)) AS o
    CROSS JOIN LATERAL (
      SELECT s.children || s.continue_children AS children FROM powertools.steps s
      WHERE s.workflow_id = o.workflow_id AND s.position = o.position
        AND CASE s.state WHEN 'available' THEN s.job_id = o.job_id END
      OFFSET 0
    ) AS s
    CROSS JOIN LATERAL unnest(s.children) AS c (child)
    GROUP BY o.workflow_id, c.child
    ORDER BY o.workflow_id, c.child
  ), few AS (
    SELECT count(*) <= most AS enough FROM edges
  ), moved AS (
    UPDATE powertools.steps s
    SET pending = s.pending - coalesce(c.ended, 0),
        state = CASE
          WHEN c.ended IS NULL THEN 'completed'
          WHEN s.pending > c.ended OR s.held_until > now() THEN 'pending'
          WHEN s.kind = 'job' THEN 'available'
          WHEN s.kind = 'signal' THEN 'awaiting_signal'
          ELSE 'executing'
        END,
        cause = CASE
          WHEN c.ended IS NOT NULL THEN s.cause
          WHEN s.cancel_requested_at IS NOT NULL THEN 'completed_after_cancel_request'
        END,
        job_id = CASE
          WHEN c.ended IS NULL OR s.kind <> 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.job_id
          ELSE nextval((SELECT pg_get_serial_sequence('public.oban_jobs', 'id'))::regclass)
        END,
        wait_id = CASE
          WHEN c.ended IS NULL OR s.kind <> 'signal' OR s.pending > c.ended OR s.held_until > now() THEN s.wait_id
          ELSE nextval((SELECT pg_get_serial_sequence('powertools.waits', 'id'))::regclass)
        END,
        child_id = CASE
          WHEN c.ended IS NULL OR s.kind <> 'map' OR s.pending > c.ended OR s.held_until > now() THEN s.child_id
          ELSE nextval((SELECT pg_get_serial_sequence('powertools.workflows', 'id'))::regclass)
        END,
        attempt = coalesce(c.attempt, s.attempt),
        result = c.result -> 'json',
        error = CASE WHEN c.ended IS NOT NULL THEN s.error END,
        released_at = CASE
          WHEN c.ended IS NULL THEN coalesce(c.released_at, s.released_at)
          WHEN s.kind = 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.released_at
          ELSE now()
        END,
        started_at = coalesce(c.started_at, s.started_at),
        held_until = CASE WHEN c.ended IS NOT NULL THEN s.held_until END,
        hold_reason = CASE WHEN c.ended IS NOT NULL THEN s.hold_reason END,
        finished_at = CASE WHEN c.ended IS NULL THEN clock_timestamp() ELSE s.finished_at END
    FROM (
      SELECT c.*
      FROM (
        SELECT o.workflow_id, o.position, o.job_id, o.attempt, o.result, o.released_at, o.started_at, NULL::int AS ended
        FROM unnest(outcomes) AS o
        UNION ALL
        SELECT e.workflow_id, e.child, NULL, NULL, NULL, NULL, NULL, e.ended FROM edges e
      ) AS c
      WHERE (SELECT f.enough FROM few f)
      LIMIT cardinality(outcomes) + most
    ) AS c
    WHERE s.workflow_id = c.workflow_id AND s.position = c.position
      AND CASE s.state WHEN 'available' THEN s.job_id = c.job_id WHEN 'pending' THEN c.ended IS NOT NULL END
    RETURNING s.workflow_id, s.position, s.state, s.job_id, s.attempt, s.result IS NOT NULL AS has_result, s.queue, s.worker,
      s.max_attempts, s.priority, s.args, s.meta, s.name, s.generation, s.tags, greatest(s.scheduled_at, now() + s.delay) AS due_at
  ), jobs AS (
    INSERT INTO public.oban_jobs (id, state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    OVERRIDING SYSTEM VALUE
    SELECT
      m.job_id,
      (CASE WHEN m.due_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      m.queue, m.worker, m.max_attempts, m.priority, m.args,
      powertools.meta_of_job(m.meta, m.workflow_id, w.name, m.name, m.position, w.uid, m.generation, w.context),
      coalesce(m.tags, '{}'),
      timezone('UTC', greatest(m.due_at, now()))
    FROM moved m
    CROSS JOIN LATERAL (SELECT f.name, f.uid, f.context FROM powertools.workflows f WHERE f.id = m.workflow_id OFFSET 0) AS w
    WHERE m.state = 'available' AND m.args IS NOT NULL
    RETURNING queue, state
  ), starts AS (
    DELETE FROM powertools.deferred_starts d
    WHERE d.job_id = ANY (job_ids) AND (SELECT f.enough FROM few f)
    RETURNING d.*
  ), written AS (
    INSERT INTO powertools.events (workflow_id, number, position, batch_id, place, at, job_id, attempt, has_result, change, state)
    SELECT c.workflow_id,
      -- as in write_events_v1
      c.nth + max(CASE WHEN c.nth = 1 THEN coalesce((
        SELECT e.number FROM powertools.events e WHERE e.workflow_id = c.workflow_id ORDER BY e.number DESC LIMIT 1
      ), 0) END) OVER (PARTITION BY c.workflow_id),
      c.position, batch, c.place, coalesce(c.at, clock_timestamp()), c.job_id, c.attempt, c.has_result, c.change, c.state
    FROM (
      SELECT g.*, row_number() OVER (PARTITION BY g.workflow_id ORDER BY g.rank, g.at, g.position) AS nth,
        row_number() OVER (ORDER BY g.workflow_id, g.rank, g.at, g.position) AS place
      FROM (
        SELECT d.workflow_id, d.position, 1 AS rank, d.at, d.job_id, d.attempt, false AS has_result, 'started' AS change,
          'executing' AS state
        FROM starts d
        CROSS JOIN LATERAL (
          SELECT FROM powertools.steps s
          WHERE s.workflow_id = d.workflow_id AND s.position = d.position
            AND CASE s.state WHEN 'available' THEN s.job_id = d.job_id END
          OFFSET 0
        ) AS its_own
        UNION ALL
        SELECT m.workflow_id, m.position, CASE WHEN m.state = 'completed' THEN 2 ELSE 3 END, NULL, m.job_id, m.attempt, m.has_result,
          CASE m.state
            WHEN 'completed' THEN 'completed'
            WHEN 'available' THEN 'released'
            WHEN 'awaiting_signal' THEN 'awaiting'
            WHEN 'executing' THEN 'started'
          END,
          CASE WHEN m.state = 'available' AND m.due_at > now() THEN 'scheduled' ELSE m.state END
        FROM moved m WHERE m.state <> 'pending'
      ) AS g
    ) AS c
    RETURNING workflow_id, number
  ), batches AS (
    INSERT INTO powertools.event_batches (id, events, workflow_ids, first_numbers, last_numbers)
    OVERRIDING SYSTEM VALUE
    SELECT batch, sum(n.events), array_agg(n.workflow_id), array_agg(n.first), array_agg(n.last)
    FROM (
      SELECT r.workflow_id, count(*) AS events, min(r.number) AS first, max(r.number) AS last
      FROM written r GROUP BY r.workflow_id
    ) AS n
    HAVING count(*) > 0
    RETURNING true
  ), counted AS (
    UPDATE powertools.workflows w
    SET open = w.open - c.ended,
        state = CASE
          WHEN w.open > c.ended THEN w.state
          WHEN w.stopped > 0 THEN CASE WHEN w.expired_at IS NULL THEN 'cancelled' ELSE 'expired' END
          WHEN w.failed > 0 THEN 'failed'
          ELSE 'completed'
        END,
        finished_at = CASE WHEN w.open = c.ended THEN clock_timestamp() END
    FROM (
      SELECT m.workflow_id, count(*)::int AS ended FROM moved m WHERE m.state = 'completed' GROUP BY m.workflow_id
      LIMIT cardinality(outcomes)
    ) AS c
    WHERE w.id = c.workflow_id
    RETURNING w.id, w.open, w.failed, w.on_finished IS NOT NULL AS calls_back, w.parent_id IS NOT NULL AS is_nested
  )
  SELECT (SELECT f.enough FROM few f), (SELECT true FROM batches),
    (SELECT array_agg(queue) FROM jobs WHERE state = 'available'), m.*, w.*
  INTO fits, wrote, woken, taken, referring_in, referring, others_in, others, finished, finished_failed, called_back, nested
  FROM (
    SELECT count(*) FILTER (WHERE m.state = 'completed'),
      array_agg(m.workflow_id) FILTER (WHERE m.state = 'available' AND m.args IS NULL),
      array_agg(m.position) FILTER (WHERE m.state = 'available' AND m.args IS NULL),
      array_agg(m.workflow_id) FILTER (WHERE m.state IN ('awaiting_signal', 'executing')),
      array_agg(m.position) FILTER (WHERE m.state IN ('awaiting_signal', 'executing'))
    FROM moved m
  ) AS m
  CROSS JOIN (
    SELECT array_agg(c.id), array_agg(c.id) FILTER (WHERE c.failed > 0), array_agg(c.id) FILTER (WHERE c.calls_back),
      array_agg(c.id) FILTER (WHERE c.is_nested)
    FROM counted c WHERE c.open = 0
  ) AS w;
  IF NOT fits THEN
    RETURN false;
  END IF;
  IF taken < cardinality(outcomes) THEN
    PERFORM powertools.keep_untaken(outcomes);
  END IF;
  IF wrote THEN
    PERFORM powertools.notify_v1('powertools.events', '');
  END IF;
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  IF referring IS NOT NULL THEN
    waiting := powertools.insert_referring_jobs(referring_in, referring);
  END IF;
  IF others IS NOT NULL THEN
    waiting := waiting || powertools.start_others(others_in, others);
  END IF;
  IF finished IS NOT NULL THEN
    waiting := waiting || powertools.end_workflows(finished, finished_failed, called_back, nested);
  END IF;
  IF waiting IS NOT NULL THEN
    PERFORM powertools.move_on_v1(powertools.apply_outcomes_v1(waiting, NULL), NULL);
  END IF;
  RETURN true;
END $$;

-- Inserts the jobs of these steps, which were released and refer to the results of others, and wakes their queues.
-- Returns the outcomes of those that have none, as their args exceed the limit.
CREATE OR REPLACE FUNCTION powertools.insert_referring_jobs(workflow_ids bigint[], positions int[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  woken text[];
  inserted int;
BEGIN
  WITH jobs AS (
    INSERT INTO public.oban_jobs (id, state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    OVERRIDING SYSTEM VALUE
    SELECT
      s.job_id,
      (CASE WHEN s.due_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      s.queue, s.worker, s.max_attempts, s.priority, a.args,
      powertools.meta_of_job(s.meta, e.workflow_id, w.name, s.name, e.position, w.uid, s.generation, w.context),
      coalesce(s.tags, '{}'),
      timezone('UTC', greatest(s.due_at, now()))
    FROM (
      SELECT * FROM unnest(workflow_ids, positions) AS e (workflow_id, position)
      ORDER BY e.workflow_id, e.position LIMIT cardinality(positions)
    ) AS e
    CROSS JOIN LATERAL (
      SELECT s.job_id, s.queue, s.worker, s.max_attempts, s.priority, s.template, s.meta, s.name, s.generation, s.tags,
        greatest(s.scheduled_at, now() + s.delay) AS due_at
      FROM powertools.steps s WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
    ) AS s
    CROSS JOIN LATERAL (SELECT f.name, f.uid, f.context FROM powertools.workflows f WHERE f.id = e.workflow_id OFFSET 0) AS w
    CROSS JOIN LATERAL (SELECT powertools.resolve_args(e.workflow_id, s.template, NULL) AS args OFFSET 0) AS a
    WHERE a.args IS NOT NULL
    RETURNING queue, state
  )
  SELECT array_agg(j.queue) FILTER (WHERE j.state = 'available'), count(*) INTO woken, inserted FROM jobs j;
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  RETURN CASE WHEN inserted < cardinality(positions) THEN powertools.oversized_args(workflow_ids, positions) END;
END $$;

-- Starts these released steps that run no job: their waits, nested workflows and maps. Returns the outcomes that exist at
-- once, as release_v1.
CREATE OR REPLACE FUNCTION powertools.start_others(workflow_ids bigint[], positions int[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  others CONSTANT powertools.steps[] := ARRAY(
    SELECT s
    FROM (SELECT * FROM unnest(workflow_ids, positions) AS e (workflow_id, position) LIMIT cardinality(positions)) AS e
    JOIN powertools.steps s ON s.workflow_id = e.workflow_id AND s.position = e.position
  );
BEGIN
  RETURN powertools.register_waits(others) || powertools.start_nested(others) || powertools.expand_maps(others);
END $$;
