-- Steps that a running step adds.

-- Adds the steps that a running step appended. Their deps are places: 0 is the step itself, 1 the first appended one. A
-- name that is already used fails the step; then nothing is added.
CREATE OR REPLACE FUNCTION powertools.append_steps(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome
LANGUAGE plpgsql
-- PLANNED EACH TIME
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
