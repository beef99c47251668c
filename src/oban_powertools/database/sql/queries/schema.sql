-- name: schema_facts
-- What this database is and holds.
-- Args: schema, prefix (text).
-- Rows: one; oban_columns (column -> type) is NULL when Oban's tables are missing; others are schemas of Powertools whose triggers are on
--   the same jobs.
SELECT
  current_setting('server_version_num')::int AS server_version,
  current_setting('transaction_read_only')::bool AS read_only,
  current_setting('server_encoding') AS encoding,
  to_regclass(format('%%I.migrations', %(schema)s::text)) IS NOT NULL AS installed,
  (
    SELECT jsonb_object_agg(a.attname, format_type(a.atttypid, NULL))
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(format('%%I.oban_jobs', %(prefix)s::text)) AND a.attnum > 0 AND NOT a.attisdropped
  ) AS oban_columns,
  ARRAY(
    SELECT n.nspname::text
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE t.tgrelid = to_regclass(format('%%I.oban_jobs', %(prefix)s::text)) AND p.proname ~ '^jobs_updated_v[0-9]+$'
      AND n.nspname <> %(schema)s::text
    ORDER BY 1
  ) AS others;

-- name: schema_versions
-- Rows: one; versions are those of the migrations that were applied, ascending.
SELECT ARRAY(SELECT m.version FROM powertools.migrations m ORDER BY m.version) AS versions;

-- name: check_invariants
-- Rows: invariant, workflow_id, step_position (NULL for the workflow as a whole), detail; one a violation.
SELECT invariant, workflow_id, step_position, detail FROM powertools.check_invariants_v1();
