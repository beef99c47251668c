-- Incidents: projected, read, and handled by operators.

-- name: project_incidents
-- Args: fingerprint (text; NULL: all).
-- Locks: the part's row, which another projection holds for less than a second; the incidents that change.
-- Index: oban_jobs by state, and the partial indexes of 0017_incidents.sql.
SELECT powertools.project_incidents_v1(%(fingerprint)s::text);

-- name: sweep_incidents
-- Args: every (interval).
-- Rows: one, projected.
-- Locks: as project_incidents, without waiting.
SELECT powertools.sweep_incidents_v1(%(every)s::interval) AS projected;

-- name: incidents_seen
-- Rows: one; seconds since everything was last looked at (NULL: never).
SELECT extract(epoch FROM clock_timestamp() - max(p.projected_at))::float8 AS seconds FROM powertools.incident_projection p;

-- name: list_incidents
-- Args: states (text[]), status (the word), class, text (in fingerprint, subject or assignee), opened_from (timestamptz), each NULL
-- for all; but_not (text[], classes), before (id; NULL: the first page), page (int).
-- Rows: as get_incident, the last opened first. Index: incidents_opened.
SELECT powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS status, i.class AS incident_class, i.*
FROM powertools.incidents i
WHERE i.state = ANY (%(states)s::text[])
  AND (%(status)s::text IS NULL OR powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) = %(status)s::text)
  AND (%(class)s::text IS NULL OR i.class = %(class)s::text)
  AND i.class <> ALL (%(but_not)s::text[])
  AND (%(text)s::text IS NULL OR position(
    lower(%(text)s::text) IN lower(concat_ws(' ', i.fingerprint, i.subject_id, i.assignee))
  ) > 0)
  AND (%(opened_from)s::timestamptz IS NULL OR i.opened_at >= %(opened_from)s::timestamptz)
  AND (%(before)s::bigint IS NULL OR (i.opened_at, i.id) < (
    SELECT b.opened_at, b.id FROM powertools.incidents b WHERE b.id = %(before)s::bigint
  ))
ORDER BY i.opened_at DESC, i.id DESC
LIMIT %(page)s::int;

-- name: incident_counts
-- Args: most (int): where a number ends.
-- Rows: one; needs_review, acknowledged, muted, resolved, resolved_lately (in 24 hours, of those opened last), last_resolved_at,
--   oldest_at, waiting_steps, waiting_workflows, by_class (object: class -> number; of those that need a review).
-- Index: incidents_open, incidents_opened.
WITH open AS (
  SELECT powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS word, i.class, i.opened_at, i.waiting_steps,
    i.waiting_workflows
  FROM powertools.incidents i WHERE i.state <> 'resolved' LIMIT %(most)s::int
), counted AS (
  SELECT count(*) FILTER (WHERE o.word = 'Needs Review') AS needs_review,
    count(*) FILTER (WHERE o.word = 'Acknowledged') AS acknowledged,
    count(*) FILTER (WHERE o.word = 'Muted') AS muted,
    min(o.opened_at) FILTER (WHERE o.word = 'Needs Review') AS oldest_at,
    coalesce(sum(o.waiting_steps) FILTER (WHERE o.word = 'Needs Review'), 0)::bigint AS waiting_steps,
    coalesce(sum(o.waiting_workflows) FILTER (WHERE o.word = 'Needs Review'), 0)::bigint AS waiting_workflows
  FROM open o
), classes AS (
  SELECT coalesce(jsonb_object_agg(c.class, c.incidents), '{}') AS by_class
  FROM (SELECT o.class, count(*) AS incidents FROM open o WHERE o.word = 'Needs Review' GROUP BY o.class) AS c
), over AS (
  SELECT count(*) AS resolved, count(*) FILTER (WHERE r.resolved_at > now() - interval '1 day') AS resolved_lately,
    max(r.resolved_at) AS last_resolved_at
  FROM (
    SELECT i.resolved_at FROM powertools.incidents i WHERE i.state = 'resolved' ORDER BY i.opened_at DESC LIMIT %(most)s::int
  ) AS r
)
SELECT counted.*, over.*, classes.by_class FROM counted, over, classes;

