-- Finding workflows: by their own columns, by their steps, by the operator's word. Newest first, in pages.
--
-- A common value is found among the newest workflows, so these are read first. A value that is not found often enough
-- there is rare, and an index finds the rest. So a search reads some thousand rows at most, whatever the size of the
-- table.

-- The words of a text, as the index of errors has them.
CREATE OR REPLACE FUNCTION powertools.words_of(said text) RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
  SELECT array_remove(regexp_split_to_array(lower(said), '[^[:alnum:]]+'), '')
$$;

-- Workflows with a step whose last error has all these words or beginnings of words: of steps that ended, and of jobs
-- that are to be tried again (the 5,000 that are due first).
CREATE OR REPLACE FUNCTION powertools.ids_by_error(words text[]) RETURNS SETOF bigint
LANGUAGE sql STABLE
AS $$
  SELECT s.workflow_id
  FROM powertools.steps s
  WHERE s.error IS NOT NULL AND cardinality(words) > 0 AND to_tsvector('simple', regexp_replace(
    left(coalesce(s.error ->> 'class', '') || ' ' || coalesce(s.error ->> 'text', s.error ->> 'error', ''), 2500), '[^[:alnum:]]+', ' ', 'g'
  )) @@ to_tsquery('simple', array_to_string(words, ':* & ') || ':*')
  UNION
  SELECT powertools.workflow_of_v1(j.meta)
  FROM (
    SELECT j.meta, j.errors -> -1 AS error FROM public.oban_jobs j WHERE j.state = 'retryable' ORDER BY j.scheduled_at LIMIT 5000
  ) AS j
  WHERE cardinality(words) > 0 AND j.meta ? 'position' AND concat(
    j.error ->> 'class', ' ', coalesce(j.error ->> 'text', j.error ->> 'error')
  ) ILIKE ALL (ARRAY(SELECT '%' || w || '%' FROM unnest(words) AS w))
$$;

