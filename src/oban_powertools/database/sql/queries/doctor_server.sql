-- The doctor's checks of the server, the database and the sessions: their settings, and the locks that they hold.
-- As doctor.sql: each doctor_check_<name> has one row a finding.

-- name: doctor_check_roles
-- Rows: subject, found.
SELECT 'role ' || r.rolname AS subject, 'may connect to this database' AS found
FROM pg_roles r
WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
  AND has_database_privilege(r.oid, current_database(), 'CONNECT')
  AND NOT has_schema_privilege(r.oid, %(schema)s::text, 'USAGE')
  AND NOT pg_has_role(r.oid, (SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()), 'MEMBER')
ORDER BY r.rolname LIMIT 20;

-- name: doctor_check_connections
-- Rows: subject, found.
SELECT 'the server''s connections' AS subject, format('%%s of %%s are in use', a.used, m.most) AS found
FROM (SELECT count(*) AS used FROM pg_stat_activity a WHERE a.backend_type = 'client backend') AS a
CROSS JOIN (
  SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
) AS m
WHERE a.used > m.most * 0.8;

-- name: doctor_check_encoding
-- Rows: subject, found.
SELECT 'the database' AS subject, format('encoded in %%s', pg_encoding_to_char(d.encoding)) AS found
FROM pg_database d WHERE d.datname = current_database() AND pg_encoding_to_char(d.encoding) <> 'UTF8'
UNION ALL
SELECT 'new sessions', format('given %%s', c.setting)
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
WHERE c.setting ILIKE 'client_encoding=%%' AND c.setting !~* '=(utf-?8|unicode)$'
  AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND s.setrole IN (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user));

-- name: doctor_check_replication_role
-- In a session with this setting no trigger fires, ours and foreign keys among them. Other sessions' value cannot be
-- read.
-- Rows: subject, found.
SELECT concat_ws(' ', 'new sessions', 'of role ' || nullif(s.setrole, 0)::regrole) AS subject,
  format('given %%s', c.setting) AS found
FROM pg_db_role_setting s
LEFT JOIN pg_database d ON d.oid = s.setdatabase
CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
WHERE c.setting ILIKE 'session_replication_role=replica' AND (s.setdatabase = 0 OR d.datname = current_database())
UNION ALL
SELECT 'this session, and others like it', 'given session_replication_role=replica'
WHERE current_setting('session_replication_role') = 'replica';

-- name: doctor_check_notifications
-- Rows: subject, found.
SELECT 'the queue of NOTIFY' AS subject,
  format('%%s percent of it are used; the oldest transaction is that of session %%s', round(u.usage * 100), (
    SELECT coalesce(min(a.pid)::text, '?') FROM pg_stat_activity a
    WHERE a.xact_start = (SELECT min(o.xact_start) FROM pg_stat_activity o WHERE o.backend_type = 'client backend')
  )) AS found
FROM (SELECT pg_notification_queue_usage()::numeric AS usage) AS u
WHERE u.usage > 0.1;

-- name: doctor_check_transactions
-- Rows: subject, found.
SELECT subject, found
FROM (
  SELECT format('session %%s (%%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename, '?')) AS subject,
    format('in one transaction since %%s', to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')) AS found
  FROM pg_stat_activity a
  WHERE a.datname = current_database() AND a.backend_type = 'client backend'
    AND (
      a.xact_start < clock_timestamp() - interval '10 minutes'
      OR a.xact_start IS NOT NULL AND a.state <> 'active' AND a.state_change < clock_timestamp() - interval '1 minute'
    )
  UNION ALL
  SELECT format('prepared transaction %%s', p.gid), format('prepared since %%s', to_char(p.prepared, 'YYYY-MM-DD HH24:MI:SS TZ'))
  FROM pg_prepared_xacts p
  WHERE p.database = current_database() AND p.prepared < clock_timestamp() - interval '10 minutes'
) AS old
LIMIT 20;

-- name: doctor_check_locks
-- Sessions that block others: by locks on our and Oban's tables, and by advisory locks that a stranger holds or that
-- somebody waits for; a host may have some of its own.
-- Rows: subject, found.
WITH held AS (
  SELECT l.pid, count(*) FILTER (WHERE l.locktype = 'advisory') AS advisory, string_agg(DISTINCT c.relname, ', ') AS tables
  FROM pg_locks l
  LEFT JOIN pg_class c ON c.oid = l.relation
  WHERE l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND (
      l.locktype = 'advisory'
      OR l.mode <> 'AccessShareLock' AND c.relkind = 'r' AND (
        c.relnamespace = to_regnamespace(quote_ident(%(schema)s::text))
        OR c.relname LIKE E'oban\\_%%' AND c.relnamespace = to_regnamespace(quote_ident(%(prefix)s::text))
      )
    )
  GROUP BY l.pid
), waiting AS (
  SELECT b.pid, string_agg(DISTINCT w.pid::text, ', ') AS waiters, min(w.waitstart) AS began_at
  FROM pg_locks w
  CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid)
  WHERE NOT w.granted
  GROUP BY b.pid
)
SELECT format('session %%s (%%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename, '?')) AS subject,
  format('%%s since %%s, has locked %%s; %%s', a.state, to_char(a.state_change, 'YYYY-MM-DD HH24:MI:SS TZ'),
    concat_ws(', ', h.tables, h.advisory || CASE h.advisory WHEN 0 THEN NULL WHEN 1 THEN ' advisory lock' ELSE ' advisory locks' END),
    CASE
      WHEN w.waiters IS NULL THEN 'nothing waits for it'
      ELSE format('sessions that wait for it: %%s', w.waiters)
    END
  ) AS found
FROM held h
JOIN pg_stat_activity a USING (pid)
LEFT JOIN waiting w USING (pid)
WHERE w.began_at < clock_timestamp() - interval '1 minute'
  OR a.state <> 'active' AND a.state_change < clock_timestamp() - interval '1 minute'
    AND (h.tables IS NOT NULL OR NOT has_schema_privilege(a.usesysid, %(schema)s::text, 'USAGE'))
ORDER BY w.began_at, a.state_change LIMIT 20;

-- name: doctor_check_durability
-- Rows: subject, found.
SELECT 'setting ' || s.name AS subject, 'off: what was committed can be lost in a crash' AS found
FROM pg_settings s
WHERE s.name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND s.setting = 'off'
ORDER BY s.name;

-- name: doctor_check_vacuum
-- Rows: subject, found.
SELECT subject, found
FROM (
  SELECT 'setting ' || s.name AS subject, 'off' AS found
  FROM pg_settings s WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'
  UNION ALL
  SELECT format('table %%s.%%s', n.nspname, c.relname), 'autovacuum is switched off for it'
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE (n.nspname = %(schema)s::text OR c.oid = to_regclass(format('%%I.oban_jobs', %(prefix)s::text)))
    AND c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off']
) AS off
LIMIT 20;
