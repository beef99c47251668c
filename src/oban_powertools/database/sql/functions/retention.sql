-- Retention: removes rows whose time is over, and archives some of them.
--
-- Rules: retention/P1 to P4, on docs/design/rules.md.

-- retention/P2: the outermost workflows that an open row still references.
CREATE OR REPLACE FUNCTION powertools.needed_workflows() RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT w.root_id
    FROM (
      SELECT f.workflow_id FROM powertools.settle_faults f WHERE f.repaired_at IS NULL
      UNION
      SELECT l.workflow_id FROM powertools.late_results l WHERE l.adopted_at IS NULL AND l.dismissed_at IS NULL
      UNION
      SELECT CASE WHEN split_part(i.subject_id, '/', 1) ~ '^[0-9]{1,18}$' THEN split_part(i.subject_id, '/', 1)::bigint END
      FROM powertools.incidents i
      WHERE i.state <> 'resolved' AND i.subject_type IN ('workflow', 'step', 'wait', 'callback')
      UNION
      SELECT CASE WHEN j.meta ->> 'workflow_id' ~ '^[0-9]{1,18}$' THEN (j.meta ->> 'workflow_id')::bigint END
      FROM powertools.incidents i
      CROSS JOIN LATERAL jsonb_array_elements_text(i.evidence -> 'ids') AS e (id)
      JOIN public.oban_jobs j ON j.id = e.id::bigint
      WHERE i.state <> 'resolved' AND i.evidence ->> 'id_type' = 'job'
    ) AS n
    JOIN powertools.workflows w ON w.id = n.workflow_id
  );
END $$;

-- Families whose outermost workflow ended before ended_before and whose events have left the log (retention/P2).
-- Checks the next 2,000 workflows after the cursor; last is the next cursor, NULL at the end, where younger workflows
-- begin. Families are chosen until they have about so many steps; locked ones are skipped.
CREATE OR REPLACE FUNCTION powertools.due_families(
  ended_before timestamptz, after bigint, steps int, OUT family bigint[], OUT last bigint
)
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  needed CONSTANT bigint[] := powertools.needed_workflows();
  roots bigint[];
BEGIN
  WITH seen AS (
    SELECT w.id, w.total, w.inserted_at < ended_before AS old,
      w.parent_id IS NULL AND w.finished_at < ended_before AND w.id <> ALL (needed) AS due
    FROM powertools.workflows w WHERE w.id > after ORDER BY w.id LIMIT 2000
  ), walked AS (
    SELECT s.*, sum(CASE WHEN s.due THEN s.total ELSE 0 END) OVER (ORDER BY s.id) - CASE WHEN s.due THEN s.total ELSE 0 END AS before
    FROM seen s
  )
  SELECT array_agg(w.id) FILTER (WHERE w.due), CASE WHEN bool_and(w.old) AND count(*) > 0 THEN max(w.id) END
  INTO roots, last
  FROM walked w WHERE w.before < steps;
  roots := ARRAY(
    SELECT w.id FROM powertools.workflows w
    WHERE w.id = ANY (roots) AND w.finished_at < ended_before
    ORDER BY w.id FOR UPDATE SKIP LOCKED
  );
  SELECT array_agg(w.id) INTO family
  FROM powertools.workflows w
  WHERE w.id = ANY (powertools.family_of_v1(roots)) AND w.root_id <> ALL (ARRAY(
    SELECT w.root_id
    FROM powertools.workflows w
    CROSS JOIN LATERAL (
      SELECT e.batch_id FROM powertools.events e WHERE e.workflow_id = w.id ORDER BY e.number DESC LIMIT 1
    ) AS e
    WHERE w.id = ANY (powertools.family_of_v1(roots))
      AND EXISTS (SELECT FROM powertools.event_batches b WHERE b.id = e.batch_id)
  ));
END $$;

