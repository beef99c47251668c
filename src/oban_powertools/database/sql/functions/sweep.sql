-- The sweep: finds and settles what no trigger can see.

-- Takes a part until the transaction ends; false when another session has it.
CREATE OR REPLACE FUNCTION powertools.take_part_v2(part text) RETURNS bool
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM FROM powertools.sweep_parts p WHERE p.name = part FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND OR EXISTS (SELECT FROM powertools.sweep_parts p WHERE p.name = part) THEN
    RETURN FOUND;
  END IF;
  -- somebody removed the row
  INSERT INTO powertools.sweep_parts (name) VALUES (part) ON CONFLICT DO NOTHING;
  RETURN FOUND;
END $$;

-- Stores that these parts have done all that was due. Written once in 5 s, whatever the number of nodes; a locked row
-- is written the next time.
CREATE OR REPLACE FUNCTION powertools.parts_succeeded_v1(parts text[]) RETURNS void
LANGUAGE sql
AS $$
  INSERT INTO powertools.sweep_parts (name)
  SELECT n.name FROM unnest(parts) AS n (name)
  WHERE NOT EXISTS (SELECT FROM powertools.sweep_parts p WHERE p.name = n.name)
  ON CONFLICT DO NOTHING;
  UPDATE powertools.sweep_parts p SET succeeded_at = clock_timestamp()
  WHERE p.name = ANY (ARRAY(
    SELECT d.name FROM powertools.sweep_parts d
    -- an instant in the future was written before the clock was set back
    WHERE d.name = ANY (parts) AND (d.succeeded_at BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp()) IS NOT TRUE
    ORDER BY d.name FOR NO KEY UPDATE SKIP LOCKED
  ));
$$;

-- Fails the step of a settle fault that no repetition can heal, with that reason; its worker's result stays in the
-- fault. Returns whether that could be settled.
CREATE OR REPLACE FUNCTION powertools.settle_as_failed(f powertools.settle_faults, reason text) RETURNS bool
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM powertools.settle(ARRAY[ROW (
    f.workflow_id, f.position, f.job_id, NULL, NULL, CASE f.state WHEN 'cancelled' THEN f.state ELSE 'discarded' END, f.cause,
    f.attempt, NULL, jsonb_build_object('attempt', f.attempt, 'error', format(
      'what its job came to (%s) cannot be settled, and is kept in powertools.settle_faults of job %s: %s', f.state, f.job_id, reason
    )), f.released_at, f.started_at
  )::powertools.outcome]);
  RETURN true;
EXCEPTION WHEN OTHERS THEN
  RETURN false;
END $$;