-- Unfinished workflows that may have this word, found by jobs, faults and incidents, with their whole families: a
-- workflow takes its word from its steps, and from what it waits for. No index finds what only a lock blocks: while a session
-- holds one, the newest 20,000 unfinished workflows and 5,000 jobs of each state are searched. NULL: too many, or a word that any
-- workflow may have. Long: a place for each thing that gives a word.
CREATE OR REPLACE FUNCTION powertools.ids_by_word(of_word text) RETURNS bigint[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  most CONSTANT int := 5000;
  blocked CONSTANT bool := of_word = 'Blocked';
  review CONSTANT bool := of_word = 'Needs Review';
  hit bigint[];
  holders CONSTANT xid[] := CASE WHEN of_word = 'Blocked' THEN ARRAY(SELECT h.xid FROM powertools.holding_sessions() h) ELSE '{}' END;
  locks CONSTANT bool := holders <> '{}';
BEGIN
  IF of_word NOT IN ('Needs Review', 'Blocked', 'Running') THEN
    RETURN NULL;
  END IF;
  WITH RECURSIVE queues (state, queue) AS (
    (
      SELECT s.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = s.state ORDER BY j.queue LIMIT 1)
      FROM unnest('{available,scheduled,retryable}'::public.oban_job_state[]) AS s (state) WHERE blocked
    )
    UNION ALL
    SELECT q.state, (SELECT j.queue FROM public.oban_jobs j WHERE j.state = q.state AND j.queue > q.queue ORDER BY j.queue LIMIT 1)
    FROM queues q WHERE q.queue IS NOT NULL
  ), named AS MATERIALIZED (
    SELECT q.state, q.queue FROM queues q WHERE q.queue IS NOT NULL LIMIT 1000
  ), closed AS MATERIALIZED (
    SELECT f.queue FROM powertools.queue_facts_v1(ARRAY(SELECT DISTINCT n.queue FROM named n)) AS f WHERE f.executors = f.paused
  ), jobs AS (
    (SELECT j.meta FROM public.oban_jobs j WHERE NOT review AND j.state = 'executing' LIMIT most)
    UNION ALL
    (SELECT j.meta FROM public.oban_jobs j WHERE review AND j.state = 'suspended' LIMIT most)
    UNION ALL
    SELECT j.meta
    FROM named n
    JOIN closed c ON c.queue = n.queue
    CROSS JOIN LATERAL (SELECT j.meta FROM public.oban_jobs j WHERE j.state = n.state AND j.queue = n.queue LIMIT most) AS j
    UNION ALL
    SELECT j.meta FROM (
      (SELECT j.* FROM public.oban_jobs j WHERE review AND j.state = 'retryable' LIMIT most)
      UNION ALL
      (SELECT j.* FROM public.oban_jobs j WHERE review AND j.state = 'available' LIMIT most)
    ) AS j
    WHERE powertools.is_unimportable(j.errors -> -1) OR j.state = 'available' AND j.attempt >= j.max_attempts
    UNION ALL
    SELECT j.meta FROM unnest('{available,scheduled,suspended,executing,retryable}'::public.oban_job_state[]) AS s (state)
    CROSS JOIN LATERAL (SELECT j.meta, j.xmax FROM public.oban_jobs j WHERE locks AND j.state = s.state LIMIT most) AS j
    WHERE j.xmax = ANY (holders)
  )
  SELECT array_agg(DISTINCT h.id) INTO hit FROM (
    SELECT powertools.workflow_of_v1(j.meta) AS id FROM jobs j WHERE j.meta ? 'position'
    UNION ALL
    SELECT f.workflow_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
    UNION ALL
    SELECT i.subject_id::bigint FROM powertools.incidents i
    WHERE i.class = 'workflow_stuck' AND i.state <> 'resolved' AND i.subject_type = 'workflow'
    UNION ALL
    SELECT w.id FROM (
      SELECT w.id, w.xmax FROM powertools.workflows w
      WHERE locks AND w.state IN ('running', 'cancel_requested') ORDER BY w.id DESC LIMIT 20000
    ) AS w
    WHERE w.xmax = ANY (holders)
  ) AS h;
  IF cardinality(hit) >= most THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (SELECT FROM powertools.workflows w WHERE w.parent_id IS NOT NULL) THEN
    RETURN coalesce(hit, '{}');
  END IF;
  RETURN ARRAY(
    WITH RECURSIVE family (id) AS (
      SELECT w.root_id FROM unnest(hit) AS u (id) JOIN powertools.workflows w ON w.id = u.id
      UNION
      SELECT c.id FROM family f JOIN powertools.workflows c ON c.parent_id = f.id
    )
    SELECT f.id FROM family f
  );
END $$;

-- Workflows that match, newest first, with ids between above and below (exclusive). ids: only these; NULL: any.
-- ordered: read by an index in this order; else all matches are read first and then sorted, because a plan that expects
-- to find them soon would read the whole table for a rare value.
CREATE OR REPLACE FUNCTION powertools.matching_workflows(f jsonb, ids bigint[], above bigint, below bigint, most int, ordered bool)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  of_state CONSTANT text := f ->> 'state';
  of_name CONSTANT text := f ->> 'name';
  of_tag CONSTANT text[] := CASE WHEN f ? 'tag' THEN ARRAY[f ->> 'tag'] END;
  of_key CONSTANT text := f ->> 'idempotency_key';
  of_context CONSTANT jsonb := f -> 'context';
  of_worker CONSTANT text := f ->> 'worker';
  of_step CONSTANT text := f ->> 'step';
  of_nested CONSTANT bool := f ->> 'nested';
  live CONSTANT bool := f ? 'status' AND f ->> 'status' <> 'Finished';
  inserted_from CONSTANT timestamptz := f ->> 'inserted_from';
  inserted_to CONSTANT timestamptz := least((f ->> 'inserted_to')::timestamptz, (f ->> 'finished_to')::timestamptz);
  finished_from CONSTANT timestamptz := f ->> 'finished_from';
  finished_to CONSTANT timestamptz := f ->> 'finished_to';
