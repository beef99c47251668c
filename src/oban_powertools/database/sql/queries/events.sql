-- name: place_events
-- Places committed events in the log. In a transaction of its own, because nobody else can place events until it ends.
-- Args: with_starts (bool), also the starts of jobs that can be numbered.
-- Rows: one; head and pruned_to, the cursors of the newest event and of the newest that retention removed.
-- Locks: as place_events_v1.
SELECT head, pruned_to FROM powertools.place_events_v1(%(with_starts)s::bool);

-- name: log_bounds
-- Args: none. Rows: as place_events.
SELECT head, pruned_to FROM powertools.event_log;

-- name: listen
-- Args: none. Wakes on what commits.
LISTEN "powertools.events";

-- name: notify_readers
-- Args: none. Proves that notifications arrive.
SELECT powertools.notify_v1('powertools.events', '');

-- name: read_log
-- A page of the log, in the order of the cursors, which have no gaps. LATERAL with OFFSET 0 makes every table be looked
-- up row by row, whatever the statistics say.
-- Args: since (bigint, exclusive); page (int).
-- Rows: pruned_to and head, and an event's columns, or a notice's: kind, subject_id, data; at least one row, whose cursor
--   is NULL when there is no event.
-- Index: event_batches by last_cursor, then primary keys; notices by cursor.
SELECT l.pruned_to, l.head, p.*
FROM powertools.event_log l
LEFT JOIN LATERAL (
  SELECT e.workflow_id, e.number, b.last_cursor - b.events + e.place AS cursor, e.at AS timestamp, e.position,
    coalesce(s.name, '') AS step_name, s.worker, coalesce(w.context ->> 'label', w.name, '') AS workflow_label, e.change, e.state,
    e.state AS outcome, e.job_id, coalesce(e.attempt, 0) AS attempt,
    e.has_result, e.error, e.generation, e.failed_steps, powertools.event_word_v1(e.state, e.job_id) AS status,
    powertools.event_code_v1(e.state, e.job_id, s.kind) AS blocker, NULL AS kind, NULL AS subject_id, NULL::jsonb AS data
  FROM powertools.event_batches b
  CROSS JOIN LATERAL (
    SELECT greatest(1, %(since)s::bigint + 1 - (b.last_cursor - b.events)) AS first,
      least(b.events, %(since)s::bigint + %(page)s::int - (b.last_cursor - b.events)) AS last
  ) AS place
  CROSS JOIN LATERAL unnest(b.workflow_ids, b.first_numbers, b.last_numbers) AS n (workflow_id, first, last)
  CROSS JOIN LATERAL (
    -- A workflow's numbers rise with the places, so the range of places bounds the numbers.
    SELECT * FROM powertools.events e
    WHERE e.workflow_id = n.workflow_id
      AND e.number BETWEEN greatest(n.first, n.last - (b.events - place.first)) AND least(n.last, n.first + place.last - 1)
      AND e.place BETWEEN place.first AND place.last
    OFFSET 0
  ) AS e
  LEFT JOIN LATERAL (
    SELECT w.name, w.context FROM powertools.workflows w WHERE w.id = e.workflow_id OFFSET 0
  ) AS w ON true
  LEFT JOIN LATERAL (
    SELECT s.name, s.worker, s.kind FROM powertools.steps s
    WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
  ) AS s ON true
  WHERE b.last_cursor > %(since)s::bigint
    AND b.last_cursor <= coalesce((
      SELECT u.last_cursor FROM powertools.event_batches u
      WHERE u.last_cursor >= %(since)s::bigint + %(page)s::int ORDER BY u.last_cursor LIMIT 1
    ), %(since)s::bigint + %(page)s::int)
  UNION ALL
  SELECT NULL, NULL, n.cursor, n.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    powertools.notice_word_v1(n.kind, n.data), NULL, n.kind, n.subject_id, n.data
  FROM powertools.notices n
  WHERE n.cursor > %(since)s::bigint AND n.cursor <= %(since)s::bigint + %(page)s::int
) AS p ON true
ORDER BY p.cursor;