-- name: get_incident
-- Args: id (bigint or NULL), fingerprint (text or NULL).
-- Rows: none, or one with every column of the table.
SELECT powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS status, i.class AS incident_class, i.* FROM powertools.incidents i
WHERE i.id = %(id)s::bigint OR i.fingerprint = %(fingerprint)s::text;

-- name: incident_timeline
-- Its entries; the rescues, since it was first opened, of the jobs that it names or has named, or of a missing executor; acts of operators for
-- it, also refused ones.
-- Args: id (bigint), page (int): the newest so many.
-- Rows: at, kind, actor (NULL: Powertools), detail; oldest first. Index: incident_entries_incident, rescues_job, audit_incident.
SELECT t.at, t.kind, t.actor, t.detail
FROM (
  (
    SELECT e.at, e.kind, e.actor, e.detail, e.id FROM powertools.incident_entries e
    WHERE e.incident_id = %(id)s::bigint
    ORDER BY e.id DESC LIMIT %(page)s::int
  )
  UNION ALL
  (
    SELECT r.at, CASE r.action WHEN 'left' THEN 'left' ELSE 'rescued' END, NULL, jsonb_build_object(
      'job_id', r.job_id, 'attempt', r.attempt, 'action', powertools.became_v1(r), 'why', r.why, 'worker', r.worker
    ), r.id
    FROM powertools.incidents i
    JOIN powertools.rescues r ON r.job_id IN (
      SELECT jsonb_array_elements_text(e.detail -> 'evidence' -> 'ids')::bigint FROM powertools.incident_entries e
      WHERE e.incident_id = i.id AND e.kind IN ('detected', 'changed', 'reopened')
    )
    WHERE i.id = %(id)s::bigint AND i.evidence ->> 'id_type' = 'job' AND r.at >= i.first_detected_at - interval '5 min'
    ORDER BY r.id DESC LIMIT %(page)s::int
  )
  UNION ALL
  -- of an executor also what it had in hand before it was an incident, among the last 5,000 rescues
  (
    SELECT r.at, 'rescued', NULL, jsonb_build_object(
      'job_id', r.job_id, 'attempt', r.attempt, 'action', powertools.became_v1(r), 'why', r.why, 'worker', r.worker
    ), r.id
    FROM powertools.incidents i
    JOIN (SELECT * FROM powertools.rescues l ORDER BY l.id DESC LIMIT 5000) AS r ON r.executor_id = ANY (ARRAY(
      SELECT e.executor_id FROM powertools.executors e WHERE i.subject_id IN (e.executor_id, powertools.first_of_process_v1(e))
    ) || i.subject_id)
    WHERE i.id = %(id)s::bigint AND i.subject_type = 'executor' AND i.evidence -> 'ids' = '[]' AND r.action <> 'left'
    ORDER BY r.id DESC LIMIT %(page)s::int
  )
  UNION ALL
  (
    SELECT a.at, a.action, a.actor_id, jsonb_build_object(
      'audit_id', a.id, 'outcome', a.outcome, 'reason', a.reason, 'target', a.target_type || ' ' || a.target_id,
      'code', a.details ->> 'code'
    ), a.id
    FROM powertools.audit a
    WHERE a.incident_id = %(id)s::bigint AND NOT (a.outcome = 'executed' AND a.target_type = 'incident')
    ORDER BY a.id DESC LIMIT %(page)s::int
  )
) AS t
ORDER BY t.at, t.id;