BEGIN
  IF ordered THEN
    RETURN QUERY
    SELECT w.id FROM powertools.workflows w
    WHERE w.id > above AND w.id < below
      AND (of_state IS NULL OR w.state = of_state) AND (of_name IS NULL OR w.name = of_name)
      AND (of_nested IS NULL OR (w.parent_id IS NOT NULL) = of_nested)
      AND (NOT live OR w.state IN ('running', 'cancel_requested')) AND (NOT f ? 'status' OR live OR w.finished_at IS NOT NULL)
      AND (inserted_from IS NULL OR w.inserted_at >= inserted_from) AND (inserted_to IS NULL OR w.inserted_at < inserted_to)
      AND (of_worker IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.worker = of_worker))
      AND (of_step IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.name = of_step))
    ORDER BY w.id DESC LIMIT most;
    RETURN;
  END IF;
  RETURN QUERY
  WITH found AS MATERIALIZED (
    SELECT w.id FROM powertools.workflows w
    -- as a query: of a constant the planner weighs every entry
    WHERE w.id > above AND w.id < below AND (ids IS NULL OR w.id = ANY (ARRAY(SELECT unnest(ids))))
      AND (of_state IS NULL OR w.state = of_state) AND (of_name IS NULL OR w.name = of_name)
      AND (of_tag IS NULL OR w.tags @> of_tag AND w.tags <> '{}') AND (of_key IS NULL OR w.idempotency_key = of_key)
      AND (of_context IS NULL OR w.context @> of_context AND w.context <> '{}')
      AND (of_nested IS NULL OR (w.parent_id IS NOT NULL) = of_nested)
      AND (NOT live OR w.state IN ('running', 'cancel_requested')) AND (NOT f ? 'status' OR live OR w.finished_at IS NOT NULL)
      AND (inserted_from IS NULL OR w.inserted_at >= inserted_from) AND (inserted_to IS NULL OR w.inserted_at < inserted_to)
      AND (finished_from IS NULL OR w.finished_at >= finished_from) AND (finished_to IS NULL OR w.finished_at < finished_to)
      AND (of_worker IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.worker = of_worker))
      AND (of_step IS NULL OR EXISTS (SELECT FROM powertools.steps s WHERE s.workflow_id = w.id AND s.name = of_step))
  )
  SELECT i.id FROM found i ORDER BY i.id DESC LIMIT most;
END $$;

-- The ids of candidates, and how to continue. narrow: all candidates, when an index of steps, errors or jobs has them;
-- walk: no filter is rare, and an index of workflows is read in order.
CREATE OR REPLACE FUNCTION powertools.leads(f jsonb, below bigint, OUT narrow bigint[], OUT walk bool)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  most CONSTANT int := 5000;
BEGIN
  IF f ? 'error' THEN
    narrow := ARRAY(SELECT powertools.ids_by_error(powertools.words_of(f ->> 'error')));
    RETURN;
  ELSIF f ? 'status' AND f ->> 'status' <> 'Finished' THEN
    narrow := powertools.ids_by_word(f ->> 'status');
  END IF;
  IF narrow IS NULL AND f ? 'worker' THEN
    narrow := ARRAY(
      SELECT s.workflow_id FROM powertools.steps s
      WHERE hashtext(s.worker) = hashtext(f ->> 'worker') AND s.worker = f ->> 'worker' AND s.worker IS NOT NULL
        AND s.workflow_id < below LIMIT most
    );
    narrow := CASE WHEN cardinality(narrow) < most THEN narrow END;
  END IF;
  IF narrow IS NULL AND f ? 'step' THEN
    narrow := ARRAY(
      SELECT s.workflow_id FROM powertools.steps s
      WHERE s.name = f ->> 'step' AND s.workflow_id < below ORDER BY s.workflow_id DESC LIMIT most
    );
    narrow := CASE WHEN cardinality(narrow) < most THEN narrow END;
  END IF;
  walk := narrow IS NULL AND NOT f ?| '{tag,idempotency_key,context,finished_from,finished_to}';
END $$;

