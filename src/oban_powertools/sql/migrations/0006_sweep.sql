-- The sweep: what no trigger can see, found and settled. Locks: none to install.

-- Settles again what once faulted, each alone; tries are 1, 2, 4 ... 60 s apart. Returns how many
-- were repaired. Locks: an advisory try-lock, then the workflows by id as settle, each before its
-- fault row: whoever faults again while settling holds the workflow already.
CREATE FUNCTION powertools.repair_settle_faults_v1(batch int) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  f powertools.settle_faults;
  code text;
  detail text;
  repaired int := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('powertools.repair', 0)) THEN
    RETURN 0;
  END IF;
  FOR f IN
    SELECT due.*
    FROM (
      SELECT * FROM powertools.settle_faults
      WHERE repaired_at IS NULL
        AND last_fault_at + make_interval(secs => least(60, power(2, least(faults, 7)) - 2)) <= clock_timestamp()
      ORDER BY last_fault_at LIMIT batch
    ) AS due
    ORDER BY due.workflow_id
  LOOP
    BEGIN
      PERFORM powertools.settle_v1(ARRAY[ROW (
        f.job_id, f.workflow_id, f.position, f.state, f.attempt, f.result, f.error, f.released_at, f.started_at, f.cause
      )::powertools.outcome]);
      UPDATE powertools.settle_faults SET repaired_at = clock_timestamp() WHERE job_id = f.job_id;
      repaired := repaired + 1;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = MESSAGE_TEXT;
      UPDATE powertools.settle_faults
      SET faults = faults + 1, last_fault_at = clock_timestamp(), sqlstate = code, message = detail
      WHERE job_id = f.job_id;
    END;
  END LOOP;
  RETURN repaired;
END $$;

-- Settles live steps whose job is gone or ended while no trigger saw it (TRUNCATE, a disabled
-- trigger, a restore). Looks at one batch of the unfinished workflows' steps after the cursor and
-- returns the next cursor; it starts over (0, -1) when the end is reached. reconciled is NULL when
-- another node is at it. Locks: an advisory try-lock, then as settle.
CREATE FUNCTION powertools.reconcile_v1(
  INOUT after_workflow_id bigint, INOUT after_position int, batch int, OUT reconciled int
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  outcomes powertools.outcome[];
  seen int;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('powertools.reconcile', 0)) THEN
    RETURN;
  END IF;
  WITH chunk AS (
    SELECT s.workflow_id, s.position, s.job_id, s.state
    FROM powertools.workflows w
    JOIN powertools.steps s ON s.workflow_id = w.id
    WHERE w.state IN ('running', 'cancel_requested') AND w.id >= after_workflow_id
      AND (s.workflow_id > after_workflow_id OR s.position > after_position)
    ORDER BY w.id, s.position LIMIT batch
  ), lost AS (
    SELECT ROW (
      c.job_id, c.workflow_id, c.position, coalesce(j.state::text, 'cancelled'), coalesce(j.attempt, 0),
      CASE WHEN j.state = 'completed' THEN j.meta -> 'return' -> 'json' END,
      CASE WHEN j.state <> 'completed' THEN j.errors -> -1 END,
      j.inserted_at AT TIME ZONE 'UTC', j.attempted_at AT TIME ZONE 'UTC',
      CASE WHEN j.id IS NULL THEN 'job_deleted' END
    )::powertools.outcome AS outcome
    FROM chunk c
    LEFT JOIN public.oban_jobs j ON j.id = c.job_id
    WHERE c.state = 'available' AND (j.id IS NULL OR j.state IN ('completed', 'discarded', 'cancelled'))
      AND NOT EXISTS (SELECT FROM powertools.settle_faults f WHERE f.job_id = c.job_id AND f.repaired_at IS NULL)
  )
  SELECT n.seen, n.workflow_id, n.position, l.outcomes
  INTO seen, after_workflow_id, after_position, outcomes
  FROM (
    SELECT count(*) AS seen, max(workflow_id) AS workflow_id,
      (array_agg(position ORDER BY workflow_id DESC, position DESC))[1] AS position
    FROM chunk
  ) AS n
  CROSS JOIN (SELECT array_agg(outcome) AS outcomes FROM lost) AS l;
  IF seen < batch THEN
    after_workflow_id := 0;
    after_position := -1;
  END IF;
  reconciled := coalesce(cardinality(outcomes), 0);
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle_guarded_v1(outcomes);
  END IF;
END $$;
