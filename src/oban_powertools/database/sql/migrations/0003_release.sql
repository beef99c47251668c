-- Releasing steps: references resolved, jobs inserted, queues woken, waits and nested workflows
-- started. Locks: none to install.
--
-- The functions look rows up by index; PLANNED ... stands for the planner's settings, which schema.py has and puts in.
-- Planning is most of the time of a small batch, so the functions that every batch runs plan once a session, and the
-- plan must be right when a table that was nearly empty has grown: what
-- rows are looked up by comes from a subquery with a LIMIT that limits nothing, which the planner takes for one
-- row, so that no scan of a whole table, however small, looks cheaper than the lookup; OFFSET 0 keeps a
-- lookup a lookup; and the sweep has a table that grew many times over analyzed, which ends every cached plan.
-- The others plan at each call. A state is asked by CASE where rows are looked up one by one: without statistics the
-- planner takes state = 'pending' for so rare that it would read all such rows first.

-- What many payloads may come to together, in bytes: a step's resolved args, the results of a map or of a nested
-- workflow. jsonb holds four times as much, and settle has it in memory several times over.
CREATE FUNCTION powertools.gathered_limit_v1() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 67108864; END $$;

-- Args with each reference replaced by the parent's result or error (or, inside a map, by the item),
-- null where there is none. Linear in the size of the outcome, whatever the number of references. NULL when they
-- come to more than is allowed.
CREATE FUNCTION powertools.resolve_args_v1(of_workflow_id bigint, template jsonb, item jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  resolved CONSTANT text := (
  SELECT string_agg(
    CASE jsonb_typeof(part)
      WHEN 'string' THEN part #>> '{}'
      ELSE coalesce(CASE part ->> 1 WHEN 'item' THEN
        (item #> ARRAY(SELECT jsonb_array_elements_text(part -> 2)))::text
      ELSE (
        SELECT (
          CASE part ->> 1 WHEN 'result' THEN p.result ELSE p.error END
          #> ARRAY(SELECT jsonb_array_elements_text(part -> 2))
        )::text
        FROM powertools.steps p
        WHERE p.workflow_id = of_workflow_id AND p.position = (part ->> 0)::int
      ) END, 'null')
    END, '' ORDER BY place)
  FROM jsonb_array_elements(template) WITH ORDINALITY AS t (part, place)
  );
BEGIN
  RETURN CASE WHEN octet_length(resolved) <= powertools.gathered_limit_v1() THEN resolved::jsonb END;
END $$;

-- Wakes the producers of these queues (one entry a job) on every node. A producer that has just
-- acknowledged jobs fetches next by itself: its queue is left out while it freed as many places.
CREATE FUNCTION powertools.notify_queues_v1(queues text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  fetching jsonb := nullif(current_setting('powertools.fetching', true), '')::jsonb;
BEGIN
  PERFORM powertools.notify_v1('public.oban_insert', json_build_object('queue', q.queue)::text)
  FROM (SELECT queue, count(*) AS jobs FROM unnest(queues) AS queue GROUP BY queue ORDER BY queue) AS q
  WHERE q.jobs > coalesce((fetching ->> q.queue)::int, 0);
END $$;

-- The outcome of what a step ran on, to be settled: exactly one of job_id, wait_id and child_id says
-- what that was. The step believes it only while it runs on that very job, wait or workflow.
CREATE TYPE powertools.outcome AS (
  workflow_id bigint,
  position int,
  job_id bigint,
  wait_id bigint,
  child_id bigint,
  state text,
  cause text,
  attempt int,
  -- {"json": value}, {"await": wait} or {"json": value, "append": steps}
  result jsonb,
  error jsonb,
  released_at timestamptz,
  started_at timestamptz
);

CREATE FUNCTION powertools.failed_outcome_v1(s powertools.steps, message text) RETURNS powertools.outcome
LANGUAGE sql STABLE
AS $$
  SELECT ROW (
    s.workflow_id, s.position, s.job_id, s.wait_id, s.child_id, 'discarded', NULL, s.attempt, NULL,
    jsonb_build_object('error', message), s.released_at, s.started_at
  )::powertools.outcome
$$;

-- The outcomes of those of these steps that were released and have no job, because their args came to more than is allowed.
CREATE FUNCTION powertools.unresolved_v1(workflow_ids bigint[], positions int[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql STABLE PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN (
    SELECT array_agg(powertools.failed_outcome_v1(s, format(
      'its args come to more than %s bytes with what they refer to: pass where it is instead', powertools.gathered_limit_v1()
    )))
    FROM (SELECT DISTINCT e.* FROM unnest(workflow_ids, positions) AS e (workflow_id, position)) AS e
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
    ) AS s
    WHERE s.state = 'available' AND s.template IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = s.job_id)
  );
END $$;

-- Takes the ended parents off each pending child's count and releases those that reach 0 and are not
-- held: what they run on exists in this same commit. Args: one entry an edge end, in any order;
-- ended is what each takes off (1, or 0 to release roots); changes, what led to it, is written down first. Returns what had its outcome at once (an
-- early signal, an empty map), to be settled by the caller, who holds the workflows.
CREATE FUNCTION powertools.release_v1(
  workflow_ids bigint[], positions int[], ended int, changes powertools.change[] DEFAULT NULL
) RETURNS powertools.outcome[]
LANGUAGE plpgsql
PLANNED ONCE
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
      coalesce(m.meta, '{}') || jsonb_build_object(
        'workflow_id', m.workflow_id, 'workflow_name', w.name, 'step', m.name, 'position', m.position, 'uid', w.uid
      )
      || CASE m.generation WHEN 1 THEN '{}' ELSE jsonb_build_object('generation', m.generation) END
      || CASE w.context WHEN '{}' THEN '{}' ELSE jsonb_build_object('context', w.context) END,
      coalesce(m.tags, '{}'),
      timezone('UTC', greatest(d.due_at, now()))
    FROM moved m
    CROSS JOIN LATERAL (SELECT f.* FROM powertools.workflows f WHERE f.id = m.workflow_id OFFSET 0) AS w
    CROSS JOIN LATERAL (SELECT greatest(m.scheduled_at, now() + m.delay) AS due_at) AS d
    CROSS JOIN LATERAL (
      SELECT coalesce(m.args, powertools.resolve_args_v1(m.workflow_id, m.template, NULL)) AS args OFFSET 0
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
      CASE m.state WHEN 'available' THEN 'released' WHEN 'awaiting_signal' THEN 'awaiting' ELSE 'started' END,
      NULL, NULL, NULL, NULL, NULL
    )::powertools.change ORDER BY m.workflow_id, m.position) FROM moved m WHERE m.state <> 'pending')
  INTO woken, jobless, others, released;
  PERFORM powertools.write_events_v1(changes || released);
  IF woken IS NOT NULL THEN
    PERFORM powertools.notify_queues_v1(woken);
  END IF;
  IF others IS NULL AND jobless = 0 THEN
    RETURN NULL;
  END IF;
  RETURN CASE WHEN jobless > 0 THEN powertools.unresolved_v1(workflow_ids, positions) END
    || powertools.register_waits_v1(others)
    || powertools.start_nested_v1(others)
    || powertools.expand_maps_v1(others);
END $$;
