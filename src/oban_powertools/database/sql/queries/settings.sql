-- What must be equal on all nodes: one row a setting.

-- name: list_settings
-- Rows: name, value (JSON), changed_at (NULL: never), changed_by (NULL: a process); by name.
SELECT s.name, s.value, s.changed_at, s.changed_by FROM powertools.settings s ORDER BY s.name;

-- name: lock_setting
-- Args: name.
-- Rows: one, as list_settings. Locks: the setting.
SELECT s.name, s.value, s.changed_at, s.changed_by FROM powertools.settings s WHERE s.name = %(name)s::text FOR UPDATE;

-- name: change_setting
-- What an operator did.
-- Args: name, value (JSON text), actor.
-- Rows: one, as list_settings. Locks: the setting.
UPDATE powertools.settings s
SET value = %(value)s::jsonb, changed_at = clock_timestamp(), changed_by = %(actor)s::text
WHERE s.name = %(name)s::text
RETURNING s.name, s.value, s.changed_at, s.changed_by;

-- name: adopt_settings
-- A process starts with these: they become the database's where nobody has set it yet.
-- Args: given (JSON text: name -> value), reason.
-- Rows: one, adopted: the names. Locks: these settings, by name; a row that another process sets is waited for.
WITH free AS (
  SELECT s.name, s.value AS before, g.value
  FROM powertools.settings s
  JOIN jsonb_each(%(given)s::jsonb) AS g (name, value) ON g.name = s.name
  WHERE s.changed_at IS NULL
  ORDER BY s.name FOR UPDATE OF s
), adopted AS (
  UPDATE powertools.settings s SET value = f.value, changed_at = clock_timestamp()
  FROM free f WHERE s.name = f.name AND s.changed_at IS NULL
  RETURNING s.name, f.before, s.value
)
SELECT array_agg(a.name) AS adopted, powertools.record_system_v1(
  'settings_change', 'setting', array_agg(a.name), %(reason)s::text, array_agg(jsonb_build_object('value', a.before)),
  array_agg(jsonb_build_object('value', a.value))
) AS recorded
FROM adopted a
HAVING count(*) > 0;

-- name: doctor_check_settings
-- Settings that a living process was started with, and that the database has otherwise: the database counts.
-- Rows: subject (the setting), found; by name.
SELECT g.name AS subject,
  format('%%s in the database, %%s where %%s was started', s.value, g.value, string_agg(DISTINCT e.node, ', ' ORDER BY e.node)) AS found
FROM powertools.executors e
CROSS JOIN jsonb_each(e.started_with) AS g (name, value)
JOIN powertools.settings s ON s.name = g.name AND s.value <> g.value
WHERE num_nonnulls(e.stopped_at, e.died_at, e.missing_at, e.relieved_at) = 0
GROUP BY g.name, s.value, g.value
ORDER BY g.name, g.value;
