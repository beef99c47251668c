-- Functions that only workers of earlier releases call. Each is removed when no migration is compatible with its
-- release.

-- 24: ages were settings of a process; now they stand on the executor's row.
CREATE OR REPLACE FUNCTION powertools.beat_v1(
  executor_ids text[], nodes text[], producers text[], scopes text[], loop_ages float8[], gone_afters interval[],
  of_host text DEFAULT NULL, of_pid int DEFAULT NULL, of_ticks bigint DEFAULT NULL
) RETURNS int
LANGUAGE sql
AS $$
  SELECT powertools.beat_v1(
    executor_ids, nodes, producers, scopes, loop_ages, gone_afters, '{}', '{}', '45 s', '2 min', '{}', of_host, of_pid, of_ticks
  )
$$;

CREATE OR REPLACE FUNCTION powertools.executor_health_v1(
  late_after interval, missing_after interval, at timestamptz DEFAULT statement_timestamp()
)
RETURNS TABLE (
  executor_id text, node text, producer_scope text, state text, process_alive bool, loop_responsive bool,
  executing bigint, started_at timestamptz, beat_at timestamptz, loop_beat_at timestamptz, stopped_at timestamptz
)
LANGUAGE sql STABLE
AS $$
  SELECT * FROM powertools.executor_health_v1(at)
$$;

-- 24: thresholds were settings of a process; now they are rows.
CREATE OR REPLACE FUNCTION powertools.project_incidents_v1(thresholds jsonb, only_fingerprint text DEFAULT NULL) RETURNS void
LANGUAGE sql
AS $$
  SELECT powertools.project_incidents_v1(only_fingerprint)
$$;

CREATE OR REPLACE FUNCTION powertools.sweep_incidents_v1(thresholds jsonb, every interval) RETURNS bool
LANGUAGE sql
AS $$
  SELECT powertools.sweep_incidents_v1(every)
$$;
