-- Finding jobs, of steps or plain, by Oban's own indexes only: newest first, in pages.
--
-- What is rare by its state or its queue is found by Oban's index of these. Anything else is looked for among the newest jobs,
-- by the primary key, and the answer says how far that came.

-- A page of jobs. f: what is asked for, {} for all: states (array), queue, worker, tag, error (words), inserted_from, inserted_to.
-- before: only smaller ids. searched: how many of the newest were looked at when the page did not fill, and reached the id down
-- to which; NULL when nothing more fits.
-- Index: oban_jobs by state and queue, the primary key.
CREATE OR REPLACE FUNCTION powertools.find_jobs_v1(
  f jsonb, before bigint, page int, OUT ids bigint[], OUT searched int, OUT reached bigint
)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  most CONSTANT int := 10000;
  slack CONSTANT interval := '10 min';
  states CONSTANT public.oban_job_state[] := ARRAY(
    SELECT s::public.oban_job_state FROM jsonb_array_elements_text(coalesce(f -> 'states', to_jsonb(enum_range(NULL::public.oban_job_state)))) AS s
  );
  of_queue CONSTANT text := f ->> 'queue';
  of_worker CONSTANT text := f ->> 'worker';
  of_tag CONSTANT text := f ->> 'tag';
  words CONSTANT text[] := CASE WHEN f ? 'error' THEN
    ARRAY(SELECT '%' || w || '%' FROM unnest(powertools.words_of(f ->> 'error')) AS w)
  END;
  inserted_from CONSTANT timestamp := timezone('UTC', (f ->> 'inserted_from')::timestamptz);
  inserted_to CONSTANT timestamp := timezone('UTC', (f ->> 'inserted_to')::timestamptz);
  below bigint := coalesce(before, 9223372036854775807);
  lowest bigint := 0;
  narrow bigint[];
BEGIN
  IF inserted_to IS NOT NULL THEN
    below := least(below, powertools.id_at((f ->> 'inserted_to')::timestamptz + slack, of_jobs => true));
  END IF;
  IF inserted_from IS NOT NULL THEN
    lowest := powertools.id_at((f ->> 'inserted_from')::timestamptz - slack, of_jobs => true) - 1;
  END IF;
  IF f ? 'states' OR f ? 'queue' THEN
    narrow := ARRAY(
      SELECT c.id FROM unnest(states) AS s (state)
      CROSS JOIN LATERAL (
        SELECT j.id FROM public.oban_jobs j WHERE j.state = s.state AND (of_queue IS NULL OR j.queue = of_queue) LIMIT most
      ) AS c
      LIMIT most
    );
  END IF;
  WITH newest AS (
    SELECT j.* FROM public.oban_jobs j
    WHERE j.id < below AND j.id > lowest AND (narrow IS NULL OR cardinality(narrow) >= most)
    ORDER BY j.id DESC LIMIT most
  ), candidates AS (
    SELECT n.* FROM newest n
    UNION ALL
    (
      SELECT j.* FROM public.oban_jobs j
      WHERE cardinality(narrow) < most AND j.id = ANY (narrow) AND j.id < below AND j.id > lowest
      ORDER BY j.id DESC
    )
  )
  SELECT array_agg(c.id) INTO ids FROM (
    SELECT c.id FROM candidates c
    WHERE c.state = ANY (states)
      AND (of_queue IS NULL OR c.queue = of_queue)
      AND (of_worker IS NULL OR c.worker = of_worker)
      AND (of_tag IS NULL OR of_tag = ANY (c.tags))
      AND (inserted_from IS NULL OR c.inserted_at >= inserted_from) AND (inserted_to IS NULL OR c.inserted_at < inserted_to)
      AND (words IS NULL OR concat(
        c.errors -> -1 ->> 'class', ' ', coalesce(c.errors -> -1 ->> 'text', c.errors -> -1 ->> 'error')
      ) ILIKE ALL (words))
    LIMIT page
  ) AS c;
  ids := coalesce(ids, '{}');
  IF cardinality(ids) < page AND (narrow IS NULL OR cardinality(narrow) >= most) THEN
    SELECT count(*), min(n.id) INTO searched, reached
    FROM (SELECT j.id FROM public.oban_jobs j WHERE j.id < below AND j.id > lowest ORDER BY j.id DESC LIMIT most) AS n;
    IF searched < most THEN
      searched := NULL;
      reached := NULL;
    END IF;
  END IF;
