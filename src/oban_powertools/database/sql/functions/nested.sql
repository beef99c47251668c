-- Steps that run a workflow: nested ones, stored with their parent, and maps, whose items are steps of
-- a workflow made when the list is known. And steps that a running step adds.

-- The outcomes of the steps that ran these ended workflows: the results as an object, or as an ordered list for a map;
-- else a failure, also when the results exceed the limit of one step.
CREATE OR REPLACE FUNCTION powertools.nested_outcomes(workflow_ids bigint[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  SELECT array_agg(ROW (
    w.parent_id, w.parent_position, NULL, NULL, w.id,
    CASE
      WHEN n.completed THEN 'completed'
      WHEN w.state IN ('cancelled', 'expired') THEN w.state
      ELSE 'discarded'
    END,
    CASE
      WHEN n.completed AND (p.expired_at IS NOT NULL OR p.cancel_requested_at IS NOT NULL) THEN 'completed_after_cancel_request'
      WHEN n.completed THEN NULL
      WHEN p.expired_at IS NOT NULL THEN 'workflow_expired'
      WHEN p.cancel_requested_at IS NOT NULL THEN 'cancel_requested'
    END,
    1,
    CASE WHEN n.completed THEN jsonb_build_object('json', (
      SELECT CASE
        WHEN w.max_failures IS NULL THEN coalesce(jsonb_object_agg(s.name, s.result) FILTER (WHERE s.state = 'completed'), '{}')
        -- a step that an item appended is not an item
        ELSE jsonb_agg(s.result ORDER BY s.position) FILTER (WHERE s.depth = 0)
      END
      FROM powertools.steps s WHERE s.workflow_id = w.id
    )) END,
    CASE WHEN NOT n.completed THEN jsonb_build_object('workflow_id', w.id, 'error', CASE
      WHEN g.size > powertools.gathered_limit() THEN format(
        'the results of workflow %s come to %s bytes, at most %s are allowed: return where they are instead',
        w.id, g.size, powertools.gathered_limit()
      )
      ELSE concat_ws(', ', format('workflow %s %s', w.id, w.state), powertools.spelled_ends(w))
    END) END,
    w.inserted_at, w.inserted_at
  )::powertools.outcome)
  INTO outcomes
  FROM powertools.workflows w
  JOIN powertools.workflows p ON p.id = w.parent_id
  CROSS JOIN LATERAL (
    -- the size of an uncompressed value is known without reading it
    SELECT sum(CASE WHEN pg_column_compression(s.result) IS NULL THEN pg_column_size(s.result) ELSE pg_column_size(s.result || '{}') END) AS size
    FROM powertools.steps s
    WHERE s.workflow_id = w.id AND (w.state = 'completed' OR w.failed <= w.max_failures AND w.stopped = 0)
  ) AS g
  CROSS JOIN LATERAL (
    SELECT (w.state = 'completed' OR coalesce(w.failed <= w.max_failures, false) AND w.stopped = 0)
      AND coalesce(g.size, 0) <= powertools.gathered_limit() AS completed
  ) AS n
  WHERE w.id = ANY (workflow_ids);
  RETURN outcomes;
END $$;

-- Starts the stored workflows of released nested steps among these: their roots only waited for the step. Returns
-- outcomes that exist at once, as for a workflow that was cancelled before.
CREATE OR REPLACE FUNCTION powertools.start_nested(steps powertools.steps[]) RETURNS powertools.outcome[]
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
    || CASE WHEN ended IS NOT NULL THEN powertools.nested_outcomes(ended) END;
END $$;

-- Why a map cannot take this value as its list; NULL when it can. What items refer to counts once for each item.
CREATE OR REPLACE FUNCTION powertools.map_refusal(s powertools.steps, list jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  most CONSTANT int := 100000;
  limit_each CONSTANT bigint := powertools.gathered_limit();
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
  shared := octet_length(powertools.resolve_args(s.workflow_id, s.item_template, NULL)::text);
  items := octet_length(list::text)
    * (SELECT count(*) FROM jsonb_array_elements(s.item_template) AS part WHERE part ->> 1 = 'item');
  IF shared IS NULL OR shared + items > limit_each AND EXISTS (
    SELECT FROM jsonb_array_elements(list) AS item
    WHERE powertools.resolve_args(s.workflow_id, s.item_template, item) IS NULL
  ) THEN
    RETURN format('the args of an item come to more than %s bytes: pass where it is instead', limit_each);
  ELSIF size * shared + items > 16 * limit_each THEN
    RETURN format('the args of the %s items come to more than %s bytes together: pass where it is instead', size, 16 * limit_each);
  END IF;
  RETURN NULL;
END $$;

-- Inserts the workflows of released maps among these: one step per item, in one statement for all. An empty list has
-- its outcome at once, and so has a map that cannot take its list.
CREATE OR REPLACE FUNCTION powertools.expand_maps(steps powertools.steps[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  expanded powertools.steps[];
  lists jsonb[];
  outcomes powertools.outcome[];
  workflow_ids bigint[];
  items int[];
BEGIN
  WITH given AS (
    SELECT s AS step, coalesce(s.args, powertools.resolve_args(s.workflow_id, s.template, NULL)) -> 'over' AS list
    FROM unnest(steps) AS s
    WHERE s.kind = 'map'
  ), judged AS (
    SELECT g.*, powertools.map_refusal(g.step, g.list) AS refusal FROM given g
  )
  SELECT array_agg(c.step) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(c.list) FILTER (WHERE c.refusal IS NULL AND c.list <> '[]'),
    array_agg(CASE
      WHEN c.refusal IS NULL THEN ROW (
        (c.step).workflow_id, (c.step).position, NULL, NULL, (c.step).child_id, 'completed', NULL, 1,
        '{"json": []}', NULL, NULL, NULL
      )::powertools.outcome
      ELSE powertools.failed_outcome(c.step, c.refusal)
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
      powertools.resolve_args(s.workflow_id, s.item_template, i.item)
    FROM unnest(expanded) WITH ORDINALITY AS s
    CROSS JOIN LATERAL jsonb_array_elements(lists[s.ordinality]) WITH ORDINALITY AS i (item, place)
    RETURNING workflow_id, position
  )
  SELECT array_agg(workflow_id), array_agg(position) INTO workflow_ids, items FROM inserted;
  RETURN outcomes || powertools.release_v1(workflow_ids, items, 0);
END $$;

-- Carries out what a completed job requests besides its outcome: to wait for a signal, or to append steps. Returns the
-- outcomes that remain to be applied. Neither happens in a workflow that is being stopped or for a step that no longer
-- runs on the job, and no wait begins for a step that was asked to stop. The caller holds the workflows.
CREATE OR REPLACE FUNCTION powertools.extend(outcomes powertools.outcome[], stopping bigint[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED EACH TIME
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
      kept := kept || powertools.await_signal(s, o);
    ELSIF s.job_id IS NOT NULL AND o.result ? 'append' AND o.workflow_id = ANY (stopping) IS NOT TRUE THEN
      kept := kept || powertools.append_steps(s, o);
    ELSIF s.job_id IS NOT NULL THEN
      kept := kept || o;
    END IF;
  END LOOP;
  RETURN kept;
END $$;