-- name: incident_subjects
-- What incidents name as evidence, as it is now: steps by their place (a job's is one only while the step believes in it,
-- or was cancelled because it was deleted), jobs and callbacks of no step, late results.
-- Args: ids (bigint[]), most (int: of each incident).
-- Rows: id, incident_class, fingerprint, subject_type, subject_id (of the incident); workflow_id, position (NULL: no step), job_id,
--   late_result_id, adoptable (NULL: no late result), signal_id (stored; that which looks like the wait, or one by
--   itself), queue, resumable, scale_to (NULL: it is about no queue), place; by incident, in the order of its evidence.
-- Index: the primary keys, steps_job_deleted.
SELECT i.id, i.class AS incident_class, i.fingerprint, i.subject_type, i.subject_id, coalesce(s.workflow_id, d.workflow_id) AS workflow_id,
  coalesce(s.position, d.position) AS position, j.id AS job_id, l.id AS late_result_id,
  l.id IS NOT NULL AND powertools.is_adoptable_v1(l, j.state::text, s.state) AS adoptable, g.id AS signal_id,
  NULL AS queue, false AS resumable, NULL::int AS scale_to, e.place
FROM powertools.incidents i
CROSS JOIN LATERAL (
  SELECT e.id::bigint AS id, i.evidence ->> 'id_type' AS of, e.place
  FROM jsonb_array_elements_text(i.evidence -> 'ids') WITH ORDINALITY AS e (id, place) LIMIT %(most)s::int
) AS e
LEFT JOIN powertools.late_results l
  ON e.of = 'late_result' AND l.id = e.id AND l.adopted_at IS NULL AND l.dismissed_at IS NULL
LEFT JOIN public.oban_jobs j ON j.id = CASE e.of WHEN 'job' THEN e.id WHEN 'late_result' THEN l.job_id END
LEFT JOIN powertools.waits v ON e.of = 'wait' AND v.id = e.id AND v.state = 'waiting'
LEFT JOIN powertools.steps s
  ON s.workflow_id = coalesce(v.workflow_id, powertools.workflow_of_v1(j.meta))
  AND s.position = coalesce(v.position, powertools.position_of_v1(j.meta))
  AND CASE e.of WHEN 'wait' THEN s.wait_id = v.id ELSE powertools.is_its_job_v1(s, j.id, j.meta) END
LEFT JOIN powertools.steps d ON e.of = 'job' AND j.id IS NULL AND d.cause = 'job_deleted' AND d.job_id = e.id
LEFT JOIN powertools.signals g ON g.status = 'stored' AND g.id = powertools.alike_signal_v1(i.evidence, v.id)
WHERE i.id = ANY (%(ids)s::bigint[]) AND e.of <> 'workflow'
UNION ALL
SELECT i.id, i.class AS incident_class, i.fingerprint, i.subject_type, i.subject_id, w.id, NULL, NULL, NULL, false, NULL, NULL, false, NULL, 1
FROM powertools.incidents i
JOIN powertools.workflows w ON i.subject_type = 'workflow' AND w.id = i.subject_id::bigint
WHERE i.id = ANY (%(ids)s::bigint[])
UNION ALL
SELECT i.id, i.class AS incident_class, i.fingerprint, i.subject_type, i.subject_id, NULL, NULL, NULL, NULL, false, g.id, NULL, false, NULL, 100 + e.place
FROM powertools.incidents i
CROSS JOIN LATERAL (
  SELECT e.id::bigint AS id, e.place
  FROM jsonb_array_elements_text(i.evidence -> 'signal_ids') WITH ORDINALITY AS e (id, place) LIMIT %(most)s::int
) AS e
JOIN powertools.signals g ON g.id = e.id AND g.status = 'stored'
WHERE i.id = ANY (%(ids)s::bigint[])
UNION ALL
SELECT i.id, i.class AS incident_class, i.fingerprint, i.subject_type, i.subject_id, NULL, NULL, NULL, NULL, false, NULL, q.queue, q.resumable,
  q.scale_to, 0
FROM powertools.incidents i
CROSS JOIN LATERAL powertools.queue_remedies_v1(i) AS q
WHERE i.id = ANY (%(ids)s::bigint[]) AND i.subject_type IN ('queue', 'webhook')
ORDER BY id, place;

