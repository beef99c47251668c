-- The incidents that could concern a step, its workflow and its job: their fingerprints, whether such an incident
-- exists or not. The row of a class in incident_classes.py names its function here; most classes share
-- evidence_concerns.
--
-- The rule that must never break (incidents/N5): an incident concerns exactly what its evidence counts. So a function here
-- has the conditions of the one that detects the class, as evidence names 50 ids only: a repair that is suggested for an
-- incident is one of what it has hit. One about a queue concerns whatever waits in it.

-- Whether a subject of an explanation is hit by an open incident: asks the functions of those classes only that have
-- one. Subjects: steps, whole workflows (position NULL), plain jobs (workflow_id NULL); counted from 1.
CREATE OR REPLACE FUNCTION powertools.incidents_concerning_v1(
  workflow_ids bigint[], positions int[], job_ids bigint[], OUT incident_id bigint, OUT subject bigint, OUT job_id bigint
) RETURNS SETOF record
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  asked text;
BEGIN
  FOR asked IN
    SELECT DISTINCT c.concerns_by FROM powertools.incident_classes c
    WHERE EXISTS (SELECT FROM powertools.incidents i WHERE i.class = c.name AND i.state <> 'resolved')
  LOOP
    RETURN QUERY EXECUTE format(
      $q$
        SELECT i.id, t.subject, j.id
        FROM unnest($1, $2, $3) WITH ORDINALITY AS t (workflow_id, position, job_id, subject)
        LEFT JOIN LATERAL (
          SELECT * FROM powertools.step_at_v1(t.workflow_id, t.position)
        ) AS s ON true
        LEFT JOIN powertools.workflows w ON w.id = t.workflow_id
        LEFT JOIN public.oban_jobs j
          ON j.id = coalesce(t.job_id, s.job_id)
          AND (t.job_id IS NOT NULL OR powertools.is_job_of_v1(j.meta, s.workflow_id, s.position))
        CROSS JOIN LATERAL powertools.%I(s, w, j) AS f (fingerprint)
        JOIN powertools.incidents i ON i.fingerprint = powertools.fingerprint_v1(f.fingerprint) AND i.state <> 'resolved'
      $q$, asked
    ) USING workflow_ids, positions, job_ids;
  END LOOP;
END $$;

-- Of a class without a function of its own: those whose evidence names one of them.
CREATE OR REPLACE FUNCTION powertools.evidence_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT i.fingerprint
  FROM powertools.incident_classes c
  JOIN powertools.incidents i ON i.class = c.name AND i.state <> 'resolved'
  WHERE c.concerns_by = 'evidence_concerns' AND CASE i.evidence ->> 'id_type'
    WHEN 'job' THEN i.evidence -> 'ids' @> to_jsonb(coalesce(j.id, s.job_id))
    WHEN 'workflow' THEN i.evidence -> 'ids' @> to_jsonb(w.id)
    WHEN 'wait' THEN i.evidence -> 'ids' @> to_jsonb(s.wait_id)
    WHEN 'late_result' THEN EXISTS (
      SELECT FROM powertools.late_results l WHERE l.job_id = j.id AND i.evidence -> 'ids' @> to_jsonb(l.id)
    )
  END
$$;

-- Of every class that is about an executor.
CREATE OR REPLACE FUNCTION powertools.executor_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT DISTINCT c.name || ':' || n.executor_id
  FROM powertools.executors e
  CROSS JOIN LATERAL (VALUES (e.executor_id), (powertools.first_of_process_v1(e))) AS n (executor_id)
  JOIN powertools.incident_classes c ON c.concerns_by = 'executor_concerns'
  WHERE j.state = 'executing' AND e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2] AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
$$;

CREATE OR REPLACE FUNCTION powertools.orphaned_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT format('orphaned_jobs:%s:%s', coalesce(j.attempted_by[1], '?'), coalesce(j.attempted_by[2], '?'))
  WHERE j.state = 'executing' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
$$;

CREATE OR REPLACE FUNCTION powertools.workflow_stuck_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT 'workflow_stuck:' || cause
  FROM (VALUES
    (j.state = 'available', 'queue:' || j.queue),
    (w.open > 0, 'workflow:' || w.id),
    (w.open > 0, 'semantics:' || w.semantics_version)
  ) AS c (holds, cause)
  WHERE c.holds
$$;

CREATE OR REPLACE FUNCTION powertools.wait_overdue_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT 'wait_overdue:' || v.signal
  FROM powertools.waits v WHERE v.id = s.wait_id AND v.state = 'waiting' AND v.deadline_at < clock_timestamp() - interval '30 s'
$$;