-- name: read_workflow_log
-- A page of one workflow's events. Where it begins is found by bisection: of a workflow's numbers, those up to
-- some number are at or before the cursor. What retention removed is before it.
-- Args: workflow_id (bigint); since (bigint, exclusive); page (int).
-- Rows: as read_log.
-- Index: primary keys.
WITH RECURSIVE search AS (
  SELECT 0 AS low, coalesce((
    SELECT e.number FROM powertools.events e
    WHERE e.workflow_id = %(workflow_id)s::bigint ORDER BY e.number DESC LIMIT 1
  ), 0) AS high
  UNION ALL
  SELECT CASE WHEN t.ahead THEN s.low ELSE t.middle END, CASE WHEN t.ahead THEN t.middle - 1 ELSE s.high END
  FROM search s
  CROSS JOIN LATERAL (
    SELECT m.middle, EXISTS (
      SELECT FROM powertools.events e
      JOIN LATERAL (
        SELECT b.last_cursor, b.events FROM powertools.event_batches b WHERE b.id = e.batch_id OFFSET 0
      ) AS b ON coalesce(b.last_cursor - b.events + e.place > %(since)s::bigint, true)
      WHERE e.workflow_id = %(workflow_id)s::bigint AND e.number = m.middle
    ) AS ahead
    FROM (SELECT (s.low + s.high + 1) / 2 AS middle) AS m
  ) AS t
  WHERE s.low < s.high
)
SELECT l.pruned_to, l.head, p.*
FROM powertools.event_log l
LEFT JOIN LATERAL (
  SELECT e.workflow_id, e.number, b.last_cursor - b.events + e.place AS cursor, e.at AS timestamp, e.position,
    coalesce(s.name, '') AS step_name, s.worker, coalesce(w.context ->> 'label', w.name, '') AS workflow_label, e.change, e.state,
    e.state AS outcome, e.job_id, coalesce(e.attempt, 0) AS attempt,
    e.has_result, e.error, e.generation, e.failed_steps, powertools.event_word_v1(e.state, e.job_id) AS status,
    powertools.event_code_v1(e.state, e.job_id, s.kind) AS blocker
  FROM (
    SELECT * FROM powertools.events e
    WHERE e.workflow_id = %(workflow_id)s::bigint AND e.number > (SELECT max(low) FROM search)
    ORDER BY e.number LIMIT %(page)s::int
  ) AS e
  CROSS JOIN LATERAL (
    SELECT b.last_cursor, b.events FROM powertools.event_batches b
    WHERE b.id = e.batch_id AND b.last_cursor IS NOT NULL OFFSET 0
  ) AS b
  LEFT JOIN LATERAL (
    SELECT w.name, w.context FROM powertools.workflows w WHERE w.id = e.workflow_id OFFSET 0
  ) AS w ON true
  LEFT JOIN LATERAL (
    SELECT s.name, s.worker, s.kind FROM powertools.steps s
    WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
  ) AS s ON true
) AS p ON true
ORDER BY p.cursor;

-- name: read_notices
-- A page of the notices of one topic.
-- Args: topic; subject_id (NULL: all); since (bigint, exclusive); page (int).
-- Rows: as read_log, of notices.
-- Index: notices_topic, or notices_subject.
SELECT l.pruned_to, l.head, p.*
FROM powertools.event_log l
LEFT JOIN LATERAL (
  SELECT n.cursor, n.at AS timestamp, n.kind, n.subject_id, n.data, powertools.notice_word_v1(n.kind, n.data) AS status
  FROM powertools.notices n
  WHERE n.topic = %(topic)s::text AND n.cursor > %(since)s::bigint
    AND (%(subject_id)s::text IS NULL OR n.subject_id = %(subject_id)s::text)
  ORDER BY n.cursor LIMIT %(page)s::int
) AS p ON true
ORDER BY p.cursor;

-- name: step_to_publish
-- Args: workflow_id (bigint), step (text).
-- Rows: none without the workflow, else one; position is NULL without the step.
SELECT w.semantics_version, s.position, s.state, s.job_id, s.attempt, ARRAY(
  SELECT p.name FROM powertools.steps p
  WHERE p.workflow_id = s.workflow_id AND p.position = ANY (s.parents || s.continue_parents) AND p.finished_at IS NULL
  ORDER BY p.position LIMIT 20
) AS waiting_on
FROM powertools.workflows w
LEFT JOIN powertools.step_states s ON s.workflow_id = w.id AND s.name = %(step)s::text
WHERE w.id = %(workflow_id)s::bigint;

-- name: publish_change
-- Writes the event of a change that a host publishes, after a deferred start of the step's job. The caller holds the
-- family.
-- Args: workflow_id (bigint), position (int), change, state (text), job_id (bigint or NULL), attempt (int),
-- error (text or NULL).
SELECT powertools.write_events_v1(powertools.take_starts_v1(ARRAY[%(job_id)s::bigint]) || ROW (
  %(workflow_id)s::bigint, %(position)s::int, %(change)s::text, %(state)s::text, %(job_id)s::bigint, %(attempt)s::int,
  nullif(powertools.error_summary_v1(jsonb_build_object('error', %(error)s::text)), ''), NULL
)::powertools.change);

-- name: mark_published
-- Args: workflow_id (bigint). The caller holds the family and has just published.
-- Rows: number, of the newest event, which is now marked as published by a host.
UPDATE powertools.events e SET published = true
WHERE e.workflow_id = %(workflow_id)s::bigint AND e.number = (
  SELECT n.number FROM powertools.events n
  WHERE n.workflow_id = %(workflow_id)s::bigint ORDER BY n.number DESC LIMIT 1
)
RETURNING e.number;

-- name: cursor_of
-- Args: workflow_id (bigint), number (int).
-- Rows: cursor; none while the event has no place in the log. Index: primary keys.
SELECT p.cursor FROM powertools.placed_events p
WHERE p.workflow_id = %(workflow_id)s::bigint AND p.number = %(number)s::int;

-- name: keep_events
-- Places committed events, with or without readers.
-- Rows: one; overdue says whether there are older events to remove. Index: event_batches by last_cursor.
SELECT head, (
  SELECT b.inserted_at < clock_timestamp() - powertools.span_setting_v1('events_kept_for') FROM powertools.event_batches b
  WHERE b.last_cursor IS NOT NULL ORDER BY b.last_cursor LIMIT 1
) AS overdue
FROM powertools.place_events_v1(true);

-- name: prune_events
-- Args: batch (int, batches at a time). Rows: pruned. Locks: as prune_events_v1.
SELECT powertools.prune_events_v1(powertools.span_setting_v1('events_kept_for'), %(batch)s::int) AS pruned;
