-- What rescue takes: the jobs of executors that are gone, that nobody knows, or that do not know them. The rules are those
-- of 0015_executors.sql. Locks: none to install.

-- Rescues the jobs of executors that are gone; with unknown_after also looks through all executing jobs, for those
-- of executors that nobody knows (no row of ours, no producer of Oban's that was refreshed in the last minute) whose
-- attempt is older than that, and for what a gone executor's last statements still fetched. At most one batch of
-- each kind; a job that is being changed is left to the next look. NULL: another node is at it.
CREATE FUNCTION powertools.rescue_v1(modes jsonb, batch int, unknown_after interval) RETURNS int
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
DECLARE
  gone text[];
  orphans powertools.orphan[];
  unknown powertools.orphan[];
  -- whether one of ours has been beating for so long that whatever is still dated in the future has ended (executors/R6)
  watched bool;
BEGIN
  PERFORM powertools.undate_executors_v1();
  gone := ARRAY(
    SELECT g.executor_id FROM powertools.gone_executors g WHERE g.relieved_at IS NULL OR unknown_after IS NOT NULL
  );
  IF gone = '{}' AND unknown_after IS NULL THEN
    RETURN 0;
  END IF;
  IF NOT powertools.take_part_v1('rescue') THEN
    RETURN NULL;
  END IF;
  orphans := ARRAY(
    SELECT ROW (j.id, e.executor_id, CASE WHEN e.stopped_at IS NULL THEN 'gone' WHEN e.abrupt THEN 'ended' ELSE 'stopped' END)::powertools.orphan
    FROM public.oban_jobs j
    JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND e.executor_id = ANY (gone) AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
  );
  watched := EXISTS (
    SELECT FROM powertools.executors w
    WHERE w.stopped_at IS NULL AND w.beat_at > clock_timestamp() - w.gone_after / 2
      AND w.beating_since < clock_timestamp() - greatest(unknown_after, '1 min')
  );
  IF unknown_after IS NOT NULL AND powertools.server_started_at_v1() < clock_timestamp() - least(unknown_after, '1 min')
    AND (watched OR powertools.server_started_at_v1() > '-infinity') THEN
    unknown := ARRAY(
      SELECT ROW (j.id, NULL, 'unknown')::powertools.orphan
      FROM public.oban_jobs j
      WHERE j.state = 'executing'
        AND (
          coalesce(j.attempted_at, j.inserted_at) < timezone('UTC', clock_timestamp()) - unknown_after
          OR watched AND coalesce(j.attempted_at, j.inserted_at) > timezone('UTC', clock_timestamp()) + interval '1 s'
        )
        AND NOT EXISTS (
          SELECT FROM powertools.executors e WHERE e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
        )
        AND NOT EXISTS (
          SELECT FROM public.oban_producers p
          WHERE p.uuid::text = j.attempted_by[2] AND p.updated_at > timezone('UTC', clock_timestamp()) - interval '1 min'
            AND NOT (watched AND p.updated_at > timezone('UTC', clock_timestamp()) + interval '1 s')
        )
        AND NOT EXISTS (
          SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
        )
      ORDER BY j.id LIMIT batch FOR UPDATE OF j SKIP LOCKED
    );
  END IF;
  UPDATE powertools.executors e SET relieved_at = clock_timestamp()
  WHERE e.executor_id = ANY (gone) AND e.relieved_at IS NULL AND NOT EXISTS (
    SELECT FROM public.oban_jobs j
    WHERE j.state = 'executing' AND j.attempted_by[1] = e.node AND j.attempted_by[2] = e.producer
      AND j.id NOT IN (SELECT o.job_id FROM unnest(orphans) AS o) AND NOT EXISTS (
        SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
      )
  );
  IF orphans || unknown = '{}' THEN
    RETURN 0;
  END IF;
  RETURN powertools.rescue_these_v1(orphans || unknown, modes);
END $$;

-- Rescues these attempts, which their own producer says it does not know.
CREATE FUNCTION powertools.rescue_lost_v1(job_ids bigint[], attempted_ats timestamp[], modes jsonb) RETURNS int
LANGUAGE plpgsql
PLANNED EACH TIME
AS $$
BEGIN
  RETURN powertools.rescue_these_v1(ARRAY(
    SELECT ROW (j.id, e.executor_id, 'lost')::powertools.orphan
    FROM public.oban_jobs j
    JOIN unnest(job_ids, attempted_ats) AS l (id, attempted_at) ON l.id = j.id AND l.attempted_at = j.attempted_at
    LEFT JOIN powertools.executors e ON e.node = j.attempted_by[1] AND e.producer = j.attempted_by[2]
    WHERE j.state = 'executing' AND NOT EXISTS (
      SELECT FROM powertools.left_attempts l WHERE l.job_id = j.id AND l.attempted_at = j.attempted_at
    )
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
  ), modes);
END $$;
