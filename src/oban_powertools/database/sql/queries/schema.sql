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
-- Rows: one; versions and names are those of the migrations that were applied, ascending; compatible_from is the oldest version whose
--   releases work on them, 0 when there are none. The table has had its column compatible_from since version 24.
SELECT
  coalesce(array_agg(m.version ORDER BY m.version), '{}') AS versions,
  coalesce(array_agg(m.name ORDER BY m.version), '{}') AS names,
  coalesce(max(coalesce((to_jsonb(m) ->> 'compatible_from')::int, m.version)), 0) AS compatible_from
FROM powertools.migrations m;

-- name: schema_index
-- An index that a migration builds outside a transaction.
-- Args: name (text, with its schema).
-- Rows: one; valid is NULL when there is none.
SELECT (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(%(name)s::text)) AS valid;

-- name: check_invariants
-- Rows: invariant, workflow_id, step_position (NULL for the workflow as a whole), detail; one a violation.
SELECT invariant, workflow_id, step_position, detail FROM powertools.check_invariants_v1();

-- name: count_workflows
-- Rows: one; workflows is how many are stored. Reads the whole table: only before it may be dropped.
SELECT count(*) AS workflows FROM powertools.workflows;
