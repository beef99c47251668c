-- Releasing steps: references resolved, jobs inserted, queues woken. Locks: none to install.
--
-- The functions force index lookups: their plans are cached, perhaps made while a table was empty.

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