-- The id from which on workflows, or jobs, were inserted at this instant or later, found by bisection: ids are given in the
-- order of time, but for transactions that last. Who asks leaves those 10 minutes. Index: the primary keys.
CREATE OR REPLACE FUNCTION powertools.id_at(at timestamptz, of_jobs bool) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  low bigint := 0;
  high bigint := coalesce(CASE
    WHEN of_jobs THEN (SELECT j.id + 1 FROM public.oban_jobs j ORDER BY j.id DESC LIMIT 1)
    ELSE (SELECT w.id + 1 FROM powertools.workflows w ORDER BY w.id DESC LIMIT 1)
  END, 0);
  middle bigint;
  probe record;
BEGIN
  WHILE low < high LOOP
    middle := (low + high) / 2;
    IF of_jobs THEN
      SELECT j.id, timezone('UTC', j.inserted_at) AS inserted_at INTO probe
      FROM public.oban_jobs j WHERE j.id >= middle ORDER BY j.id LIMIT 1;
    ELSE
      SELECT w.id, w.inserted_at INTO probe FROM powertools.workflows w WHERE w.id >= middle ORDER BY w.id LIMIT 1;
    END IF;
    IF probe.inserted_at >= at THEN
      high := middle;
    ELSE
      low := probe.id + 1;
    END IF;
  END LOOP;
  RETURN low;
END $$;

-- A page of workflows. f: what is asked for, {} for all: state, status (the operator's word), name, tag,
-- idempotency_key, context (an object that it contains), worker, step, error (words), nested (bool: whether it runs in another),
-- inserted_from, inserted_to, finished_from, finished_to (from inclusive, to exclusive). before: only smaller ids; NULL: the first page.
CREATE OR REPLACE FUNCTION powertools.find_workflows_v1(f jsonb, before bigint, page int) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  worded CONSTANT bool := f ? 'status' AND f ->> 'status' <> 'Finished';
  batch CONSTANT int := CASE WHEN worded THEN least(2 * page, 1000) ELSE page END;
  rows int;
  below bigint := coalesce(before, 9223372036854775807);
  above bigint;
  ids bigint[];
  narrow bigint[];
  walk bool := false;
  sent int := 0;
  newest bool := true;
  slack CONSTANT interval := '10 min';
  lowest bigint := 0;
BEGIN
  IF f ? 'inserted_to' OR f ? 'finished_to' THEN
    below := least(below, powertools.id_at(
      least((f ->> 'inserted_to')::timestamptz, (f ->> 'finished_to')::timestamptz) + slack, of_jobs => false
    ));
  END IF;
  IF f ? 'inserted_from' THEN
    lowest := powertools.id_at((f ->> 'inserted_from')::timestamptz - slack, of_jobs => false) - 1;
  END IF;
  above := coalesce((
    SELECT min(n.id) FROM (SELECT w.id FROM powertools.workflows w WHERE w.id < below ORDER BY w.id DESC LIMIT 1000) AS n
  ), 0);
  LOOP
    IF newest AND (f ? 'error' OR f ? 'idempotency_key' OR worded) THEN
      above := below;  -- an index leads there at once
      ids := '{}';
    ELSE
      ids := ARRAY(SELECT powertools.matching_workflows(
        f, narrow, CASE WHEN newest THEN greatest(above - 1, lowest) ELSE lowest END, below, batch, walk
      ));
    END IF;
    RETURN QUERY
    SELECT i.id FROM unnest(ids) WITH ORDINALITY AS i (id, place)
    LEFT JOIN powertools.workflow_words_v1(CASE WHEN worded THEN ids ELSE '{}' END) AS k ON k.id = i.id
    WHERE NOT worded OR k.word = f ->> 'status'
    ORDER BY i.place LIMIT page - sent;
    GET DIAGNOSTICS rows = ROW_COUNT;
    sent := sent + rows;
    EXIT WHEN sent >= page OR NOT newest AND cardinality(ids) < batch;
    IF newest THEN
      newest := false;
      below := above;
      SELECT l.narrow, l.walk INTO narrow, walk FROM powertools.leads(f, below) AS l;
    ELSE
      below := ids[cardinality(ids)];
    END IF;
  END LOOP;
END $$;