CREATE OR REPLACE FUNCTION powertools.failing_jobs_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT format('failing_jobs:%s:%s', coalesce(j.worker, s.worker), powertools.error_class_v1(coalesce(j.errors -> -1, s.error)))
  WHERE clock_timestamp() - powertools.span_setting_v1('incident_failing_for') < CASE
    WHEN j.id IS NULL THEN CASE s.state WHEN 'discarded' THEN s.finished_at END
    WHEN NOT EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta)) THEN NULL
    WHEN j.state = 'discarded' THEN j.discarded_at AT TIME ZONE 'UTC'
    WHEN j.state = 'retryable' AND j.errors <> '[]' AND NOT powertools.not_run(j.meta, j.errors) THEN j.attempted_at AT TIME ZONE 'UTC'
  END
$$;

-- Also while one of them is being tried.
CREATE OR REPLACE FUNCTION powertools.worker_not_importable_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT 'worker_not_importable:' || j.worker
  WHERE powertools.not_run(j.meta, j.errors) AND j.state IN ('retryable', 'available', 'executing')
    AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
$$;

CREATE OR REPLACE FUNCTION powertools.late_result_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT format('late_result:%s:%s', coalesce(l.attempted_by[1], '?'), coalesce(l.attempted_by[2], '?'))
  FROM powertools.late_results l
  LEFT JOIN powertools.steps t ON t.workflow_id = l.workflow_id AND t.position = l.position
  WHERE l.job_id = j.id AND l.adopted_at IS NULL AND l.dismissed_at IS NULL AND l.state = 'completed'
    AND coalesce(t.state, j.state::text) NOT IN ('completed', 'awaiting_signal')
$$;

-- Whether Powertools did this to a job by itself within a day, because another tool had edited it.
CREATE OR REPLACE FUNCTION powertools.was_undone_lately(of_job bigint, by_act text) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.audit a
    WHERE a.target_type = 'job' AND a.target_id = of_job::text AND a.action = by_act AND a.actor_type = 'system'
      AND a.at > clock_timestamp() - interval '1 day'
  )
$$;

CREATE OR REPLACE FUNCTION powertools.outside_edit_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT format('outside_edit:%s:%s', e.edit, coalesce(j.worker, s.worker))
  FROM (VALUES
    (s.cause = 'job_deleted' AND s.finished_at > clock_timestamp() - interval '1 day', 'job_deleted'),
    (
      powertools.is_its_job_v1(s, j.id, j.meta) AND CASE j.state
        WHEN 'executing' THEN s.finished_at < j.attempted_at AT TIME ZONE 'UTC'
        ELSE EXISTS (
          SELECT FROM powertools.late_results l
          WHERE l.job_id = j.id AND l.at > clock_timestamp() - interval '1 day' AND l.state <> 'completed' AND l.attempted_at > s.finished_at
        )
      END, 'job_retried'
    ),
    (
      powertools.is_its_job_v1(s, j.id, j.meta) AND j.state = 'suspended' AND s.state = 'available' AND s.held_until IS NULL
        AND NOT EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined'), 'job_suspended'
    ),
    (powertools.was_undone_lately(j.id, 'job_meta_restore'), 'meta_changed'),
    (powertools.was_undone_lately(j.id, 'job_cancel'), 'job_restarted')
  ) AS e (holds, edit)
  WHERE e.holds
$$;

-- Also of a job that is gone, or that its step does not believe.
CREATE OR REPLACE FUNCTION powertools.bookkeeping_fault_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT 'bookkeeping_fault:' || f.sqlstate
  FROM powertools.settle_faults f WHERE f.job_id = coalesce(j.id, s.job_id) AND f.repaired_at IS NULL
$$;

CREATE OR REPLACE FUNCTION powertools.callback_failed_concerns(s powertools.steps, w powertools.workflows, j public.oban_jobs)
RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  SELECT 'callback_failed:' || j.worker
  WHERE j.state = 'discarded' AND NOT j.meta ? 'position' AND j.meta ?& ARRAY['workflow_id', 'outcome', 'failed_steps']
$$;

-- Whether a late result can be made that of its step, or of its job without one, as these are now.
CREATE OR REPLACE FUNCTION powertools.is_adoptable_v1(l powertools.late_results, job_state text, step_state text) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT l.state = 'completed' AND NOT coalesce(l.result ? 'await', false) AND job_state <> 'executing' AND CASE
    WHEN step_state IN ('discarded', 'cancelled', 'expired') THEN NOT coalesce(l.result ? 'append', false)
    ELSE job_state NOT IN ('completed', 'cancelled', 'discarded')
  END
$$;