-- name: recoveries_of
-- Why the recovery of each of these failed steps would be refused.
-- Args: workflow_ids (bigint[]), positions (int[]): one entry a step.
-- Rows: workflow_id, position, retry_refused, revival_refused (text or NULL).
SELECT p.workflow_id, p.position, powertools.retry_refusal_v1(p.workflow_id, p.position) AS retry_refused,
  powertools.revival_refusal_v1(p.workflow_id) AS revival_refused
FROM unnest(%(workflow_ids)s::bigint[], %(positions)s::int[]) AS p (workflow_id, position);

-- name: lock_incident
-- Args: id (bigint).
-- Rows: as get_incident. Locks: the incident.
SELECT powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS status, i.class AS incident_class, i.*
FROM powertools.incidents i WHERE i.id = %(id)s::bigint FOR UPDATE;

-- name: handle_incident
-- Stores an operator's act on an incident, and its entry in the timeline. The caller holds the incident.
-- Args: id (bigint); kind (of the entry); actor (text); detail (JSON text); acknowledge (bool: as acknowledged by the
--   actor); assign (bool: to assignee, text or NULL); muted_until (timestamptz; NULL leaves it).
-- Rows: one, as get_incident.
WITH entry AS (
  INSERT INTO powertools.incident_entries (incident_id, kind, actor, detail)
  VALUES (%(id)s::bigint, %(kind)s::text, %(actor)s::text, %(detail)s::jsonb)
)
UPDATE powertools.incidents i
SET state = CASE WHEN %(acknowledge)s::bool THEN 'acknowledged' ELSE i.state END,
    acknowledged_by = CASE WHEN %(acknowledge)s::bool THEN %(actor)s::text ELSE i.acknowledged_by END,
    acknowledged_at = CASE WHEN %(acknowledge)s::bool THEN clock_timestamp() ELSE i.acknowledged_at END,
    assignee = CASE WHEN %(assign)s::bool THEN %(assignee)s::text ELSE i.assignee END,
    muted_until = coalesce(%(muted_until)s::timestamptz, i.muted_until)
WHERE i.id = %(id)s::bigint
RETURNING powertools.incident_word_v3(i.state, i.muted_until > clock_timestamp()) AS status, i.class AS incident_class, i.*;

-- name: incidents_ended_meanwhile
-- Incidents that were open at an instant and were over before the oldest event that is kept, as their events would say it.
-- Args: since (timestamptz); oldest (bigint, the cursor before that event); page (int): the last so many.
-- Rows: as of an event of an incident, without a cursor; the last that ended first. Index: incident_entries_incident,
--   event_batches by last_cursor; all incidents are read, once for an endpoint that retention has overtaken.
SELECT i.id AS incident_id, i.fingerprint, i.class AS incident_class, 'resolved' AS change, powertools.incident_word_v3('resolved', false) AS status,
  'resolved' AS state, i.subject_type, i.subject_id, i.title, i.count, i.waiting_workflows, i.waiting_steps, o.at AS opened_at,
  false AS muted, NULL AS actor, r.detail ->> 'because' AS because, r.at AS timestamp
FROM powertools.incidents i
CROSS JOIN LATERAL (
  SELECT e.at, e.kind FROM powertools.incident_entries e
  WHERE e.incident_id = i.id AND e.kind IN ('detected', 'reopened', 'resolved') AND e.at <= %(since)s::timestamptz
  ORDER BY e.id DESC LIMIT 1
) AS o
CROSS JOIN LATERAL (
  SELECT e.at, e.detail FROM powertools.incident_entries e
  WHERE e.incident_id = i.id AND e.kind = 'resolved' AND e.at > %(since)s::timestamptz AND e.at < coalesce((
      SELECT b.inserted_at FROM powertools.event_batches b WHERE b.last_cursor > %(oldest)s::bigint ORDER BY b.last_cursor LIMIT 1
    ), 'infinity')
  ORDER BY e.id LIMIT 1
) AS r
WHERE o.kind <> 'resolved' AND i.first_detected_at <= %(since)s::timestamptz
ORDER BY r.at DESC, i.id LIMIT %(page)s::int;