-- Archives and removes workflows with their steps, waits, consumed signals and last events. Returns how many rows of
-- the archive it wrote and how many rows it removed. The caller holds the families (retention/P3).
CREATE OR REPLACE FUNCTION powertools.prune_workflows(family bigint[], run bigint, OUT archived int, OUT pruned int)
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  gone int;
BEGIN
  INSERT INTO powertools.archive (class, original_id, run_id, record)
  SELECT 'workflows', w.id, run, to_jsonb(w) - '{context,on_finished}'::text[] || jsonb_build_object(
    'commands', (
      SELECT jsonb_agg(to_jsonb(c) - '{workflow_id,details}'::text[] ORDER BY c.id) FROM powertools.commands c WHERE c.workflow_id = w.id
    )
  )
  FROM unnest(family) AS f (id) JOIN powertools.workflows w ON w.id = f.id;
  GET DIAGNOSTICS archived = ROW_COUNT;
  WITH removed AS (
    DELETE FROM powertools.steps s USING unnest(family) AS f (id) WHERE s.workflow_id = f.id
    RETURNING s.workflow_id, s.position, s.name, s.state, s.cause, s.attempt, s.generation, s.worker, s.started_at, s.finished_at
  ), kept AS (
    INSERT INTO powertools.archive (class, original_id, part, run_id, record)
    SELECT 'workflows', r.workflow_id, 1 + r.position / 1000, run, jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'position', r.position, 'name', r.name, 'state', r.state, 'cause', r.cause, 'attempt', r.attempt,
      'generation', r.generation, 'worker', r.worker, 'started_at', r.started_at, 'finished_at', r.finished_at
    )) ORDER BY r.position)
    FROM removed r GROUP BY r.workflow_id, 1 + r.position / 1000
    RETURNING 1
  )
  SELECT (SELECT count(*) FROM removed), archived + (SELECT count(*) FROM kept) INTO pruned, archived;
  WITH waits AS (
    DELETE FROM powertools.waits n USING unnest(family) AS f (id) WHERE n.workflow_id = f.id RETURNING n.id
  ), signals AS (
    DELETE FROM powertools.signals g USING waits n WHERE g.wait_id = n.id RETURNING 1
  ), events AS (
    DELETE FROM powertools.events e USING unnest(family) AS f (id) WHERE e.workflow_id = f.id RETURNING 1
  ), callbacks AS (
    DELETE FROM powertools.callbacks c USING unnest(family) AS f (id) WHERE c.workflow_id = f.id RETURNING 1
  ), workflows AS (
    DELETE FROM powertools.workflows w USING unnest(family) AS f (id) WHERE w.id = f.id RETURNING 1
  )
  SELECT (SELECT count(*) FROM waits) + (SELECT count(*) FROM signals) + (SELECT count(*) FROM events)
    + (SELECT count(*) FROM callbacks) + (SELECT count(*) FROM workflows)
  INTO gone;
  pruned := pruned + gone;
END $$;

-- Archives whole seals of the audit that are old enough, and removes them through the audit's own function, which
-- keeps the chain. Returns how many rows.
CREATE OR REPLACE FUNCTION powertools.archive_audit(kept_for interval, run bigint, seals int) RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  from_seal bigint;
  upto bigint;
  archived int;
  removed int;
BEGIN
  SELECT c.pruned_to INTO from_seal FROM powertools.audit_chain c;
  upto := powertools.prunable_seal(kept_for, seals);
  IF upto IS NULL THEN
    RETURN 0;
  END IF;
  INSERT INTO powertools.archive (class, original_id, run_id, record)
  SELECT 'audit', a.id, run, to_jsonb(a) || jsonb_build_object('seal_id', l.seal_id, 'row_hash', encode(l.row_hash, 'hex'))
  FROM powertools.audit_links l JOIN powertools.audit a ON a.id = l.audit_id
  WHERE l.seal_id > from_seal AND l.seal_id <= upto;
  GET DIAGNOSTICS archived = ROW_COUNT;
  removed := powertools.prune_audit_v1(kept_for, (upto - from_seal)::int);
  IF removed <> archived THEN
    RAISE EXCEPTION 'the audit is being verified, or was changed: % rows archived, % removed', archived, removed
    USING ERRCODE = 'lock_not_available';
  END IF;
  RETURN removed;
END $$;