-- Settles again the jobs of settle faults, each alone; tries are 1, 2, 4 ... 60 s apart. Returns how many
-- were repaired. A fault of the data or of a limit of PostgreSQL's (classes 22 and 54) comes again each time: it fails
-- the step. Locks: family after family by its outermost workflow, which is the lock of the whole family, and before its
-- fault rows: a session that faults again while settling already holds the family.
CREATE OR REPLACE FUNCTION powertools.repair_faults(batch int, OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
AS $$
DECLARE
  f powertools.settle_faults;
  code text;
  detail text;
  ended bool;
BEGIN
  done := 0;
  FOR f IN
    SELECT due.*
    FROM (
      SELECT * FROM powertools.settle_faults
      WHERE repaired_at IS NULL
        AND (
          last_fault_at + make_interval(secs => least(60, power(2, least(faults, 7)) - 2)) <= clock_timestamp()
          OR last_fault_at > clock_timestamp()  -- the clock was set back since
        )
      ORDER BY last_fault_at LIMIT batch
    ) AS due
    JOIN powertools.workflows w ON w.id = due.workflow_id
    ORDER BY w.root_id
  LOOP
    BEGIN
      PERFORM powertools.settle(ARRAY[ROW (
        f.workflow_id, f.position, f.job_id, NULL, NULL, f.state, f.cause, f.attempt, f.result, f.error, f.released_at, f.started_at
      )::powertools.outcome]);
      UPDATE powertools.settle_faults SET repaired_at = clock_timestamp() WHERE job_id = f.job_id;
      done := done + 1;
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, detail = MESSAGE_TEXT;
      ended := left(code, 2) IN ('22', '54') AND f.state IN ('completed', 'discarded', 'cancelled', 'awaiting_signal')
        AND powertools.settle_as_failed(f, detail);
      UPDATE powertools.settle_faults
      SET faults = faults + 1, last_fault_at = clock_timestamp(), sqlstate = code, message = detail,
          repaired_at = CASE WHEN ended THEN clock_timestamp() END
      WHERE job_id = f.job_id;
      done := done + ended::int;
    END;
  END LOOP;
  more := done > 0;
END $$;

-- Settles live steps whose job was removed or ended without a trigger (TRUNCATE, a disabled trigger, a restore). Checks
-- one batch of the unfinished workflows' steps after the cursor and returns the next cursor; it starts over (0, -1)
-- when the end is reached. reconciled is NULL when another node does it. Locks: the part's row, once there is
-- something to settle; then as settle.
CREATE OR REPLACE FUNCTION powertools.reconcile_v1(
  INOUT after_workflow_id bigint, INOUT after_position int, batch int, OUT reconciled int
)
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  since_workflow_id CONSTANT bigint := after_workflow_id;
  since_position CONSTANT int := after_position;
  outcomes powertools.outcome[];
  seen int;
BEGIN
  WITH chunk AS (
    SELECT s.workflow_id, s.position, s.job_id, s.state
    FROM powertools.workflows w
    JOIN powertools.steps s ON s.workflow_id = w.id
    WHERE w.state IN ('running', 'cancel_requested') AND w.id >= after_workflow_id
      AND (s.workflow_id > after_workflow_id OR s.position > after_position)
    ORDER BY w.id, s.position LIMIT batch
  ), lost AS (
    SELECT ROW (
      c.workflow_id, c.position, c.job_id, NULL, NULL,
      CASE WHEN j.state = 'completed' AND j.meta -> 'return' ? 'await' THEN 'awaiting_signal' ELSE coalesce(j.state::text, 'cancelled') END,
      CASE WHEN j.id IS NULL THEN 'job_deleted' END, coalesce(j.attempt, 0),
      CASE WHEN j.state = 'completed' THEN j.meta -> 'return' END,
      CASE WHEN j.state <> 'completed' THEN j.errors -> -1 END,
      j.inserted_at AT TIME ZONE 'UTC', j.attempted_at AT TIME ZONE 'UTC'
    )::powertools.outcome AS outcome
    FROM chunk c
    LEFT JOIN public.oban_jobs j ON j.id = c.job_id AND powertools.is_job_of_v1(j.meta, c.workflow_id, c.position)
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
  -- Only now, because a row lock is a write, and a check that finds nothing writes nothing.
  IF outcomes IS NOT NULL THEN
    IF NOT powertools.take_part_v2('reconcile') THEN
      after_workflow_id := since_workflow_id;
      after_position := since_position;
      reconciled := NULL;
      RETURN;
    END IF;
    PERFORM powertools.settle_guarded(outcomes);
  END IF;
END $$;

-- Matches these waits with signals that they missed because both transactions were open.
CREATE OR REPLACE FUNCTION powertools.match_signals(wait_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  outcomes powertools.outcome[];
BEGIN
  PERFORM powertools.lock_families_v1(ARRAY(SELECT w.workflow_id FROM powertools.waits w WHERE w.id = ANY (wait_ids)));
  outcomes := powertools.consume_signals(wait_ids);
  IF outcomes IS NOT NULL THEN
    PERFORM powertools.settle(outcomes);
  END IF;
END $$;

-- Calls a function for these ids, all at once; on a fault half by half, so that a faulty one fails alone and stops no
-- other (property/P16). Returns for how many it was done.
CREATE OR REPLACE FUNCTION powertools.do_by_halves(swept_by text, ids bigint[]) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  half CONSTANT int := cardinality(ids) / 2;
BEGIN
  IF ids = '{}' THEN
    RETURN 0;
  END IF;
  EXECUTE format('SELECT powertools.%I($1)', swept_by) USING ids;
  RETURN cardinality(ids);
EXCEPTION WHEN OTHERS THEN
  IF half = 0 THEN
    RAISE WARNING 'powertools could not % of %: %', swept_by, ids[1], SQLERRM;
    RETURN 0;
  END IF;
  RETURN powertools.do_by_halves(swept_by, ids[: half]) + powertools.do_by_halves(swept_by, ids[half + 1:]);
END $$;

-- The same, told as a batch; failed ids are tried again with every batch, so they are no reason for another.
CREATE OR REPLACE FUNCTION powertools.sweep_by_halves(swept_by text, ids bigint[], OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
AS $$
BEGIN
  done := powertools.do_by_halves(swept_by, ids);
  failed := cardinality(ids) - done;
  more := done > failed;
END $$;

-- Matches a batch of waits, and closes signals that no workflow can meet any more.
CREATE OR REPLACE FUNCTION powertools.match_missed(batch int, OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
AS $$
DECLARE
  put_by int;
BEGIN
  SELECT m.done, m.failed INTO done, failed
  FROM powertools.sweep_by_halves('match_signals', powertools.waits_to_match(batch)) AS m;
  done := done + powertools.close_signals(batch);
  put_by := powertools.put_by(batch);
  more := done > failed OR put_by = batch;
END $$;

-- One batch of a part of the sweep, on whichever node takes it; failed is how many could not be done now, more whether
-- there may be more to do at once. Each batch is a transaction of its own, so that it holds no workflow of another
-- batch (settle/S4). An upgrade writes in a line of each row of sweep_parts.py with a function.
CREATE OR REPLACE FUNCTION powertools.sweep_part_v1(part text, batch int, OUT swept bool, OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
AS $$
DECLARE
  tally record;
BEGIN
  swept := powertools.take_part_v2(part);
  IF NOT swept THEN
    RETURN;
  END IF;
  CASE part
    /* each part, swept */
  END CASE;
  done := tally.done;
  failed := tally.failed;
  more := tally.more;
END $$;
