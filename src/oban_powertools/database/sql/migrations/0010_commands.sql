-- What operators and hosts ask of a workflow, and the evidence of it. Locks: none to install.

CREATE TABLE powertools.commands (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint,
  step text,
  action text NOT NULL,
  actor text NOT NULL,
  source text NOT NULL,
  reason text,
  outcome text NOT NULL,
  reason_code text,
  legal_next_steps text[] NOT NULL DEFAULT '{}',
  details jsonb NOT NULL DEFAULT '{}',
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT command_outcome CHECK (outcome IN ('accepted', 'rejected') AND (outcome = 'rejected') = (reason_code IS NOT NULL))
);
CREATE INDEX commands_workflow ON powertools.commands (workflow_id, id);

CREATE TABLE powertools.recovery_sessions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  workflow_id bigint NOT NULL,
  generation int NOT NULL,
  action text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  -- steps that came back because they were cancelled with the recovered ones
  revived int NOT NULL,
  before jsonb NOT NULL,
  after jsonb NOT NULL,
  inserted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX recovery_sessions_workflow ON powertools.recovery_sessions (workflow_id, id);

CREATE TABLE powertools.recovery_attempts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session_id bigint NOT NULL,
  workflow_id bigint NOT NULL,
  position int NOT NULL,
  step text NOT NULL,
  before jsonb NOT NULL,
  after jsonb NOT NULL
);
CREATE INDEX recovery_attempts_session ON powertools.recovery_attempts (session_id);