-- Archives and removes one batch of a class whose rows are in one table.
CREATE OR REPLACE FUNCTION powertools.prune_rows(
  of_class text, older_than timestamptz, run bigint, batch int, OUT archived int, OUT pruned int
)
LANGUAGE plpgsql
AS $$
BEGIN
  archived := 0;
  pruned := 0;
  CASE of_class
    WHEN 'signals' THEN
      WITH gone AS (
        DELETE FROM powertools.signals g WHERE g.id = ANY (ARRAY(
          SELECT x.id FROM powertools.signals x
          WHERE x.inserted_at < older_than AND x.status <> 'stored'
            AND NOT EXISTS (SELECT FROM powertools.waits n WHERE n.id = x.wait_id)
          ORDER BY x.inserted_at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING g.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, g.id, run, to_jsonb(g) - 'payload' FROM gone g;
    WHEN 'rescues' THEN
      WITH gone AS (
        DELETE FROM powertools.rescues r WHERE r.id = ANY (ARRAY(
          SELECT x.id FROM powertools.rescues x
          WHERE x.at < older_than AND NOT EXISTS (  -- how often its executors died is counted while the job may run
            SELECT FROM public.oban_jobs j WHERE j.id = x.job_id AND j.state NOT IN ('completed', 'discarded', 'cancelled')
          ) AND NOT EXISTS (  -- its timeline tells of them
            SELECT FROM powertools.incidents i
            WHERE i.state <> 'resolved' AND i.evidence ->> 'id_type' = 'job' AND i.evidence -> 'ids' @> to_jsonb(x.job_id)
          ) ORDER BY x.at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING r.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, r.id, run, to_jsonb(r) FROM gone r;
    WHEN 'late_results' THEN
      WITH gone AS (
        DELETE FROM powertools.late_results l WHERE l.id = ANY (ARRAY(
          SELECT x.id FROM powertools.late_results x
          WHERE coalesce(x.adopted_at, x.dismissed_at) < older_than LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING l.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, l.id, run, to_jsonb(l) - '{result,error}'::text[] FROM gone l;
    WHEN 'incidents' THEN
      WITH gone AS (
        DELETE FROM powertools.incidents i WHERE i.id = ANY (ARRAY(
          SELECT x.id FROM powertools.incidents x
          WHERE x.state = 'resolved' AND x.resolved_at < older_than
            AND NOT EXISTS (SELECT FROM powertools.audit a WHERE a.incident_id = x.id)
          ORDER BY x.resolved_at LIMIT batch FOR UPDATE SKIP LOCKED
        )) RETURNING i.*
      ), entries AS (
        DELETE FROM powertools.incident_entries e USING gone g WHERE e.incident_id = g.id RETURNING e.*
      )
      INSERT INTO powertools.archive (class, original_id, run_id, record)
      SELECT of_class, g.id, run, to_jsonb(g) || jsonb_build_object(
        'entries', (SELECT jsonb_agg(to_jsonb(e) - 'incident_id' ORDER BY e.id) FROM entries e WHERE e.incident_id = g.id)
      )
      FROM gone g;
  END CASE;
  GET DIAGNOSTICS archived = ROW_COUNT;
  pruned := archived;
END $$;

-- Removes one batch of a class that is not archived.
CREATE OR REPLACE FUNCTION powertools.drop_rows(of_class text, older_than timestamptz, audit_older_than timestamptz, batch int)
RETURNS int
LANGUAGE plpgsql
AS $$
DECLARE
  audited_too CONSTANT timestamptz := least(older_than, coalesce(audit_older_than, '-infinity'));
  pruned int;
BEGIN
  CASE of_class
    WHEN 'executors' THEN
      DELETE FROM powertools.executors e WHERE e.executor_id = ANY (ARRAY(
        SELECT x.executor_id FROM powertools.executors x
        WHERE x.relieved_at < older_than AND coalesce(x.stopped_at, x.beat_at) < older_than AND NOT EXISTS (
          SELECT FROM powertools.incidents i
          WHERE i.state <> 'resolved' AND i.subject_type = 'executor' AND i.subject_id = x.executor_id
        ) LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'settle_faults' THEN
      DELETE FROM powertools.settle_faults f WHERE f.job_id = ANY (ARRAY(
        SELECT x.job_id FROM powertools.settle_faults x WHERE x.repaired_at < older_than LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'previews' THEN
      -- a preview that somebody tried to execute is in the audit, and stays as long (retention/P2)
      DELETE FROM powertools.previews p WHERE p.id = ANY (ARRAY(
        SELECT x.id FROM powertools.previews x
        WHERE coalesce(x.ended_at, x.expires_at)
          < CASE WHEN x.status IN ('ready', 'expired') THEN older_than ELSE audited_too END LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'bulks' THEN
      WITH gone AS (
        DELETE FROM powertools.bulks b WHERE b.id = ANY (ARRAY(
          SELECT x.id FROM powertools.bulks x
          WHERE coalesce(x.ended_at, x.started_at, x.expires_at) < CASE WHEN x.status IN ('ready', 'expired') THEN older_than
            ELSE audited_too END LIMIT batch / 1000 + 1 FOR UPDATE SKIP LOCKED
        )) RETURNING b.id
      ), items AS (
        DELETE FROM powertools.bulk_items m USING gone g WHERE m.bulk_id = g.id RETURNING 1
      )
      SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM items) INTO pruned;
      RETURN pruned;
    WHEN 'prune_runs' THEN
      DELETE FROM powertools.prune_runs r WHERE r.id = ANY (ARRAY(
        SELECT x.id FROM powertools.prune_runs x
        WHERE coalesce(x.finished_at, x.started_at) < audited_too AND (x.archived = '{}' OR NOT EXISTS (
          SELECT FROM powertools.archive a
          WHERE a.archived_at BETWEEN x.started_at AND coalesce(x.finished_at, 'infinity') AND a.run_id = x.id
        )) LIMIT batch FOR UPDATE SKIP LOCKED
      ));
    WHEN 'archive' THEN
      DELETE FROM powertools.archive a WHERE a.ctid = ANY (ARRAY(
        SELECT x.ctid FROM powertools.archive x WHERE x.archived_at < older_than LIMIT batch
      ));
  END CASE;
  GET DIAGNOSTICS pruned = ROW_COUNT;
  RETURN pruned;
END $$;

-- One batch of a class, in the caller's transaction (retention/P1). kept_for, audit_kept_for: NULL for ever. after,
-- last: as due_families. Returns how many rows it archived and removed and whether there is more; archived is NULL when
-- another session is pruning. Locks: the part's row; the rows it removes, skipping locked ones.
CREATE OR REPLACE FUNCTION powertools.prune_batch_v1(
  of_class text, kept_for interval, audit_kept_for interval, run bigint, batch int, after bigint,
  OUT archived int, OUT pruned int, OUT last bigint, OUT more bool
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  older_than CONSTANT timestamptz := clock_timestamp() - kept_for;
  family bigint[];
BEGIN
  IF NOT powertools.take_part_v2('retention') THEN
    RETURN;
  END IF;
  archived := 0;
  pruned := 0;
  IF kept_for IS NULL THEN
    more := false;
    RETURN;
  END IF;
  CASE
    WHEN of_class = 'workflows' THEN
      SELECT d.family, d.last INTO family, last FROM powertools.due_families(older_than, after, batch) AS d;
      IF family IS NOT NULL THEN
        SELECT p.archived, p.pruned INTO archived, pruned FROM powertools.prune_workflows(family, run) AS p;
      END IF;
      more := last IS NOT NULL;
    WHEN of_class = 'audit' THEN
      pruned := powertools.archive_audit(kept_for, run, greatest(batch / 1000, 1));
      archived := pruned;
      more := pruned > 0;
    WHEN of_class IN ('signals', 'rescues', 'late_results', 'incidents') THEN
      SELECT p.archived, p.pruned INTO archived, pruned
      FROM powertools.prune_rows(of_class, older_than, run, batch) AS p;
      more := pruned >= batch;
    ELSE
      pruned := powertools.drop_rows(of_class, older_than, clock_timestamp() - audit_kept_for, batch);
      more := pruned >= CASE of_class WHEN 'bulks' THEN 1 ELSE batch END;
  END CASE;
  UPDATE powertools.prune_runs r
  SET archived = CASE WHEN prune_batch_v1.archived = 0 THEN r.archived ELSE
        r.archived || jsonb_build_object(of_class, coalesce((r.archived ->> of_class)::bigint, 0) + prune_batch_v1.archived)
      END,
      pruned = r.pruned || jsonb_build_object(of_class, coalesce((r.pruned ->> of_class)::bigint, 0) + prune_batch_v1.pruned)
  WHERE r.id = run AND prune_batch_v1.pruned > 0;
END $$;
REVOKE EXECUTE ON FUNCTION powertools.due_families(timestamptz, bigint, int),
  powertools.prune_workflows(bigint[], bigint), powertools.archive_audit(interval, bigint, int),
  powertools.prune_rows(text, timestamptz, bigint, int), powertools.drop_rows(text, timestamptz, timestamptz, int),
  powertools.prune_batch_v1(text, interval, interval, bigint, int, bigint) FROM PUBLIC;
