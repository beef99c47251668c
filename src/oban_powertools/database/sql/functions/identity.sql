-- Which step a job runs for; a worker that changes its meta cannot change that.

-- The step that a job's meta names; NULL when it names none, as with a host's own meta under our keys. Digits are told by
-- what is left without them: a regular expression costs five times as much, and this runs for every job that changes.
CREATE OR REPLACE FUNCTION powertools.workflow_of_v1(meta jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN meta ? 'position' AND ltrim(meta ->> 'workflow_id', '0123456789') = '' AND length(meta ->> 'workflow_id') BETWEEN 1 AND 18
    THEN (meta ->> 'workflow_id')::bigint
  END
$$;

CREATE OR REPLACE FUNCTION powertools.position_of_v1(meta jsonb) RETURNS int
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN ltrim(meta ->> 'position', '0123456789') = '' AND length(meta ->> 'position') BETWEEN 1 AND 9
    THEN (meta ->> 'position')::int
  END
$$;

-- A job belongs to a step when each names the other: the step the job's id, and the job's meta the step. An id alone
-- proves nothing: after TRUNCATE ... RESTART IDENTITY ids begin anew, and another job has it. Every join of a step with
-- its job has the condition: j.id = s.job_id AND this, or is_its_job_v1 where s is a row of the table.
CREATE OR REPLACE FUNCTION powertools.is_job_of_v1(meta jsonb, of_workflow_id bigint, of_position int) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT powertools.workflow_of_v1(meta) = of_workflow_id AND powertools.position_of_v1(meta) = of_position
$$;

-- Whether a job is the one that a step believes in. Inlined, so that either finds the other by index. invariants.sql,
-- which the doctor runs on copies, and joins without a whole row of a step repeat the condition.
CREATE OR REPLACE FUNCTION powertools.is_its_job_v1(s powertools.steps, id bigint, meta jsonb) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT id = s.job_id AND powertools.workflow_of_v1(meta) = s.workflow_id AND powertools.position_of_v1(meta) = s.position
$$;

-- Whether a job that is named as evidence of a fault can still be acted upon: it is of no step, or the one that its step
-- believes in while that has no outcome but a failure. Not one that was replaced when its step was retried, nor one whose
-- step was completed, skipped or removed: nothing is legal on these (workflows/job_rules.py). Index: the steps' key.
CREATE OR REPLACE FUNCTION powertools.still_counting(id bigint, meta jsonb) RETURNS SETOF bool
LANGUAGE sql STABLE ROWS 1  -- a row or none, so that it is inlined: a call for each job costs 60 µs
AS $$
  SELECT true WHERE NOT meta ?& '{position,uid}'::text[] OR EXISTS (
    SELECT FROM powertools.step_at_v1(powertools.workflow_of_v1(meta), powertools.position_of_v1(meta)) AS s
    WHERE s.job_id = id AND s.state IN ('available', 'discarded')
  )
$$;

-- The step at a place. Inlined; its LIMIT keeps a planner without statistics from reading more than one row by its key.
CREATE OR REPLACE FUNCTION powertools.step_at_v1(of_workflow_id bigint, of_position int) RETURNS SETOF powertools.steps
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT * FROM powertools.steps WHERE workflow_id = of_workflow_id AND position = of_position LIMIT 1
$$;

-- Only Powertools decides what a job runs for: restores what an UPDATE changed of it, and removes a result that came
-- before the job completed. The replaced values are kept under displaced. Args: jobs, with the meta that each had
-- before. Returns job id -> its identity, for those that were changed.
CREATE OR REPLACE FUNCTION powertools.keep_identities(ids bigint[], metas jsonb[]) RETURNS jsonb
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  -- of a step's job, and of an on_finished job
  ours CONSTANT text[] := '{
    workflow_id, workflow_name, step, position, generation, uid, context, outcome, failed_steps, failures_handled
  }';
  kept jsonb;
  edited text[];
  details jsonb[];
BEGIN
  -- So that the trigger does not take this for another edit.
  PERFORM set_config('powertools.keeping', 'on', true);
  WITH edits AS (
    SELECT j.id, b.own, s.said, o.after - ours - CASE WHEN r.early IS NULL THEN '{}' ELSE '{return}' END::text[] AS others,
      coalesce(d.displaced, '{}') || CASE
        WHEN r.early IS DISTINCT FROM o.before -> 'return' AND r.early IS NOT NULL THEN jsonb_build_object('return', r.early)
        ELSE '{}'
      END AS displaced
    FROM unnest(ids, metas) AS m (id, meta)
    CROSS JOIN LATERAL (SELECT * FROM public.oban_jobs j WHERE j.id = m.id OFFSET 0) AS j
    CROSS JOIN LATERAL (
      SELECT CASE jsonb_typeof(m.meta) WHEN 'object' THEN m.meta ELSE '{}' END AS before,
        CASE jsonb_typeof(j.meta) WHEN 'object' THEN j.meta ELSE '{}' END AS after
    ) AS o
    CROSS JOIN LATERAL (SELECT CASE WHEN j.state <> 'completed' THEN o.after -> 'return' END AS early) AS r
    CROSS JOIN LATERAL (
      SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS own FROM jsonb_each(o.before) AS e WHERE e.key = ANY (ours)
    ) AS b
    CROSS JOIN LATERAL (
      SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') AS said FROM jsonb_each(o.after) AS e WHERE e.key = ANY (ours)
    ) AS s
    CROSS JOIN LATERAL (
      SELECT jsonb_object_agg(e.key, e.value) AS displaced FROM jsonb_each(s.said) AS e WHERE b.own -> e.key IS DISTINCT FROM e.value
    ) AS d
    WHERE b.own <> s.said OR r.early IS NOT NULL
  ), restored AS (
    UPDATE public.oban_jobs j
    SET meta = e.others || e.own
      || CASE e.displaced WHEN '{}' THEN '{}' ELSE jsonb_build_object('displaced', e.displaced) END
    FROM edits e
    WHERE j.id = e.id
    RETURNING j.id, e.own, e.displaced, e.own <> e.said OR e.displaced <> '{}' AS edited
  )
  SELECT jsonb_object_agg(x.id, x.own), array_agg(x.id::text) FILTER (WHERE x.edited),
    array_agg(jsonb_build_object(
      'workflow_id', x.own -> 'workflow_id', 'step', x.own -> 'step', 'displaced', ARRAY(SELECT jsonb_object_keys(x.displaced))
    )) FILTER (WHERE x.edited)
  INTO kept, edited, details
  FROM restored x;
  PERFORM set_config('powertools.keeping', '', true);
  IF edited IS NOT NULL THEN
    PERFORM powertools.record_system_v1(
      'job_meta_restore', 'job', edited, 'another tool changed what the job says that it runs for', NULL, NULL, details
    );
  END IF;
  RETURN kept;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'powertools could not restore the meta of jobs %: %', ids, SQLERRM;
  RETURN NULL;
END $$;
