-- Whether the evidence of an open incident still holds although detection did not find it: it may be beyond the
-- detection's limits, or pruned. One function for each class where that can happen; powertools.incident_classes names
-- it.
--
-- Rules: incidents/N2, on docs/design/rules.md.

-- The ids that an incident names.
CREATE OR REPLACE FUNCTION powertools.ids_of(i powertools.incidents) RETURNS bigint[]
LANGUAGE sql STABLE
AS $$ SELECT ARRAY(SELECT jsonb_array_elements_text(i.evidence -> 'ids')::bigint) $$;

-- Whether this incident holds, by the function of its class.
CREATE OR REPLACE FUNCTION powertools.still_holds(i powertools.incidents) RETURNS bool
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  holds_by text;
  holds bool;
BEGIN
  IF i.holds_until > clock_timestamp() THEN
    RETURN true;
  END IF;
  SELECT c.holds_by INTO STRICT holds_by FROM powertools.incident_classes c WHERE c.name = i.class;
  IF holds_by IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('SELECT powertools.%I($1)', holds_by) INTO STRICT holds USING i;
  RETURN holds;
END $$;

-- Of executor_late: ages count from the server's start, which is no sign of life; one that is missing is known by its
-- own row.
CREATE OR REPLACE FUNCTION powertools.executor_late_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.executors e
    WHERE i.subject_id IN (e.executor_id, powertools.first_of_process_v1(e)) AND num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) = 0
      AND least(e.beat_at, e.loop_beat_at) < powertools.server_started_at()
      AND NOT EXISTS (
        SELECT FROM powertools.executors o
        WHERE o.producer_scope = e.producer_scope AND o.stopped_at IS NULL AND o.started_at > e.beat_at
      )
  )
$$;

-- Of orphaned_jobs: it is not one of Oban's producers, which are believed for a minute after it.
CREATE OR REPLACE FUNCTION powertools.orphaned_jobs_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'executing' AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta))
      AND NOT EXISTS (
        SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
      )
      AND NOT EXISTS (
        SELECT FROM public.oban_producers p
        WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', i.last_detected_at)
      )
  )
$$;

-- Of wait_overdue.
CREATE OR REPLACE FUNCTION powertools.wait_overdue_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.waits w WHERE w.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND w.state = 'waiting' AND w.deadline_at < clock_timestamp()
  )
$$;

-- Of poison_job.
CREATE OR REPLACE FUNCTION powertools.poison_job_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND j.state = 'suspended'
      AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta)))
    AND NOT EXISTS (SELECT FROM powertools.rescues r WHERE r.job_id = ANY ((SELECT powertools.ids_of(i))::bigint[]))
$$;

-- Of worker_not_importable: also while one of them is being tried, which takes a moment.
CREATE OR REPLACE FUNCTION powertools.worker_not_importable_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM public.oban_jobs j WHERE j.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND powertools.not_run(j.meta, j.errors)
      AND EXISTS (SELECT FROM powertools.still_counting(j.id, j.meta)) AND (
      j.state IN ('retryable', 'available')
      OR j.state = 'executing' AND j.attempted_at > timezone('UTC', clock_timestamp()) - interval '1 min'
    )
  )
$$;

-- Of late_result.
CREATE OR REPLACE FUNCTION powertools.late_result_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.late_results l
    JOIN public.oban_jobs j ON j.id = l.job_id
    LEFT JOIN powertools.steps s ON s.workflow_id = l.workflow_id AND s.position = l.position
    WHERE l.id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND l.adopted_at IS NULL AND l.dismissed_at IS NULL
      AND coalesce(s.state, j.state::text) NOT IN ('completed', 'awaiting_signal')
  )
$$;

-- Of bookkeeping_fault.
CREATE OR REPLACE FUNCTION powertools.bookkeeping_fault_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.settle_faults f WHERE f.job_id = ANY ((SELECT powertools.ids_of(i))::bigint[]) AND f.repaired_at IS NULL
  )
$$;

-- Of callback_failed.
CREATE OR REPLACE FUNCTION powertools.callback_failed_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM unnest(powertools.ids_of(i)) AS c (id) LEFT JOIN public.oban_jobs j ON j.id = c.id
    WHERE j.id IS NULL OR j.state = 'discarded'
  )
$$;

-- Of unclaimed_signal: it may be hidden behind others of its name.
CREATE OR REPLACE FUNCTION powertools.unclaimed_signal_holds(i powertools.incidents) RETURNS bool
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM powertools.signals g
    WHERE g.id IN (SELECT jsonb_array_elements_text(i.evidence -> 'signal_ids')::bigint) AND g.status = 'stored'
      AND powertools.is_unclaimed(g.inserted_at, g.expires_at)
  )
$$;
