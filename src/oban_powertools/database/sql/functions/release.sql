-- Releasing steps: references resolved, jobs inserted, queues woken, waits and nested workflows
-- started.
--
-- The functions look rows up by index; functions.py replaces the comment PLANNED ... by planner settings.
-- Planning takes most of the time of a small batch, so the functions that every batch runs plan once a session, and the
-- plan must stay right when a nearly empty table grows. So the lookup keys come from a subquery with a LIMIT that
-- limits nothing, which the planner estimates as one row: then no scan of a table, however small, looks cheaper than
-- the lookup. OFFSET 0 keeps a lookup a lookup. The sweep analyzes a table that grew many times over, which ends every
-- cached plan. The other functions plan at each call. A state is compared in CASE where rows are looked up one by one:
-- without statistics the planner expects state = 'pending' to be so rare that it would read all such rows first.

-- The meta of a step's job: its author's, and what the job runs for. Inlined.
CREATE OR REPLACE FUNCTION powertools.meta_of_job(
  meta jsonb, workflow_id bigint, workflow_name text, step text, of_position int, uid text, generation int, context jsonb
) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
  SELECT coalesce(meta, '{}') || jsonb_build_object(
    'workflow_id', workflow_id, 'workflow_name', workflow_name, 'step', step, 'position', of_position, 'uid', uid
  )
  || CASE generation WHEN 1 THEN '{}' ELSE jsonb_build_object('generation', generation) END
  || CASE context WHEN '{}' THEN '{}' ELSE jsonb_build_object('context', context) END
$$;

-- Wakes the producers of these queues (one entry per job) on every node. A producer that has just acknowledged jobs
-- fetches next anyway: its queue is left out as far as it has freed places.
CREATE OR REPLACE FUNCTION powertools.notify_queues(queues text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  fetching jsonb := nullif(current_setting('powertools.fetching', true), '')::jsonb;
BEGIN
  PERFORM powertools.notify_v1('public.oban_insert', json_build_object('queue', q.queue)::text)
  FROM (SELECT queue, count(*) AS jobs FROM unnest(queues) AS queue GROUP BY queue ORDER BY queue) AS q
  WHERE q.jobs > coalesce((fetching ->> q.queue)::int, 0);
END $$;

-- Subtracts the ended parents from each pending child's count and releases those that reach 0 and are not held: their
-- job, wait or workflow is inserted in this same commit. Args: one entry per edge, in any order; ended is subtracted
-- (1, or 0 to release roots); changes are the earlier changes, whose events are written first. Returns outcomes that
-- exist at once (an early signal, an empty map), to be settled by the caller, who holds the workflows.
-- One function, because separate ones would cost one more plan and call per batch.
CREATE OR REPLACE FUNCTION powertools.release_v1(
  workflow_ids bigint[], positions int[], ended int, changes powertools.change[] DEFAULT NULL
) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
DECLARE
  job_ids regclass := pg_get_serial_sequence('public.oban_jobs', 'id');
  wait_ids regclass := pg_get_serial_sequence('powertools.waits', 'id');
  child_ids regclass := pg_get_serial_sequence('powertools.workflows', 'id');
  woken text[];
  jobless int;
  others powertools.steps[];
  released powertools.change[];
BEGIN
  WITH moved AS (
    UPDATE powertools.steps s
    SET pending = s.pending - c.ended,
        state = CASE
          WHEN s.pending > c.ended OR s.held_until > now() THEN 'pending'
          WHEN s.kind = 'job' THEN 'available'
          WHEN s.kind = 'signal' THEN 'awaiting_signal'
          ELSE 'executing'
        END,
        job_id = CASE WHEN s.kind <> 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.job_id ELSE nextval(job_ids) END,
        wait_id = CASE WHEN s.kind <> 'signal' OR s.pending > c.ended OR s.held_until > now() THEN s.wait_id ELSE nextval(wait_ids) END,
        child_id = CASE WHEN s.kind <> 'map' OR s.pending > c.ended OR s.held_until > now() THEN s.child_id ELSE nextval(child_ids) END,
        released_at = CASE WHEN s.kind = 'job' OR s.pending > c.ended OR s.held_until > now() THEN s.released_at ELSE now() END
    FROM (
      SELECT e.workflow_id, e.position, count(*)::int * release_v1.ended AS ended
      FROM unnest(workflow_ids, positions) AS e (workflow_id, position)
      GROUP BY e.workflow_id, e.position
      ORDER BY e.workflow_id, e.position
      LIMIT cardinality(positions)
    ) AS c
    WHERE s.workflow_id = c.workflow_id AND s.position = c.position AND CASE s.state WHEN 'pending' THEN true END
    RETURNING s.*
  ), jobs AS (
    INSERT INTO public.oban_jobs (id, state, queue, worker, max_attempts, priority, args, meta, tags, scheduled_at)
    OVERRIDING SYSTEM VALUE
    SELECT
      m.job_id,
      (CASE WHEN d.due_at > now() THEN 'scheduled' ELSE 'available' END)::public.oban_job_state,
      m.queue, m.worker, m.max_attempts, m.priority, a.args,
      powertools.meta_of_job(m.meta, m.workflow_id, w.name, m.name, m.position, w.uid, m.generation, w.context),
      coalesce(m.tags, '{}'),
      timezone('UTC', greatest(d.due_at, now()))
    FROM moved m
    CROSS JOIN LATERAL (SELECT f.* FROM powertools.workflows f WHERE f.id = m.workflow_id OFFSET 0) AS w
    CROSS JOIN LATERAL (SELECT greatest(m.scheduled_at, now() + m.delay) AS due_at) AS d
    CROSS JOIN LATERAL (
      SELECT coalesce(m.args, powertools.resolve_args(m.workflow_id, m.template, NULL)) AS args OFFSET 0
    ) AS a
    WHERE m.state = 'available' AND a.args IS NOT NULL
    RETURNING queue, state
  )
  SELECT
    (SELECT array_agg(queue) FROM jobs WHERE state = 'available'),
    (SELECT count(*) FROM moved m WHERE m.state = 'available') - (SELECT count(*) FROM jobs),
    (SELECT array_agg(m::powertools.steps) FROM moved m WHERE m.state IN ('awaiting_signal', 'executing')),
    (SELECT array_agg(ROW (
      m.workflow_id, m.position,
      CASE m.state WHEN 'available' THEN 'released' WHEN 'awaiting_signal' THEN 'awaiting' WHEN 'executing' THEN 'started' END,
      NULL, NULL, NULL, NULL, NULL
    )::powertools.change ORDER BY m.workflow_id, m.position) FROM moved m WHERE m.state <> 'pending')
  INTO woken, jobless, others, released;
  PERFORM powertools.write_events_v1(changes || released);
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues(woken);
  END IF;
  IF others IS NULL AND jobless = 0 THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN jobless > 0 THEN powertools.oversized_args(workflow_ids, positions) END
    || powertools.register_waits(others)
    || powertools.start_nested(others)
    || powertools.expand_maps(others);
END $$;
