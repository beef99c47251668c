-- Incidents: looked for, read, and handled by operators.

-- name: project_incidents
-- Args: thresholds (JSON: late_after, missing_after, failing_for, failing_count, stuck_after); fingerprint (text; NULL: all).
-- Locks: an advisory lock, which another projection holds for less than a second; the incidents that change.
-- Index: oban_jobs by state, and the partial indexes of 0017_incidents.sql.
SELECT powertools.project_incidents_v1(%(thresholds)s::jsonb, %(fingerprint)s::text);

-- name: sweep_incidents
-- Args: thresholds (as project_incidents), every (interval).
-- Rows: one, projected.
-- Locks: an advisory try-lock, then as project_incidents.
SELECT powertools.sweep_incidents_v1(%(thresholds)s::jsonb, %(every)s::interval) AS projected;

-- name: list_incidents
-- Args: states (text[]), class (text; NULL: all), before (id; NULL: the first page), page (int).
-- Rows: as get_incident, the last opened first. Index: incidents_opened.
SELECT i.*
FROM powertools.incidents i
WHERE i.state = ANY (%(states)s::text[])
  AND (%(class)s::text IS NULL OR i.class = %(class)s::text)
  AND (%(before)s::bigint IS NULL OR (i.opened_at, i.id) < (
    SELECT b.opened_at, b.id FROM powertools.incidents b WHERE b.id = %(before)s::bigint
  ))
ORDER BY i.opened_at DESC, i.id DESC
LIMIT %(page)s::int;

-- name: get_incident
-- Args: id (bigint or NULL), fingerprint (text or NULL).
-- Rows: none, or one with every column of the table.
SELECT i.* FROM powertools.incidents i
WHERE i.id = %(id)s::bigint OR i.fingerprint = %(fingerprint)s::text;

-- name: incident_timeline
-- Its entries; the rescues, since it was opened for the first time, of the jobs that it names or has named; what
-- operators did for it, and what they were refused.
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
      'job_id', r.job_id, 'attempt', r.attempt, 'action', r.action, 'why', r.why, 'worker', r.worker
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

-- name: lock_incident
-- Args: id (bigint).
-- Rows: as get_incident. Locks: the incident.
SELECT i.* FROM powertools.incidents i WHERE i.id = %(id)s::bigint FOR UPDATE;

-- name: handle_incident
-- What an operator did, and its entry in the timeline. The caller holds the incident.
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
RETURNING i.*;