-- A workflow and everything nested in it.
CREATE FUNCTION powertools.family_of_v1(workflow_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE PLANNED EACH TIME
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

-- The jobs of these workflows' steps that could start; also those of ended steps, which another tool may run again.
CREATE FUNCTION powertools.idle_jobs_v1(workflow_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN ARRAY(
    SELECT j.id
    FROM powertools.steps s
    JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
    WHERE s.workflow_id = ANY (workflow_ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id
  );
END $$;

-- Cancels the idle jobs among these that nobody else is changing; the trigger settles them.
CREATE FUNCTION powertools.cancel_free_jobs_v1(ids bigint[]) RETURNS void
LANGUAGE sql
PLANNED EACH TIME ROW BY ROW
AS $$
  WITH free AS (
    SELECT j.id
    FROM unnest(ids) AS i (id) JOIN public.oban_jobs j ON j.id = i.id
    WHERE j.state IN ('available', 'scheduled', 'retryable', 'suspended')
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  )
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now()) FROM free f WHERE j.id = f.id;
$$;

-- The same for those that somebody else is changing, as Oban does when it stages or fetches them: they would be able to
-- start after the commit. Waits for them, though not for long: the caller holds workflows (settle/S4). The sweep comes again.
CREATE FUNCTION powertools.cancel_busy_jobs_v1(ids bigint[]) RETURNS void
LANGUAGE plpgsql
PLANNED EACH TIME ROW BY ROW SET lock_timeout = '300ms'
AS $$
BEGIN
  UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
  WHERE j.id = ANY (ids) AND j.state IN ('available', 'scheduled', 'retryable', 'suspended');
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  NULL;
END $$;

-- Cancels the idle jobs of these workflows.
CREATE FUNCTION powertools.cancel_idle_jobs_v1(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
  idle bigint[] := powertools.idle_jobs_v1(workflow_ids);
BEGIN
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_free_jobs_v1(idle);
    idle := powertools.idle_jobs_v1(workflow_ids);
  END IF;
  IF idle <> '{}' THEN
    PERFORM powertools.cancel_busy_jobs_v1(idle);
  END IF;
END $$;

-- Asks the executing jobs among these steps' jobs to stop, through Oban's signal channel; every node also
-- reads the request from the rows.
CREATE FUNCTION powertools.tell_executing_jobs_v1(workflow_ids bigint[], of_position int) RETURNS int
LANGUAGE plpgsql
PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  told int;
BEGIN
  SELECT count(powertools.notify_v1('public.oban_signal', json_build_object('action', 'pkill', 'job_id', j.id)::text) IS NULL) INTO told
  FROM powertools.steps s
  JOIN public.oban_jobs j ON j.id = s.job_id AND powertools.is_job_of_v1(j.meta, s.workflow_id, s.position)
  WHERE s.workflow_id = ANY (workflow_ids) AND s.state = 'available' AND j.state = 'executing'
    AND (of_position IS NULL OR s.position = of_position);
  RETURN told;
END $$;

-- Stops workflows with everything nested in them: idle steps end now, their jobs with them; executing
-- jobs are told. Args: as_expired says whether their time ran out or somebody asked.
CREATE FUNCTION powertools.stop_workflows_v1(workflow_ids bigint[], as_expired bool) RETURNS void
LANGUAGE plpgsql
PLANNED EACH TIME
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
  PERFORM powertools.cancel_idle_jobs_v1(family);
  -- Afterwards: a job that was waited for may have started.
  PERFORM powertools.tell_executing_jobs_v1(family, NULL);
END $$;

-- Ends the workflows among these whose time is over, and says so in the audit. Locks: as stop_workflows_v1.
CREATE FUNCTION powertools.expire_workflows_v1(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  due bigint[];
BEGIN
  PERFORM powertools.lock_families_v1(workflow_ids);
  -- One may have ended, been cancelled or been given new time since it was found.
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

-- Takes out the idle jobs of workflows and steps that were asked to stop: a job that failed since then must
-- not run again. One batch; returns how many. Locks: the jobs that nobody else is changing, then as settle.
CREATE FUNCTION powertools.cancel_stopping_jobs_v1(batch int) RETURNS int
LANGUAGE plpgsql
PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  cancelled int;
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
  GET DIAGNOSTICS cancelled = ROW_COUNT;
  RETURN cancelled;
END $$;

-- Ends one unfinished step by an operator's word. Pending and waiting steps end here; a live job is
-- cancelled when idle, else told. Rows: whether the step had its outcome at once.
CREATE FUNCTION powertools.cancel_step_v1(of_workflow_id bigint, of_position int) RETURNS bool
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  s powertools.steps;
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  UPDATE powertools.steps k SET cancel_requested_at = clock_timestamp()
  WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
  RETURNING k.* INTO s;
  IF s.kind = 'workflow' OR s.state = 'executing' THEN
    PERFORM powertools.stop_workflows_v1(ARRAY[s.child_id], false);
  END IF;
  IF s.state = 'available' THEN
    UPDATE public.oban_jobs j SET state = 'cancelled', cancelled_at = timezone('UTC', now())
    WHERE j.id = (
      SELECT i.id FROM public.oban_jobs i
      WHERE i.id = s.job_id AND powertools.is_job_of_v1(i.meta, s.workflow_id, s.position)
        AND i.state IN ('available', 'scheduled', 'retryable', 'suspended')
      FOR UPDATE SKIP LOCKED
    );
    PERFORM powertools.tell_executing_jobs_v1(ARRAY[of_workflow_id], of_position);
  ELSIF s.state <> 'executing' THEN
    WITH done AS (
      UPDATE powertools.steps k
      SET state = 'cancelled', cause = 'cancelled_by_operator', finished_at = clock_timestamp(), held_until = NULL, hold_reason = NULL
      WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.finished_at IS NULL
      RETURNING k.*
    )
    SELECT array_agg(ROW (
      d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
    )::powertools.ended)
    INTO ended FROM done d;
    PERFORM powertools.move_on_v1(ended, NULL);
  END IF;
  RETURN (SELECT k.finished_at IS NOT NULL FROM powertools.steps k WHERE k.workflow_id = of_workflow_id AND k.position = of_position);
END $$;

-- Completes one unfinished step that has no live job, by an operator's word.
CREATE FUNCTION powertools.complete_step_v1(of_workflow_id bigint, of_position int, payload jsonb, of_cause text) RETURNS void
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  ended powertools.ended[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  WITH done AS (
    UPDATE powertools.steps k
    SET state = 'completed', cause = of_cause, result = payload, pending = 0, finished_at = clock_timestamp(),
        held_until = NULL, hold_reason = NULL
    WHERE k.workflow_id = of_workflow_id AND k.position = of_position AND k.state IN ('pending', 'awaiting_signal')
    RETURNING k.*
  )
  SELECT array_agg(ROW (
    d.workflow_id, d.position, d.state, d.cause, d.wait_id, d.children, d.continue_children
  )::powertools.ended)
  INTO ended FROM done d;
  PERFORM powertools.move_on_v1(ended, NULL);
END $$;
