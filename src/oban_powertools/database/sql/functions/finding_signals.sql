-- Finding stored signals and open waits: newest first, in pages.

-- Stored signals that nobody took yet. f: what is asked for, {} for all: signal, correlation_key, workflow_id (it names it),
-- inserted_from, inserted_to. before: only smaller ids. Index: signals_stored, signals_untaken, signals_for_workflow.
CREATE OR REPLACE FUNCTION powertools.stored_signals_v1(f jsonb, before bigint, page int) RETURNS SETOF powertools.signals
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  of_signal CONSTANT text := f ->> 'signal';
  of_key CONSTANT text := f ->> 'correlation_key';
  of_workflow CONSTANT bigint := f ->> 'workflow_id';
  inserted_from CONSTANT timestamptz := f ->> 'inserted_from';
  inserted_to CONSTANT timestamptz := f ->> 'inserted_to';
BEGIN
  RETURN QUERY
  SELECT g.* FROM powertools.signals g
  WHERE g.status = 'stored' AND (before IS NULL OR g.id < before)
    AND (of_signal IS NULL OR g.signal = of_signal) AND (of_key IS NULL OR g.correlation_key = of_key)
    AND (of_workflow IS NULL OR g.workflow_id = of_workflow AND g.workflow_id IS NOT NULL)
    AND (inserted_from IS NULL OR g.inserted_at >= inserted_from) AND (inserted_to IS NULL OR g.inserted_at < inserted_to)
  ORDER BY g.id DESC LIMIT page;
END $$;

-- Waits that nothing has ended yet; as stored_signals_v1. Index: waits_waiting, waits_open, waits_workflow.
CREATE OR REPLACE FUNCTION powertools.open_waits_v1(f jsonb, before bigint, page int) RETURNS SETOF powertools.waits
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
DECLARE
  of_signal CONSTANT text := f ->> 'signal';
  of_key CONSTANT text := f ->> 'correlation_key';
  of_workflow CONSTANT bigint := f ->> 'workflow_id';
  inserted_from CONSTANT timestamptz := f ->> 'inserted_from';
  inserted_to CONSTANT timestamptz := f ->> 'inserted_to';
BEGIN
  RETURN QUERY
  SELECT v.* FROM powertools.waits v
  WHERE v.state = 'waiting' AND (before IS NULL OR v.id < before)
    AND (of_signal IS NULL OR v.signal = of_signal) AND (of_key IS NULL OR v.correlation_key = of_key)
    AND (of_workflow IS NULL OR v.workflow_id = of_workflow)
    AND (inserted_from IS NULL OR v.registered_at >= inserted_from) AND (inserted_to IS NULL OR v.registered_at < inserted_to)
  ORDER BY v.id DESC LIMIT page;
END $$;

-- Of each of these stored signals, at most 5 waits that look alike, as the incident of unclaimed ones has them: first of its key,
-- then those that spell name or key differently or nearly, then others of its name; among 500 of that name and the newest 2,000.
-- Index: waits_waiting, waits_open.
CREATE OR REPLACE FUNCTION powertools.waits_alike_v1(signal_ids bigint[])
RETURNS TABLE (signal_id bigint, wait_id bigint, workflow_id bigint, signal text, correlation_key text)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT g.id, g.signal, g.correlation_key, powertools.plain_spelling(g.signal) AS name, powertools.plain_spelling(g.correlation_key) AS key,
      powertools.near_spellings(powertools.plain_spelling(g.correlation_key)) AS near
    FROM powertools.signals g WHERE g.id = ANY (signal_ids)
  ), waiting AS MATERIALIZED (
    SELECT w.*, p.name, p.key, CASE WHEN p.name IN (SELECT a.name FROM asked a) THEN powertools.near_spellings(p.key) END AS near
    FROM (
      (
        SELECT v.id, v.workflow_id, v.signal, v.correlation_key FROM powertools.waits v
        WHERE v.state = 'waiting' ORDER BY v.id DESC LIMIT 2000
      )
      UNION
      SELECT n.* FROM (SELECT DISTINCT a.signal FROM asked a) AS s
      CROSS JOIN LATERAL (
        SELECT v.id, v.workflow_id, v.signal, v.correlation_key FROM powertools.waits v
        WHERE v.state = 'waiting' AND v.signal = s.signal ORDER BY v.correlation_key LIMIT 500
      ) AS n
    ) AS w
    CROSS JOIN LATERAL (
      SELECT powertools.plain_spelling(w.signal) AS name, powertools.plain_spelling(w.correlation_key) AS key OFFSET 0
    ) AS p
    WHERE EXISTS (SELECT FROM asked)
  ), pairs AS (
    SELECT a.id AS signal_id, w.id, CASE WHEN a.correlation_key = w.correlation_key THEN 1 ELSE 2 END AS rank
    FROM asked a JOIN waiting w ON w.key = a.key
    UNION
    SELECT a.id, w.id, CASE WHEN w.signal <> a.signal OR w.near && a.near THEN 2 ELSE 3 END
    FROM asked a JOIN waiting w ON w.name = a.name
  )
  SELECT p.signal_id, w.id, w.workflow_id, w.signal, w.correlation_key
  FROM (
    SELECT b.*, row_number() OVER (PARTITION BY b.signal_id ORDER BY b.rank, b.id) AS nth
    FROM (SELECT p.signal_id, p.id, min(p.rank) AS rank FROM pairs p GROUP BY p.signal_id, p.id) AS b
  ) AS p
  JOIN waiting w ON w.id = p.id
  WHERE p.nth <= 5
  ORDER BY p.signal_id, p.nth;
END $$;
