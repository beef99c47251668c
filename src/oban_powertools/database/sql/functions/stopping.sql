-- Stopping workflows: cancel and expiry.

-- A workflow and everything nested in it.
CREATE OR REPLACE FUNCTION powertools.family_of_v1(workflow_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
BEGIN
  RETURN ARRAY(
    WITH RECURSIVE family AS (
      SELECT unnest(workflow_ids) AS id
      UNION
      SELECT w.id FROM family f JOIN powertools.workflows w ON w.parent_id = f.id
    )
    SELECT id FROM family ORDER BY id
  );
END $$;

-- The jobs of these workflows' steps that could still start; also those of ended steps, which another tool may run
-- again.
CREATE OR REPLACE FUNCTION powertools.idle_jobs(workflow_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT j.id
    FROM powertools.steps s
    JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
    WHERE s.workflow_id = ANY (workflow_ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id
  );
END $$;

-- Cancels the idle jobs among these, skipping locked ones; the trigger settles them.
CREATE OR REPLACE FUNCTION powertools.cancel_free_jobs(ids bigint[]) RETURNS void
LANGUAGE sql
-- PLANNED EACH TIME ROW BY ROW
AS $$
  WITH free AS (
    SELECT j.id
    FROM unnest(ids) AS i (id) JOIN public.oban_jobs j ON j.id = i.id
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  )
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now()) FROM free f WHERE j.id = f.id;
$$;

-- The same for locked jobs, as when Oban stages or fetches them: they could start after the commit. Waits for the locks
-- only briefly, because the caller holds workflows (settle/S4); the sweep tries again.
CREATE OR REPLACE FUNCTION powertools.cancel_busy_jobs(ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
SET lock_timeout = '300ms'
AS $$
BEGIN
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  WHERE j.id = ANY (ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended');
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  NULL;
END $$;

-- Cancels the idle jobs of these workflows.
CREATE OR REPLACE FUNCTION powertools.cancel_idle_jobs(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  idle bigint[] := powertools.idle_jobs(workflow_ids);
BEGIN
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_free_jobs(idle);
    idle := powertools.idle_jobs(workflow_ids);
  END IF;
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_busy_jobs(idle);
  END IF;
END $$;

-- Asks the executing jobs among these steps' jobs to stop, through Oban's signal channel; every node also
-- reads the request from the rows.
CREATE OR REPLACE FUNCTION powertools.tell_executing_jobs(workflow_ids bigint[], of_position int) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  told int;
BEGIN
  SELECT count(powertools.notify_v1('public.oban_signal', json_build_object('action', 'pkill', 'job_id', j.id)::text) IS NULL) INTO told
  FROM powertools.steps s
  JOIN public.oban_jobs j ON powertools.is_its_job_v1(s, j.id, j.meta)
  WHERE s.workflow_id = ANY (workflow_ids) AND s.state = 'available' AND j.state = 'executing'
    AND (of_position IS NULL OR s.position = of_position);
  RETURN told;
END $$;

-- Stops workflows with everything nested in them: idle steps end now, with their jobs; executing jobs are asked to
-- stop. Args: as_expired, whether their time ran out; else it was requested.
CREATE OR REPLACE FUNCTION powertools.stop_workflows_v1(workflow_ids bigint[], as_expired bool) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  family bigint[];
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(workflow_ids);
  family := powertools.family_of_v1(workflow_ids);
  UPDATE powertools.workflows w
  SET state = 'cancel_requested',
      cancel_requested_at = CASE WHEN as_expired THEN w.cancel_requested_at ELSE coalesce(w.cancel_requested_at, clock_timestamp()) END,
      expired_at = CASE WHEN as_expired THEN clock_timestamp() ELSE w.expired_at END
  WHERE w.id = ANY (family) AND w.open > 0;
  WITH stopped AS (
    UPDATE powertools.steps s
    SET state = CASE WHEN as_expired THEN 'expired' ELSE 'cancelled' END,
        cause = CASE WHEN as_expired THEN 'workflow_expired' ELSE 'cancel_requested' END,
        finished_at = clock_timestamp(), held_until = NULL, hold_reason = NULL
    WHERE s.workflow_id = ANY (family) AND s.state IN ('pending', 'awaiting_signal')
    RETURNING s.*
  )
  SELECT array_agg(ROW (
    s.workflow_id, s.position, s.state, s.cause, s.wait_id, s.children, s.continue_children
  )::powertools.ended)
  INTO ended FROM stopped s;
  PERFORM powertools.move_on_v1(ended, family);
  PERFORM powertools.cancel_idle_jobs(family);
  -- Afterwards, because a job that was waited for may have started.
  PERFORM powertools.tell_executing_jobs(family, NULL);
END $$;

-- Expires the workflows among these whose time is over, and records it in the audit. Locks: as stop_workflows_v1.
CREATE OR REPLACE FUNCTION powertools.expire_workflows(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  due bigint[];
BEGIN
  PERFORM powertools.lock_families_v1(workflow_ids);
  -- One may have ended, been cancelled or been given more time since it was selected.
  due := ARRAY(
    SELECT w.id FROM powertools.workflows w
    WHERE w.id = ANY (workflow_ids) AND w.state = 'running' AND w.expires_at <= clock_timestamp() ORDER BY w.id
  );
  IF due = '{}' THEN
    RETURN;
  END IF;
  PERFORM powertools.stop_workflows_v1(due, true);
  PERFORM powertools.record_system_v1(
    'workflow_expire', 'workflow', array_agg(w.id::text ORDER BY w.id), 'its time was over',
    array_agg('{"state": "running"}'::jsonb), array_agg(jsonb_build_object('state', w.state) ORDER BY w.id),
    array_agg(jsonb_build_object('expires_at', w.expires_at) ORDER BY w.id)
  )
  FROM powertools.workflows w WHERE w.id = ANY (due);
END $$;

-- Cancels the idle jobs of workflows and steps that were asked to stop: a job that failed since then must not run
-- again. One batch. Locks: the jobs, skipping locked ones, then as settle.
CREATE OR REPLACE FUNCTION powertools.cancel_idle_jobs(batch int, OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  WITH stopping AS (
    SELECT s.job_id, s.workflow_id, s.position
    FROM powertools.workflows w JOIN powertools.steps s ON s.workflow_id = w.id
    WHERE w.state = 'cancel_requested' AND s.state = 'available'
    UNION
    SELECT s.job_id, s.workflow_id, s.position FROM powertools.steps s WHERE s.cancel_requested_at IS NOT NULL AND s.state = 'available'
  ), idle AS (
    SELECT j.id
    FROM stopping t
    JOIN public.oban_jobs j ON j.id = t.job_id AND powertools.is_job_of_v1(j.meta, t.workflow_id, t.position)
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id LIMIT batch
    FOR UPDATE OF j SKIP LOCKED
  )
  UPDATE public.oban_jobs j
  SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  FROM idle i WHERE j.id = i.id;
  GET DIAGNOSTICS done = ROW_COUNT;
  more := done > 0;
END $$;
