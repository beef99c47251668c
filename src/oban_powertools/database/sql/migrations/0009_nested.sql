-- Steps that run a workflow: nested ones, stored with their parent, and maps, whose items are steps of
-- a workflow made when the list is known. And steps that a running step adds. Locks: none to install.

-- Starts the stored workflows of released nested steps among these: the step was what their roots
-- still waited for. Returns what had its outcome at once, as has a workflow that somebody cancelled early.
CREATE FUNCTION powertools.start_nested_v1(steps powertools.steps[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
AS $$
DECLARE
  workflow_ids bigint[];
  roots int[];
  ended bigint[];
BEGIN
  SELECT array_agg(k.workflow_id), array_agg(k.position), array_agg(DISTINCT w.id) FILTER (WHERE w.open = 0)
  INTO workflow_ids, roots, ended
  FROM unnest(steps) AS s
  JOIN powertools.workflows w ON w.id = s.child_id
  JOIN powertools.steps k ON k.workflow_id = w.id AND k.depth = 0
  WHERE s.kind = 'workflow';
  IF roots IS NULL THEN
    RETURN NULL;
  END IF;
  UPDATE powertools.workflows w SET expires_at = clock_timestamp() + w.expires_in
  WHERE w.id = ANY (workflow_ids) AND w.expires_in IS NOT NULL AND w.open > 0;
  RETURN powertools.release_v1(workflow_ids, roots, 1)
    || CASE WHEN ended IS NOT NULL THEN powertools.nested_outcomes_v1(ended) END;
END $$;

-- Why a map cannot take this value as its list; NULL when it can. What the items refer to is counted once for each of them.
CREATE FUNCTION powertools.map_refusal_v1(s powertools.steps, list jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  most CONSTANT int := 100000;
  limit_each CONSTANT bigint := powertools.gathered_limit_v1();
  size CONSTANT bigint := CASE jsonb_typeof(list) WHEN 'array' THEN jsonb_array_length(list) END;
  shared bigint;
  items bigint;
BEGIN
  IF list IS NULL THEN
    RETURN format('the list to map comes to more than %s bytes', limit_each);
  ELSIF size IS NULL THEN
    RETURN format('the value to map is %s, expected a list', jsonb_typeof(list));
  ELSIF size > most THEN
    RETURN format('the list to map has %s items, at most %s are allowed', size, most);
  END IF;
  shared := octet_length(powertools.resolve_args_v1(s.workflow_id, s.item_template, NULL)::text);
  items := octet_length(list::text)
    * (SELECT count(*) FROM jsonb_array_elements(s.item_template) AS part WHERE part ->> 1 = 'item');
  IF shared IS NULL OR shared + items > limit_each AND EXISTS (
    SELECT FROM jsonb_array_elements(list) AS item
    WHERE powertools.resolve_args_v1(s.workflow_id, s.item_template, item) IS NULL
  ) THEN
    RETURN format('the args of an item come to more than %s bytes: pass where it is instead', limit_each);
  ELSIF size * shared + items > 16 * limit_each THEN
    RETURN format('the args of the %s items come to more than %s bytes together: pass where it is instead', size, 16 * limit_each);
  END IF;
  RETURN NULL;
END $$;

-- Makes the workflows of released maps among these: one step an item, in one statement for all. A list
-- without items has its outcome at once, and so has a map that cannot take its list.
CREATE FUNCTION powertools.expand_maps_v1(steps powertools.steps[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  expanded powertools.steps[];
  lists jsonb[];
  outcomes powertools.outcome[];
  workflow_ids bigint[];
  items int[];
BEGIN
  WITH given AS (
    SELECT s AS step, coalesce(s.args, powertools.resolve_args_v1(s.workflow_id, s.template, NULL)) -> 'over' AS list
    FROM unnest(steps) AS s
    WHERE s.kind = 'map'
  ), judged AS (
    SELECT g.*, powertools.map_refusal_v1(g.step, g.list) AS refusal FROM given g
  )
  SELECT array_agg(c.step) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(c.list) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(CASE
      WHEN c.refusal IS NULL THEN ROW (
        (c.step).workflow_id, (c.step).position, NULL, NULL, (c.step).child_id, 'completed', NULL, 1,
        '{"json": []}', NULL, NULL, NULL
      )::powertools.outcome
      ELSE powertools.failed_outcome_v1(c.step, c.refusal)
    END) FILTER (WHERE c.refusal IS NOT NULL OR c.list = '[]')
  INTO expanded, lists, outcomes
  FROM judged c;
  IF expanded IS NULL THEN
    RETURN outcomes;
  END IF;

  INSERT INTO powertools.workflows (
    id, name, total, open, context, tags, uid, root_id, parent_id, parent_position, max_failures
  )
  OVERRIDING SYSTEM VALUE
  SELECT s.child_id, w.name || '/' || s.name, jsonb_array_length(l.list), jsonb_array_length(l.list), w.context, w.tags,
    w.uid, w.root_id, w.id, s.position, s.max_failures
  FROM unnest(expanded) WITH ORDINALITY AS s
  JOIN powertools.workflows w ON w.id = s.workflow_id
  CROSS JOIN LATERAL (SELECT lists[s.ordinality] AS list) AS l;

  WITH inserted AS (
    INSERT INTO powertools.steps (
      workflow_id, position, pending, depth, name, worker, queue, effects, priority, max_attempts, tags, meta, delay, scheduled_at, args
    )
    SELECT s.child_id, i.place - 1, 0, 0, s.name || '[' || i.place - 1 || ']', s.worker, s.queue, s.effects, s.priority,
      s.max_attempts, s.tags, s.meta, s.delay, s.scheduled_at,
      powertools.resolve_args_v1(s.workflow_id, s.item_template, i.item)
    FROM unnest(expanded) WITH ORDINALITY AS s
    CROSS JOIN LATERAL jsonb_array_elements(lists[s.ordinality]) WITH ORDINALITY AS i (item, place)
    RETURNING workflow_id, position
  )
  SELECT array_agg(workflow_id), array_agg(position) INTO workflow_ids, items FROM inserted;
  RETURN outcomes || powertools.release_v1(workflow_ids, items, 0);
END $$;

-- What a completed job asks for beyond its outcome: to wait for a signal, or to add steps to its
-- workflow. Returns the outcomes that are left to apply. Neither happens in a workflow that is being
-- stopped, no wait begins for a step that was asked to stop, nor either for a step that no longer runs on the job. The caller holds the workflows.
CREATE FUNCTION powertools.extend_v1(outcomes powertools.outcome[], stopping bigint[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  o powertools.outcome;
  s powertools.steps;
  kept powertools.outcome[];
BEGIN
  FOREACH o IN ARRAY outcomes LOOP
    SELECT k.* INTO s FROM powertools.steps k
    WHERE k.workflow_id = o.workflow_id AND k.position = o.position AND k.state = 'available' AND k.job_id = o.job_id;
    IF o.state = 'awaiting_signal' AND (o.workflow_id = ANY (stopping) OR s.cancel_requested_at IS NOT NULL) THEN
      o.state := 'cancelled';
      kept := kept || o;
    ELSIF s.job_id IS NOT NULL AND o.state = 'awaiting_signal' THEN
      kept := kept || powertools.await_signal_v1(s, o);
    ELSIF s.job_id IS NOT NULL AND o.result ? 'append' AND o.workflow_id = ANY (stopping) IS NOT TRUE THEN
      kept := kept || powertools.append_steps_v1(s, o);
    ELSIF s.job_id IS NOT NULL THEN
      kept := kept || o;
    END IF;
  END LOOP;
  RETURN kept;
END $$;

-- The job's step waits from now on. Returns its outcome when the signal came first.
CREATE FUNCTION powertools.await_signal_v1(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome[]
LANGUAGE plpgsql
AS $$
DECLARE
  wanted jsonb := o.result -> 'await';
BEGIN
  -- A worker in another language may return what ours refuses.
  IF (
    length(wanted ->> 'signal') BETWEEN 1 AND 200 AND length(wanted ->> 'correlation_key') BETWEEN 1 AND 200
    AND coalesce((wanted ->> 'deadline')::float, 0) BETWEEN 0 AND 36525 * 86400.0
  ) IS NOT TRUE THEN
    o.state := 'discarded';
    o.result := NULL;
    o.error := jsonb_build_object('attempt', o.attempt, 'error',
      'wait refused: it needs a signal and a correlation key of 1 to 200 characters each, and a deadline of 0 to 100 years');
    RETURN ARRAY[o];
  END IF;
  INSERT INTO powertools.waits (workflow_id, position, generation, signal, correlation_key, deadline_at)
  VALUES (
    s.workflow_id, s.position, s.generation, wanted ->> 'signal', wanted ->> 'correlation_key',
    clock_timestamp() + make_interval(secs => (wanted ->> 'deadline')::float)
  )
  RETURNING id INTO s.wait_id;
  UPDATE powertools.steps k
  SET state = 'awaiting_signal', wait_id = s.wait_id, attempt = o.attempt, released_at = o.released_at,
      started_at = o.started_at
  WHERE k.workflow_id = s.workflow_id AND k.position = s.position;
  PERFORM powertools.write_events_v1(ARRAY[
    ROW (s.workflow_id, s.position, 'awaiting', NULL, NULL, NULL, NULL, NULL)::powertools.change
  ]);
  RETURN powertools.consume_signals_v1(ARRAY[s.wait_id]);
END $$;

-- Adds the steps a running step brought, behind it and each other. Their deps are places: 0 is the step
-- itself, 1 the first added one. A name that is taken fails the step; nothing is added then.
CREATE FUNCTION powertools.append_steps_v1(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  base int;
  added CONSTANT int := jsonb_array_length(o.result -> 'append');
  taken text;
BEGIN
  SELECT k.name INTO taken
  FROM jsonb_array_elements(o.result -> 'append') AS a (step)
  JOIN powertools.steps k ON k.workflow_id = s.workflow_id AND k.name = a.step ->> 'name'
  LIMIT 1;
  IF taken IS NOT NULL THEN
    o.state := 'discarded';
    o.result := NULL;
    o.error := jsonb_build_object('attempt', o.attempt, 'error', format('append refused: the workflow has a step %s already', taken));
    RETURN o;
  END IF;

  UPDATE powertools.workflows w SET total = w.total + added, open = w.open + added WHERE w.id = s.workflow_id
  RETURNING w.total - added - 1 INTO base;
  UPDATE powertools.steps k
  SET children = k.children || ARRAY(
        SELECT base + a.place FROM jsonb_to_recordset(o.result -> 'append') AS a (place int, parents int[])
        WHERE 0 = ANY (a.parents) ORDER BY a.place
      ),
      continue_children = k.continue_children || ARRAY(
        SELECT base + a.place FROM jsonb_to_recordset(o.result -> 'append') AS a (place int, continue_parents int[])
        WHERE 0 = ANY (a.continue_parents) ORDER BY a.place
      )
  WHERE k.workflow_id = s.workflow_id AND k.position = s.position;
  INSERT INTO powertools.steps (
    workflow_id, position, pending, depth, name, worker, queue, effects, priority, max_attempts, args, template, meta,
    tags, delay, scheduled_at, parents, continue_parents, children, continue_children, held_until, hold_reason
  )
  SELECT s.workflow_id, base + a.place, cardinality(a.parents) + cardinality(a.continue_parents), s.depth + a.depth,
    a.name, a.worker, a.queue, a.effects, a.priority, a.max_attempts, a.args,
    (
      SELECT jsonb_agg(CASE jsonb_typeof(t.part)
        WHEN 'string' THEN t.part
        ELSE jsonb_set(t.part, '{0}', CASE t.part -> 0 WHEN '0' THEN to_jsonb(s.position) ELSE to_jsonb(base + (t.part ->> 0)::int) END)
      END ORDER BY t.place)
      FROM jsonb_array_elements(a.template) WITH ORDINALITY AS t (part, place)
    ),
    a.meta, a.tags, make_interval(secs => a.delay), a.scheduled_at,
    ARRAY(SELECT CASE e WHEN 0 THEN s.position ELSE base + e END FROM unnest(a.parents) AS e),
    ARRAY(SELECT CASE e WHEN 0 THEN s.position ELSE base + e END FROM unnest(a.continue_parents) AS e),
    ARRAY(SELECT base + e FROM unnest(a.children) AS e),
    ARRAY(SELECT base + e FROM unnest(a.continue_children) AS e),
    s.held_until, s.hold_reason
  FROM jsonb_to_recordset(o.result -> 'append') AS a (
    place int, depth int, name text, worker text, queue text, effects text, priority int, max_attempts int, args jsonb,
    template jsonb, meta jsonb, tags text[], delay float, scheduled_at timestamptz, parents int[], continue_parents int[],
    children int[], continue_children int[]
  );
  RETURN o;
END $$;
