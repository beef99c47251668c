-- name: record_audit
-- Args: entries (jsonb text: an array of objects with the columns' names). Rows: id, in the order given.
INSERT INTO powertools.audit (
  actor_id, actor_type, actor_label, action, target_type, target_id, workflow_id, step, reason, outcome, before, after,
  plan_hash, preview_id, incident_id, surface, request_id, details
)
SELECT e.actor_id, e.actor_type, e.actor_label, e.action, e.target_type, e.target_id, e.workflow_id, e.step, e.reason,
  e.outcome, e.before, e.after, e.plan_hash, e.preview_id, e.incident_id, e.surface, e.request_id, e.details
FROM ROWS FROM (jsonb_to_recordset(%(entries)s::jsonb) AS (
  actor_id text, actor_type text, actor_label text, action text, target_type text, target_id text, workflow_id bigint, step text, reason text,
  outcome text, before jsonb, after jsonb, plan_hash text, preview_id bigint, incident_id bigint, surface text,
  request_id text, details jsonb
)) WITH ORDINALITY AS e
ORDER BY e.ordinality
RETURNING id;

-- name: list_audit
-- Args: actor, action, target_type, target_id, outcome, actor_type, surface (text or NULL for all), since, until (timestamptz or
--   NULL), before (bigint or NULL), page (int, rows). Rows: newest first. Index: one an argument; for a type or a surface, and
--   without any, the primary key.
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM powertools.audit a LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
WHERE (%(actor)s::text IS NULL OR a.actor_id = %(actor)s::text)
  AND (%(action)s::text IS NULL OR a.action = %(action)s::text)
  AND (%(target_type)s::text IS NULL OR a.target_type = %(target_type)s::text)
  AND (%(target_id)s::text IS NULL OR a.target_id = %(target_id)s::text)
  AND (%(outcome)s::text IS NULL OR a.outcome = %(outcome)s::text)
  AND (%(actor_type)s::text IS NULL OR a.actor_type = %(actor_type)s::text)
  AND (%(surface)s::text IS NULL OR a.surface = %(surface)s::text)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s::timestamptz)
  AND (%(before)s::bigint IS NULL OR a.id < %(before)s::bigint)
ORDER BY a.id DESC LIMIT %(page)s::int;

-- name: export_audit
-- Args: as list_audit, but after (bigint) and upto (bigint) in place of before. Rows: oldest first.
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM powertools.audit a LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
WHERE (%(actor)s::text IS NULL OR a.actor_id = %(actor)s::text)
  AND (%(action)s::text IS NULL OR a.action = %(action)s::text)
  AND (%(target_type)s::text IS NULL OR a.target_type = %(target_type)s::text)
  AND (%(target_id)s::text IS NULL OR a.target_id = %(target_id)s::text)
  AND (%(outcome)s::text IS NULL OR a.outcome = %(outcome)s::text)
  AND (%(actor_type)s::text IS NULL OR a.actor_type = %(actor_type)s::text)
  AND (%(surface)s::text IS NULL OR a.surface = %(surface)s::text)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s::timestamptz)
  AND a.id > %(after)s::bigint AND a.id <= %(upto)s::bigint
ORDER BY a.id LIMIT %(page)s::int;

-- name: get_audit
-- Args: id (bigint). Rows: none, or one.
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM powertools.audit a LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
WHERE a.id = %(id)s::bigint;

-- name: audit_newest
-- Rows: one, id (bigint, 0 without rows).
SELECT coalesce(max(id), 0) AS id FROM powertools.audit;

-- name: seal_audit
-- Args: batch (int, rows). Rows: one; sealed (rows; NULL: another node does it), head (text, or NULL when nothing was sealed).
-- Locks: as seal_audit_v1. Index: audit_links_unsealed.
SELECT sealed, head FROM powertools.seal_audit_v1(%(batch)s::int);

-- name: audit_chain
-- Rows: one; pruned_to (seal), pruned_hash (hex), pruned_sound (bool: the hash is that of the last pruned seal), pruned_early
--   (bool: it had to be kept longer), sealed_to (the newest seal that was made), unsealed (rows).
SELECT c.pruned_to, encode(c.pruned_hash, 'hex') AS pruned_hash,
  c.pruned_to = 0 OR coalesce(powertools.seal_hash_v1(
    c.pruned_previous_hash, c.pruned_to, c.pruned_sealed_at, c.pruned_kept_until, c.pruned_digest
  ) = c.pruned_hash, false) AS pruned_sound,
  coalesce(c.pruned_kept_until > clock_timestamp(), false) AS pruned_early, c.sealed_to,
  (SELECT count(*) FROM powertools.audit_links l WHERE l.seal_id IS NULL) AS unsealed
FROM powertools.audit_chain c;

