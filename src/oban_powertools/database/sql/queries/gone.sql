-- What is no longer there: whether it ever was, and what the audit knows of it.

-- name: was_given
-- Whether something had been there: the sequence of its kind is past its number, and no row has that.
-- Args: kind (of the error that says it is not there), number (bigint; NULL: it has none), id (text), of (bigint: the endpoint of a
--   delivery, or NULL).
-- Rows: one, gone. Index: the primary keys; incident_fingerprint.
SELECT coalesce(bool_or(NOT k.here AND %(number)s::bigint BETWEEN 1 AND greatest(k.newest, CASE
    -- whoever may only read knows no more than the newest row
    WHEN has_sequence_privilege(k.sequence, 'USAGE, SELECT') THEN pg_sequence_last_value(k.sequence::regclass)
  END)), false)
  OR %(kind)s::text = 'executor' AND EXISTS (
    SELECT FROM powertools.incidents i WHERE i.fingerprint = 'dead_executor:' || %(id)s::text
  ) AS gone
FROM (
  SELECT pg_get_serial_sequence('powertools.workflows', 'id') AS sequence, (SELECT max(w.id) FROM powertools.workflows w) AS newest,
    EXISTS (SELECT FROM powertools.workflows w WHERE w.id = %(number)s::bigint) AS here
  WHERE %(kind)s::text IN ('workflow', 'step')
  UNION ALL
  SELECT pg_get_serial_sequence('public.oban_jobs', 'id'), (SELECT max(j.id) FROM public.oban_jobs j),
    EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = %(number)s::bigint)
  WHERE %(kind)s::text IN ('job', 'callback')
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.incidents', 'id'), (SELECT max(i.id) FROM powertools.incidents i),
    EXISTS (SELECT FROM powertools.incidents i WHERE i.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'incident'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.signals', 'id'), (SELECT max(s.id) FROM powertools.signals s),
    EXISTS (SELECT FROM powertools.signals s WHERE s.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'signal'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.late_results', 'id'), (SELECT max(l.id) FROM powertools.late_results l),
    EXISTS (SELECT FROM powertools.late_results l WHERE l.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'late_result'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.audit', 'id'), (SELECT max(a.id) FROM powertools.audit a),
    EXISTS (SELECT FROM powertools.audit a WHERE a.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'audit_record'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.previews', 'id'), (SELECT max(p.id) FROM powertools.previews p),
    EXISTS (SELECT FROM powertools.previews p WHERE p.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'preview'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.bulks', 'id'), (SELECT max(b.id) FROM powertools.bulks b),
    EXISTS (SELECT FROM powertools.bulks b WHERE b.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'bulk'
  UNION ALL
  SELECT pg_get_serial_sequence('powertools.webhook_endpoints', 'id'), (SELECT max(e.id) FROM powertools.webhook_endpoints e),
    EXISTS (SELECT FROM powertools.webhook_endpoints e WHERE e.id = %(number)s::bigint)
  WHERE %(kind)s::text = 'webhook'
  UNION ALL
  -- an endpoint's cursor is past every event that it has queued a delivery of
  SELECT NULL, (SELECT e.cursor FROM powertools.webhook_endpoints e WHERE e.id = %(of)s::bigint), EXISTS (
    SELECT FROM powertools.webhook_deliveries d WHERE d.endpoint_id = %(of)s::bigint AND d.cursor = %(number)s::bigint
  )
  WHERE %(kind)s::text = 'webhook_delivery'
) AS k;

-- name: recall
-- Args: kind, id (text), workflow_id (bigint; NULL: it is no workflow), incident_id (likewise), page (int, rows).
-- Rows: as get_audit; the newest first. Index: audit_target, audit_workflow, audit_incident.
WITH known AS (
  (SELECT a.id FROM powertools.audit a WHERE a.target_type = %(kind)s::text AND a.target_id = %(id)s::text ORDER BY a.id DESC LIMIT %(page)s::int)
  UNION
  (SELECT a.id FROM powertools.audit a WHERE a.workflow_id = %(workflow_id)s::bigint ORDER BY a.id DESC LIMIT %(page)s::int)
  UNION
  (SELECT a.id FROM powertools.audit a WHERE a.incident_id = %(incident_id)s::bigint ORDER BY a.id DESC LIMIT %(page)s::int)
)
SELECT a.id, a.at, a.actor_id, a.actor_type, a.actor_label, a.action, a.target_type, a.target_id,
  a.workflow_id, a.step, a.reason, a.outcome, a.before, a.after, a.plan_hash, a.preview_id, a.incident_id, a.surface, a.request_id, a.details,
  l.seal_id, encode(l.row_hash, 'hex') AS row_hash
FROM known k JOIN powertools.audit a ON a.id = k.id LEFT JOIN powertools.audit_links l ON l.audit_id = a.id
ORDER BY a.id DESC LIMIT %(page)s::int;
