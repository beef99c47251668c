-- Signals and waits.
--
-- A signal and a wait are matched in three ways: the signal finds the wait, the wait finds a
-- stored signal when it registers, and the sweep joins two that missed each other because both
-- transactions were open. Only waits in state waiting occupy a correlation key. Two that missed each other are matched
-- when the sweep first checks the later one; swept marks checked ones, so each is checked once, by its key.

-- The outermost workflow of one.
CREATE OR REPLACE FUNCTION powertools.root_of(of_workflow_id bigint) RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT w.root_id FROM powertools.workflows w WHERE w.id = of_workflow_id
$$;

-- Whether a signal of a wait's name and key is meant for it. Volatile, so that it is inlined.
CREATE OR REPLACE FUNCTION powertools.is_for(g powertools.signals, w powertools.waits) RETURNS bool
LANGUAGE sql VOLATILE
AS $$
  SELECT (g.workflow_id IS NULL OR g.workflow_id = w.workflow_id)
    AND (g.expires_at IS NULL OR g.expires_at > clock_timestamp())
    AND (g.last_workflow_id IS NULL OR g.last_workflow_id >= powertools.root_of(w.workflow_id))
$$;

-- Ends the waits of steps that ended, each as its step did.
CREATE OR REPLACE FUNCTION powertools.close_waits(wait_ids bigint[], ended powertools.ended[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  UPDATE powertools.waits w
  SET ended_at = clock_timestamp(),
      state = CASE
        WHEN e.state = 'completed' AND e.cause IS NULL THEN 'consumed'
        WHEN e.state = 'expired' THEN 'expired'
        ELSE 'cancelled'
      END
  FROM unnest(ended) AS e
  WHERE w.id = e.wait_id AND w.id = ANY (wait_ids) AND w.state = 'waiting';
END $$;

-- Matches these waiting waits with stored signals of their key, each with at most one, oldest first; a
-- round serves one wait of each key. Returns the waits' outcomes, to be settled.
CREATE OR REPLACE FUNCTION powertools.consume_signals(wait_ids bigint[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  served bigint[];
  round powertools.outcome[];
  outcomes powertools.outcome[];
BEGIN
  LOOP
    WITH pairs AS (
      SELECT DISTINCT ON (p.signal_id) p.*
      FROM (
        SELECT DISTINCT ON (w.id) w.id AS wait_id, w.workflow_id, w.position, g.id AS signal_id, g.payload
        FROM powertools.waits w
        JOIN powertools.signals g ON g.signal = w.signal AND g.correlation_key = w.correlation_key
        WHERE w.id = ANY (wait_ids) AND w.state = 'waiting' AND g.status = 'stored' AND powertools.is_for(g, w)
        ORDER BY w.id, g.id
      ) AS p
      ORDER BY p.signal_id, p.wait_id
    ), consumed AS (
      UPDATE powertools.signals g
      SET status = 'consumed', wait_id = p.wait_id, consumed_at = clock_timestamp()
      FROM pairs p
      WHERE g.id = p.signal_id AND g.status = 'stored'
      RETURNING p.*
    )
    SELECT array_agg(c.wait_id), array_agg(ROW (
      c.workflow_id, c.position, NULL, c.wait_id, NULL, 'completed', NULL, 1,
      CASE WHEN c.payload IS NOT NULL THEN jsonb_build_object('json', c.payload) END, NULL, NULL, NULL
    )::powertools.outcome)
    INTO served, round
    FROM consumed c;
    outcomes := outcomes || round;
    EXIT WHEN served IS NULL OR cardinality(served) = cardinality(wait_ids);
    wait_ids := ARRAY(SELECT unnest(wait_ids) EXCEPT SELECT unnest(served));
  END LOOP;
  RETURN outcomes;
END $$;

-- Registers the waits of released signal steps among these. Returns the outcomes of those whose signal
-- came first, and of those whose key resolved to nothing.
CREATE OR REPLACE FUNCTION powertools.register_waits(steps powertools.steps[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql
AS $$
DECLARE
  registered bigint[];
  keyless powertools.outcome[];
BEGIN
  WITH given AS (
    SELECT s AS step, a.args ->> 'signal' AS signal, a.args ->> 'correlation_key' AS correlation_key
    FROM unnest(steps) AS s
    CROSS JOIN LATERAL (SELECT coalesce(s.args, powertools.resolve_args(s.workflow_id, s.template, NULL)) AS args) AS a
    WHERE s.kind = 'signal'
  ), waits AS (
    INSERT INTO powertools.waits (id, workflow_id, position, generation, signal, correlation_key, deadline_at)
    OVERRIDING SYSTEM VALUE
    SELECT (g.step).wait_id, (g.step).workflow_id, (g.step).position, (g.step).generation, g.signal,
      g.correlation_key, clock_timestamp() + (g.step).deadline
    FROM given g
    WHERE length(g.correlation_key) BETWEEN 1 AND 200
    RETURNING id
  )
  SELECT (SELECT array_agg(id) FROM waits), (
    SELECT array_agg(powertools.failed_outcome(g.step, CASE
      WHEN length(g.correlation_key) > 200
        THEN format('the correlation key has %s characters, at most 200 are allowed', length(g.correlation_key))
      ELSE 'the correlation key is empty: the reference resolved to nothing'
    END))
    FROM given g WHERE (length(g.correlation_key) BETWEEN 1 AND 200) IS NOT TRUE
  )
  INTO registered, keyless;
  IF registered IS NULL THEN
    RETURN keyless;
  END IF;
  RETURN keyless || powertools.consume_signals(registered);
END $$;

-- The smallest id of an unfinished workflow, always an outermost one; above all ids when there is none.
CREATE OR REPLACE FUNCTION powertools.oldest_unfinished() RETURNS bigint
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
BEGIN
  RETURN coalesce(
    (SELECT w.id FROM powertools.workflows w WHERE w.state IN ('running', 'cancel_requested') ORDER BY w.id LIMIT 1),
    9223372036854775807
  );
END $$;

-- Delivers one signal. Rows: the signal as recorded; for a repeat of a dedupe key the first one, with
-- status duplicate. Locks: the dedupe key, then as settle; a workflow that is named is always locked.
CREATE OR REPLACE FUNCTION powertools.deliver_signal_v1(
  of_signal text, of_key text, of_payload jsonb, of_dedupe_key text, of_workflow_id bigint, expires_in interval, only_begun bool
) RETURNS powertools.signals
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  delivered powertools.signals;
  wait powertools.waits;
  waiting int;
BEGIN
  INSERT INTO powertools.signals AS g (
    signal, correlation_key, workflow_id, dedupe_key, payload, status, expires_at, last_workflow_id
  )
  VALUES (
    of_signal, of_key, of_workflow_id, of_dedupe_key, of_payload, 'stored', clock_timestamp() + expires_in,
    CASE WHEN only_begun THEN coalesce((SELECT max(w.id) FROM powertools.workflows w), 0) END
  )
  ON CONFLICT (signal, correlation_key, dedupe_key) WHERE dedupe_key IS NOT NULL AND status <> 'duplicate' DO NOTHING
  RETURNING g.* INTO delivered;
  IF delivered.id IS NULL THEN
    SELECT g.* INTO delivered FROM powertools.signals g
    WHERE g.signal = of_signal AND g.correlation_key = of_key AND g.dedupe_key = of_dedupe_key AND g.status <> 'duplicate';
    INSERT INTO powertools.signals (signal, correlation_key, workflow_id, dedupe_key, payload, status, duplicate_of)
    VALUES (of_signal, of_key, of_workflow_id, of_dedupe_key, of_payload, 'duplicate', delivered.id);
    delivered.status := 'duplicate';
    RETURN delivered;
  END IF;

  IF of_workflow_id IS NOT NULL THEN
    -- so that the transaction that ends it sees this signal, or has ended it before we look
    PERFORM powertools.lock_families_v1(ARRAY[of_workflow_id]);
  END IF;
  SELECT count(DISTINCT w.workflow_id) INTO waiting
  FROM powertools.waits w
  WHERE w.signal = of_signal AND w.correlation_key = of_key AND w.state = 'waiting' AND powertools.is_for(delivered, w);
  IF waiting > 1 THEN
    UPDATE powertools.signals g SET status = 'ambiguous' WHERE g.id = delivered.id RETURNING g.* INTO delivered;
    RETURN delivered;
  END IF;
  IF waiting = 0 THEN
    SELECT w.* INTO wait FROM powertools.waits w
    WHERE w.signal = of_signal AND w.correlation_key = of_key AND (of_workflow_id IS NULL OR w.workflow_id = of_workflow_id)
    ORDER BY w.id DESC LIMIT 1;
    -- a workflow that has ended, or does not exist, waits no more: its signal would be stored in vain
    IF wait.state = 'expired'
      OR of_workflow_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM powertools.workflows w WHERE w.id = of_workflow_id AND w.finished_at IS NULL)
      OR delivered.last_workflow_id < powertools.oldest_unfinished() THEN
      UPDATE powertools.signals g SET status = 'late' WHERE g.id = delivered.id RETURNING g.* INTO delivered;
    END IF;
    RETURN delivered;
  END IF;

  SELECT w.* INTO wait FROM powertools.waits w
  WHERE w.signal = of_signal AND w.correlation_key = of_key AND w.state = 'waiting' AND powertools.is_for(delivered, w)
  ORDER BY w.id LIMIT 1;
  PERFORM powertools.lock_families_v1(ARRAY[wait.workflow_id]);
  -- It may have ended while we waited for the lock; then the signal stays stored, or comes late.
  SELECT w.* INTO wait FROM powertools.waits w WHERE w.id = wait.id;
  IF wait.state = 'waiting' THEN
    PERFORM powertools.settle(powertools.consume_signals(ARRAY[wait.id]));
  ELSIF wait.state = 'expired' THEN
    UPDATE powertools.signals g SET status = 'late' WHERE g.id = delivered.id;
  END IF;
  SELECT g.* INTO delivered FROM powertools.signals g WHERE g.id = delivered.id;
  RETURN delivered;
END $$;

-- Gives a signal that nobody took to a wait, whatever the wait's name and key. Locks: the caller holds the signal, and the family
-- of the wait; then as settle.
CREATE OR REPLACE FUNCTION powertools.redirect_signal_v1(of_signal_id bigint, to_wait_id bigint) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
DECLARE
  taken powertools.outcome;
BEGIN
  UPDATE powertools.signals g
  SET status = 'consumed', wait_id = w.id, consumed_at = clock_timestamp()
  FROM powertools.waits w
  WHERE g.id = of_signal_id AND g.status IN ('stored', 'ambiguous', 'late') AND w.id = to_wait_id AND w.state = 'waiting'
  RETURNING w.workflow_id, w.position, NULL, w.id, NULL, 'completed', NULL, 1,
    CASE WHEN g.payload IS NOT NULL THEN jsonb_build_object('json', g.payload) END, NULL, NULL, NULL
  INTO taken;
  IF FOUND THEN
    PERFORM powertools.settle(ARRAY[taken]);
  END IF;
END $$;

-- Gives a stored signal up: no wait takes it by itself any more, and a repeat of its dedupe key changes nothing. Locks: the caller holds it.
CREATE OR REPLACE FUNCTION powertools.discard_signal_v1(of_signal_id bigint) RETURNS void
LANGUAGE sql
AS $$
  UPDATE powertools.signals g SET status = 'late' WHERE g.id = of_signal_id AND g.status = 'stored'
$$;

-- Marks signals stored for these ended workflows as late. The caller holds them.
CREATE OR REPLACE FUNCTION powertools.close_signals_of(workflow_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED ONCE
AS $$
BEGIN
  -- most often nothing is stored for any workflow by its id
  IF EXISTS (SELECT FROM powertools.signals g WHERE g.status = 'stored' AND g.workflow_id IS NOT NULL) THEN
    UPDATE powertools.signals g SET status = 'late'
    WHERE g.id = ANY (ARRAY(
      SELECT n.id FROM unnest(workflow_ids) AS e (id)
      JOIN powertools.signals n ON n.workflow_id = e.id AND n.status = 'stored' AND n.workflow_id IS NOT NULL
    )) AND g.status = 'stored';
  END IF;
END $$;

-- Ends a batch of stored signals that no wait can consume any more: their time is over, or every workflow that began
-- before them has ended. Returns how many. Locks: the signals, skipping locked ones.
CREATE OR REPLACE FUNCTION powertools.close_signals(batch int) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  late int;
BEGIN
  UPDATE powertools.signals g SET status = 'late'
  WHERE g.id = ANY (ARRAY(
    SELECT o.id FROM powertools.signals o
    WHERE o.status = 'stored' AND o.id = ANY (ARRAY(
      (SELECT e.id FROM powertools.signals e
      WHERE e.status = 'stored' AND e.expires_at <= clock_timestamp() ORDER BY e.expires_at LIMIT batch)
      UNION ALL
      (SELECT b.id FROM powertools.signals b
      WHERE b.status = 'stored' AND b.last_workflow_id < powertools.oldest_unfinished()
      ORDER BY b.last_workflow_id LIMIT batch)
    ))
    ORDER BY o.id FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS late = ROW_COUNT;
  RETURN late;
END $$;

-- The waits and signals that missed each other because both transactions were open, starting from new ones of either.
CREATE OR REPLACE FUNCTION powertools.missed(batch int) RETURNS TABLE (wait_id bigint, workflow_id bigint)
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN QUERY (
    SELECT w.id, w.workflow_id
    FROM powertools.waits w
    JOIN powertools.signals g ON g.signal = w.signal AND g.correlation_key = w.correlation_key AND g.status = 'stored'
    WHERE w.id = ANY (ARRAY(SELECT n.id FROM powertools.waits n WHERE n.state = 'waiting' AND NOT n.swept ORDER BY n.id LIMIT batch))
      AND w.state = 'waiting' AND powertools.is_for(g, w)
    LIMIT batch
  ) UNION (
    SELECT w.id, w.workflow_id
    FROM powertools.signals g
    JOIN powertools.waits w ON w.signal = g.signal AND w.correlation_key = g.correlation_key AND w.state = 'waiting'
    WHERE g.id = ANY (ARRAY(SELECT n.id FROM powertools.signals n WHERE n.status = 'stored' AND NOT n.swept ORDER BY n.id LIMIT batch))
      AND g.status = 'stored' AND powertools.is_for(g, w)
    LIMIT batch
  );
END $$;

-- Marks unmatched waits and signals as swept: a later one is new, and finds them. Returns how many. Locks: these rows,
-- skipping locked ones, until the transaction ends.
CREATE OR REPLACE FUNCTION powertools.put_by(batch int) RETURNS int
LANGUAGE plpgsql
-- PLANNED EACH TIME ROW BY ROW
AS $$
DECLARE
  signals int;
  waits int;
BEGIN
  UPDATE powertools.signals g SET swept = true
  WHERE g.id = ANY (ARRAY(
    SELECT n.id FROM powertools.signals n
    WHERE n.status = 'stored' AND NOT n.swept AND NOT EXISTS (
      SELECT FROM powertools.waits w
      WHERE w.signal = n.signal AND w.correlation_key = n.correlation_key AND w.state = 'waiting' AND powertools.is_for(n, w)
    )
    ORDER BY n.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS signals = ROW_COUNT;
  UPDATE powertools.waits w SET swept = true
  WHERE w.id = ANY (ARRAY(
    SELECT n.id FROM powertools.waits n
    WHERE n.state = 'waiting' AND NOT n.swept AND NOT EXISTS (
      SELECT FROM powertools.signals g
      WHERE g.signal = n.signal AND g.correlation_key = n.correlation_key AND g.status = 'stored' AND powertools.is_for(g, n)
    )
    ORDER BY n.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
  ));
  GET DIAGNOSTICS waits = ROW_COUNT;
  RETURN greatest(signals, waits);
END $$;

-- Expires waits, and records it in the audit. Locks: as settle.
CREATE OR REPLACE FUNCTION powertools.expire_waits(wait_ids bigint[]) RETURNS void
LANGUAGE plpgsql
-- PLANNED EACH TIME
AS $$
BEGIN
  PERFORM powertools.settle(ARRAY(
    SELECT ROW (
      w.workflow_id, w.position, NULL, w.id, NULL, 'expired', 'wait_expired', 1, NULL,
      jsonb_build_object('error', format('no signal %s for %s by %s', w.signal, w.correlation_key, w.deadline_at)),
      NULL, NULL
    )::powertools.outcome
    FROM powertools.waits w WHERE w.id = ANY (wait_ids)
  ));
  -- A signal, or the end of the workflow, may have come first.
  PERFORM powertools.record_system_v1(
    'wait_expire', 'step', e.steps, 'no signal came before its deadline', array_fill('{"state": "awaiting_signal"}'::jsonb, e.size),
    array_fill('{"state": "expired"}'::jsonb, e.size), e.details
  )
  FROM (
    SELECT ARRAY[count(*)::int] AS size, array_agg(w.workflow_id || '/' || s.name ORDER BY w.id) AS steps,
      array_agg(jsonb_build_object('wait_id', w.id, 'deadline_at', w.deadline_at) ORDER BY w.id) AS details
    FROM powertools.waits w
    JOIN powertools.steps s ON s.workflow_id = w.workflow_id AND s.position = w.position
    WHERE w.id = ANY (wait_ids) AND s.wait_id = w.id AND s.cause = 'wait_expired'
  ) AS e
  WHERE e.steps IS NOT NULL;
END $$;

-- Makes the job's step wait from now on. Returns its outcome when the signal came first.
CREATE OR REPLACE FUNCTION powertools.await_signal(s powertools.steps, o powertools.outcome) RETURNS powertools.outcome[]
LANGUAGE plpgsql
AS $$
DECLARE
  wanted jsonb := o.result -> 'await';
BEGIN
  -- A worker in another language may return a value that ours refuses.
  IF (
    length(wanted ->> 'signal') BETWEEN 1 AND 200 AND length(wanted ->> 'correlation_key') BETWEEN 1 AND 200
    AND coalesce((wanted ->> 'deadline')::float, 0) BETWEEN 0 AND 36525 * 86400.0
  ) IS NOT TRUE THEN
    o.state := 'discarded';
    o.result := NULL;
    o.error := jsonb_build_object('attempt', o.attempt, 'error',
      'wait refused: it needs a signal and a correlation key of 1 to 200 characters each, and a deadline of 0 to 100 years');
    RETURN ARRAY[o];
  END IF;
  INSERT INTO powertools.waits (workflow_id, position, generation, signal, correlation_key, deadline_at)
  VALUES (
    s.workflow_id, s.position, s.generation, wanted ->> 'signal', wanted ->> 'correlation_key',
    clock_timestamp() + make_interval(secs => (wanted ->> 'deadline')::float)
  )
  RETURNING id INTO s.wait_id;
  UPDATE powertools.steps k
  SET state = 'awaiting_signal', wait_id = s.wait_id, attempt = o.attempt, released_at = o.released_at,
      started_at = o.started_at
  WHERE k.workflow_id = s.workflow_id AND k.position = s.position;
  PERFORM powertools.write_events_v1(ARRAY[
    ROW (s.workflow_id, s.position, 'awaiting', NULL, NULL, NULL, NULL, NULL)::powertools.change
  ]);
  RETURN powertools.consume_signals(ARRAY[s.wait_id]);
END $$;