-- name: audit_part
-- Where a part of the audit begins: one record, or the newest.
-- Args: id (bigint; NULL: the newest), most (int, rows).
-- Rows: one; after (bigint, id), first_seal and last_seal (bigint; NULL: none is sealed; of the newest: to the end of the chain),
--   hash (hex: of the seal before the first one; NULL: that is gone), linked (bool: a link or a record is there).
WITH part AS (
  SELECT coalesce(%(id)s::bigint - 1, (
    SELECT min(n.id) - 1 FROM (SELECT a.id FROM powertools.audit a ORDER BY a.id DESC LIMIT %(most)s::int) AS n
  ), 0) AS after
), links AS (
  SELECT min(l.seal_id) AS first_seal, max(l.seal_id) AS last_seal, count(*) AS links
  FROM part p JOIN powertools.audit_links l ON l.audit_id > p.after AND l.audit_id <= coalesce(%(id)s::bigint, l.audit_id)
), seals AS (
  SELECT p.after, l.links, c.pruned_to, c.pruned_hash,
    coalesce(l.first_seal, CASE WHEN %(id)s::bigint IS NULL AND c.sealed_to > c.pruned_to THEN c.sealed_to END) AS first_seal,
    CASE WHEN %(id)s::bigint IS NULL THEN nullif(c.sealed_to, c.pruned_to) ELSE l.last_seal END AS last_seal
  FROM part p, links l, powertools.audit_chain c
)
SELECT s.after, s.first_seal, s.last_seal,
  encode(CASE WHEN s.pruned_to = s.first_seal - 1 THEN s.pruned_hash ELSE (
    SELECT b.hash FROM powertools.audit_seals b WHERE b.id = s.first_seal - 1
  ) END, 'hex') AS hash,
  s.links > 0 OR EXISTS (SELECT FROM powertools.audit a WHERE a.id = %(id)s::bigint) AS linked
FROM seals s;

-- name: audit_unrecorded
-- Acts with a trace but no record, the first 100; not those whose record was pruned.
-- Rows: kind, id (bigint), actor, at; by kind and id. Index: audit_at for each trace, audit_target for rescues.
WITH traces AS (
  SELECT 'cancel of workflow' AS kind, w.id, NULL AS actor, w.cancel_requested_at AS at, w.root_id
  FROM powertools.workflows w WHERE w.cancel_requested_at IS NOT NULL AND w.parent_id IS NULL
  UNION ALL
  SELECT 'recovery of workflow', w.id, NULL, max(e.at), w.root_id
  FROM powertools.events e JOIN powertools.workflows w ON w.id = e.workflow_id WHERE e.change = 'recovered' GROUP BY w.id
  UNION ALL
  SELECT 'executed preview', p.id, p.actor_id, p.ended_at, NULL FROM powertools.previews p WHERE p.status = 'consumed'
  UNION ALL
  SELECT 'repair of bulk', b.id, b.actor_id, i.ended_at, NULL
  FROM powertools.bulk_items i JOIN powertools.bulks b ON b.id = i.bulk_id WHERE i.outcome = 'done'
  UNION ALL
  SELECT 'handling of incident', e.incident_id, e.actor, e.at, NULL FROM powertools.incident_entries e WHERE e.actor IS NOT NULL
  UNION ALL
  SELECT 'decision on late result', l.id, l.decided_by, coalesce(l.adopted_at, l.dismissed_at), NULL
  FROM powertools.late_results l WHERE l.decided_by IS NOT NULL
  UNION ALL
  SELECT 'run of the retention', r.id, coalesce(r.actor, 'powertools'), r.started_at, NULL FROM powertools.prune_runs r
  UNION ALL
  SELECT 'change of setting ' || s.name || ',', 1, s.changed_by, s.changed_at, NULL
  FROM powertools.settings s WHERE s.changed_by IS NOT NULL
  UNION ALL
  SELECT 'rescue', r.id, 'powertools', r.at, NULL FROM powertools.rescues r WHERE r.action <> 'left'
)
SELECT t.kind, t.id, coalesce(t.actor, 'an operator') AS actor, t.at
FROM traces t, powertools.audit_chain c
-- records are written with their acts: within this of each other, also where a clock was set
WHERE (c.pruned_sealed_at IS NULL OR t.at > c.pruned_sealed_at + interval '1 min')
  AND NOT EXISTS (
    SELECT FROM powertools.audit a
    WHERE a.at BETWEEN t.at - interval '1 min' AND t.at + interval '1 min' AND a.outcome = 'executed'
      -- an operator's rescue is recorded as the operator's
      AND (a.actor_id = t.actor OR t.kind = 'rescue' OR t.root_id = (
        SELECT w.root_id FROM powertools.workflows w WHERE w.id = a.workflow_id
      ))
  )
ORDER BY t.kind, t.id
LIMIT 100;

-- name: audit_unguarded
-- Triggers of the audit that do not fire when they must: linking rows in any session that writes, guards always.
-- Rows: relation, trigger; none when all is well.
SELECT e.relation::regclass::text AS relation, e.trigger
FROM (
  VALUES ('powertools.audit', 'audit_link', 'OA'), ('powertools.audit', 'audit_guard', 'A'),
    ('powertools.audit', 'audit_guard_all', 'A'), ('powertools.audit_links', 'audit_guard', 'A'),
    ('powertools.audit_links', 'audit_guard_all', 'A'), ('powertools.audit_seals', 'audit_guard', 'A'),
    ('powertools.audit_seals', 'audit_guard_all', 'A'), ('powertools.audit_chain', 'audit_guard', 'A'),
    ('powertools.audit_chain', 'audit_guard_all', 'A')
) AS e (relation, trigger, modes)
LEFT JOIN pg_trigger t ON t.tgrelid = e.relation::regclass AND t.tgname = e.trigger
WHERE t.tgenabled IS NULL OR strpos(e.modes, t.tgenabled::text) = 0
ORDER BY 1, 2;