END $$;

-- Jobs as a list shows them, with the operator's word where one is a step's; newest first. Index: the primary keys.
CREATE OR REPLACE FUNCTION powertools.listed_jobs_v1(ids bigint[])
RETURNS TABLE (
  id bigint, status text, state text, blocker text, queue text, worker text, attempt int, max_attempts int, priority int, tags text[],
  workflow_id bigint, step text, node text, error text, inserted_at timestamptz, scheduled_at timestamptz, attempted_at timestamptz,
  finished_at timestamptz
)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH jobs AS MATERIALIZED (
    -- one that a retry replaced keeps the name of its step, and has an end of its own
    SELECT j.*, s.workflow_id, s.position, s.name, s.job_id = j.id AS is_its_job, s.finished_at AS ended_at
    FROM public.oban_jobs j
    LEFT JOIN powertools.steps s
      ON s.workflow_id = powertools.workflow_of_v1(j.meta) AND s.position = powertools.position_of_v1(j.meta) AND j.meta ? 'uid'
    WHERE j.id = ANY (ids)
  ), worded AS MATERIALIZED (
    SELECT w.workflow_id, w.position, w.word, w.code
    FROM (
      SELECT coalesce(array_agg(j.workflow_id), '{}') AS ids, coalesce(array_agg(j.position), '{}') AS positions
      FROM jobs j WHERE j.is_its_job AND j.ended_at IS NULL
    ) AS a, powertools.leaf_words(a.ids, a.positions) AS w
  )
  SELECT j.id, CASE
      WHEN j.is_its_job AND j.ended_at IS NOT NULL OR j.is_its_job IS NOT TRUE AND j.state IN ('completed', 'discarded', 'cancelled') THEN 'Finished'
      ELSE w.word
    END, j.state::text, w.code, j.queue, j.worker, j.attempt::int,
    j.max_attempts::int, j.priority::int, j.tags, j.workflow_id, j.name, j.attempted_by[1],
    CASE WHEN j.errors -> -1 IS NOT NULL THEN powertools.error_summary_v1(j.errors -> -1) END,
    timezone('UTC', j.inserted_at), timezone('UTC', j.scheduled_at), timezone('UTC', j.attempted_at),
    timezone('UTC', coalesce(j.completed_at, j.discarded_at, j.cancelled_at))
  FROM jobs j
  LEFT JOIN worded w ON j.is_its_job AND w.workflow_id = j.workflow_id AND w.position = j.position
  ORDER BY j.id DESC;
END $$;

-- Whether a step whose job is this one may need a review: every case of leaf_words that comes to it by these, which are cheap to
-- read; so a search for the few that do looks no further at the others. own_state: of the step; error: the job's last.
CREATE OR REPLACE FUNCTION powertools.may_need_review(own_state text, job_id bigint, job_state text, exhausted bool, error jsonb) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT own_state NOT IN ('pending', 'available', 'scheduled', 'awaiting_signal', 'executing')
    OR job_state NOT IN ('available', 'scheduled', 'executing', 'retryable') OR job_state = 'available' AND exhausted
    OR powertools.is_unimportable(error)
    OR EXISTS (SELECT FROM powertools.settle_faults f WHERE f.job_id = may_need_review.job_id AND f.repaired_at IS NULL)
$$;

-- The queues among these on which nobody works: of what has not begun, only a step of theirs, or one that a session holds, is Blocked.
CREATE OR REPLACE FUNCTION powertools.stuck_queues(queues text[]) RETURNS text[]
LANGUAGE sql STABLE
AS $$
  SELECT ARRAY(SELECT q.queue FROM powertools.queue_facts_v1(queues) AS q WHERE q.executors = 0 OR q.paused = q.executors)
$$;