-- name: verify_audit_seals
-- Args: after (bigint, seal), page (int, seals). Rows: by id; id, previous_hash, hash (hex), sound (bool: its hash, count
--   and ids are those of its links), missing and added (bigint or NULL: the first id that is in the seal and has no link, and the
--   other way round), first_id, last_id.
SELECT s.id, encode(s.previous_hash, 'hex') AS previous_hash, encode(s.hash, 'hex') AS hash,
  powertools.seal_hash_v1(
    s.previous_hash, s.id, s.sealed_at, s.kept_until, sha256(coalesce(l.content, ''))
  ) = s.hash AND l.links = s.count
    AND l.ids = s.ids AND (lower(l.ids), upper(l.ids) - 1) = (s.first_id, s.last_id) AS sound,
  lower(s.ids - coalesce(l.ids, '{}')) AS missing, lower(l.ids - s.ids) AS added, s.first_id, s.last_id
FROM (SELECT * FROM powertools.audit_seals WHERE id > %(after)s::bigint ORDER BY id LIMIT %(page)s::int) AS s
LEFT JOIN LATERAL (
  SELECT count(*) AS links, string_agg(int8send(k.audit_id) || k.row_hash, '' ORDER BY k.audit_id) AS content,
    range_agg(int8range(k.audit_id, k.audit_id, '[]')) AS ids
  FROM powertools.audit_links k WHERE k.seal_id = s.id
) AS l ON true
ORDER BY s.id;

-- name: verify_audit_rows
-- Args: after (bigint, id), page (int, rows). Rows: one; upto (bigint; NULL at the end), rows, ids and kinds (of the first
--   100 that are missing, inserted or changed, by id).
WITH records AS MATERIALIZED (
  SELECT a.id, a AS record
  FROM powertools.audit a WHERE a.id > %(after)s::bigint ORDER BY a.id LIMIT %(page)s::int
), links AS MATERIALIZED (
  SELECT l.audit_id, l.row_hash
  FROM powertools.audit_links l WHERE l.audit_id > %(after)s::bigint ORDER BY l.audit_id LIMIT %(page)s::int
), bound AS (
  -- as far as both were read; NULL: to the end
  SELECT least(
    (SELECT CASE WHEN count(*) = %(page)s::int THEN max(r.id) END FROM records r),
    (SELECT CASE WHEN count(*) = %(page)s::int THEN max(l.audit_id) END FROM links l)
  ) AS upto
), found AS (
  SELECT coalesce(r.id, l.audit_id) AS id, CASE
      WHEN r.id IS NULL THEN 'missing'
      WHEN l.audit_id IS NULL THEN 'inserted'
      WHEN NOT powertools.is_as_written_v1(r.record, l.row_hash) THEN 'changed'
    END AS kind
  FROM records r FULL JOIN links l ON l.audit_id = r.id
)
SELECT max(f.id) AS upto, count(*) AS rows,
  coalesce((array_agg(f.id ORDER BY f.id) FILTER (WHERE f.kind IS NOT NULL))[:100], '{}') AS ids,
  coalesce((array_agg(f.kind ORDER BY f.id) FILTER (WHERE f.kind IS NOT NULL))[:100], '{}') AS kinds
FROM found f, bound b
WHERE b.upto IS NULL OR f.id <= b.upto;

-- name: command_target
-- The target of a command, for the audit and for the host's policy.
-- Args: workflow_id (bigint), step (text or NULL). Rows: none, or one.
SELECT w.name AS workflow_name, w.tags, s.queue, s.worker, jsonb_strip_nulls(jsonb_build_object(
    'workflow', jsonb_build_object(
      'state', w.state, 'generation', w.generation, 'open', w.open, 'failed', w.failed, 'cancel_requested_at', w.cancel_requested_at
    ),
    'held', (SELECT nullif(count(*), 0) FROM powertools.steps h WHERE h.workflow_id = w.id AND h.held_until IS NOT NULL),
    'step', CASE WHEN s.name IS NOT NULL THEN jsonb_build_object(
      'name', s.name, 'state', s.state, 'cause', s.cause, 'generation', s.generation, 'attempt', s.attempt, 'job_id', s.job_id,
      'held_until', s.held_until, 'hold_reason', s.hold_reason, 'result', s.result, 'error', s.error
    ) END
  )) AS snapshot
FROM powertools.workflows w
LEFT JOIN powertools.step_states s ON s.workflow_id = w.id AND s.name = %(step)s::text
WHERE w.id = %(workflow_id)s::bigint;
