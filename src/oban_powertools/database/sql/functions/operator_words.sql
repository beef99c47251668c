-- The operator's word of workflows and steps: Needs Review, Blocked, Waiting, Runnable, Running or Finished, and the code of
-- what is in the way. The same as an explanation says (explain/diagnosing.py), computed for whole pages at once.
--
-- A leaf is a step without an outcome that waits on nothing upstream: it runs on something, or is only held. A step that runs
-- a workflow stands for the leaves in that; what is pending has the word of the leaves that it waits for.

-- What the codes of a thing's blockers come to. As STATUSES in explain/diagnosing.py: time or another step ends what is
-- Waiting, executors or sessions what is Blocked, and a person whatever has a code that stands here nowhere.
CREATE OR REPLACE FUNCTION powertools.word_of(codes text[], executing bool) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN NOT codes <@ '{
      waiting_on_dependencies, waiting_on_retryable_dependency, waiting_on_signal, waiting_on_workflow, waiting_on_items,
      held, cancel_requested, workflow_expired, scheduled, retry_backoff, queue_saturated,
      queue_paused, queue_has_no_executor, orphaned_by_missing_executor, locked
    }'::text[] THEN 'Needs Review'
    WHEN codes && '{queue_paused, queue_has_no_executor, orphaned_by_missing_executor, locked}'::text[] THEN 'Blocked'
    WHEN executing THEN 'Running'
    WHEN codes = '{}' THEN 'Runnable'
    ELSE 'Waiting'
  END
$$;

-- What Oban's producers and our executors say of queues: executors (alive: beating, or refreshed by Oban and not
-- silent), paused (of them), places (sum of the limits of those not paused; NULL when one says none), running (jobs in their
-- hands). By queue. Index: oban_jobs by state and queue; the producers are few.
CREATE OR REPLACE FUNCTION powertools.queue_facts_v1(queues text[])
RETURNS TABLE (queue text, executors bigint, paused bigint, places int, running bigint)
LANGUAGE sql STABLE
AS $$
  WITH beating AS MATERIALIZED (
    SELECT e.producer_scope, e.producer FROM powertools.executors e
    WHERE e.producer_scope = ANY (queues) AND e.executor_id NOT IN (SELECT s.executor_id FROM powertools.silent_executors s)
  )
  SELECT
    q.queue,
    greatest(count(o.uuid), (
      SELECT count(*) FROM beating e WHERE e.producer_scope = q.queue
    )),
    count(o.uuid) FILTER (WHERE o.meta -> 'paused' = 'true'),
    CASE WHEN bool_and(jsonb_typeof(o.meta -> 'local_limit') = 'number')
      THEN least(sum(CASE WHEN o.meta -> 'paused' = 'true' THEN 0 ELSE (o.meta ->> 'local_limit')::numeric END), 1e9)::int
    END,
    (
      SELECT count(*)
      FROM public.oban_jobs j
      WHERE j.state = 'executing' AND j.queue = q.queue AND j.attempted_by[2] = ANY (array_agg(o.uuid::text) || ARRAY(
        -- Oban's table is empty after a crash of the server (oban/O16)
        SELECT e.producer FROM beating e WHERE e.producer_scope = q.queue
      ))
    )
  FROM unnest(queues) AS q (queue)
  LEFT JOIN powertools.producers_at_work o ON o.queue = q.queue
  GROUP BY q.queue
  ORDER BY q.queue
$$;

-- Sessions that hold rows in a transaction that idles, or lasts over 2 s; a row names in xmax who locked or changed it.
CREATE OR REPLACE FUNCTION powertools.holding_sessions() RETURNS TABLE (xid xid)
LANGUAGE sql STABLE
AS $$
  SELECT l.transactionid
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
    AND (a.state LIKE 'idle in transaction%' OR a.xact_start < clock_timestamp() - interval '2 s')
$$;

-- Whether the worker of a job that is to be tried again could not be imported, as its last error's line has it.
CREATE OR REPLACE FUNCTION powertools.is_unimportable(error jsonb) RETURNS bool
LANGUAGE sql IMMUTABLE
AS $$
  SELECT coalesce(CASE WHEN error::text LIKE '%WorkerResolutionError%'
    THEN left(powertools.error_summary_v1(error), 200) LIKE '%WorkerResolutionError%' END, false)
$$;

-- The words of leaves, and of steps that run a workflow, with the code of their first blocker (NULL: nothing is in the way).
-- Args: one entry a step without an outcome. Index: the primary keys; executors, their jobs and queues once.
-- Long: one pass over the facts, then one case for each state in the order in which an explanation names its findings.
CREATE OR REPLACE FUNCTION powertools.leaf_words(workflow_ids bigint[], positions int[])
RETURNS TABLE (workflow_id bigint, "position" int, name text, word text, code text)
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH holding AS MATERIALIZED (
    SELECT h.xid FROM powertools.holding_sessions() h
  ), leaves AS MATERIALIZED (
    SELECT s.workflow_id, s.position, s.name, s.state AS own_state, s.held_until IS NOT NULL AS held, c.id AS child_id, c.max_failures,
      s.cancel_requested_at IS NOT NULL AS stopping, w.expired_at IS NOT NULL AS expired, w.cancel_requested_at IS NOT NULL AS cancelling,
      f.job_id IS NOT NULL AS faulted, j.id AS job_id, j.state::text AS job_state, j.queue, j.attempted_by, j.scheduled_at,
      j.state = 'available' AND j.attempt >= j.max_attempts AS exhausted,
      j.state IN ('available', 'scheduled', 'retryable') AND powertools.is_unimportable(j.errors -> -1) AS unresolved,
      j.state = 'suspended' AND EXISTS (
        SELECT FROM powertools.rescues r WHERE r.job_id = j.id AND r.action = 'quarantined'
      ) AS quarantined,
      EXISTS (
        SELECT FROM holding h
        WHERE h.xid IN (w.xmax, j.xmax, (SELECT r.xmax FROM powertools.workflows r WHERE r.id = w.root_id))
      ) AS locked
    FROM unnest(workflow_ids, positions) AS u (workflow_id, position)
    CROSS JOIN LATERAL (
      SELECT * FROM powertools.steps WHERE workflow_id = u.workflow_id AND position = u.position LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
      SELECT w.*, w.xmax FROM powertools.workflows w WHERE w.id = s.workflow_id LIMIT 1
    ) AS w
    LEFT JOIN powertools.workflows c ON c.id = s.child_id
    LEFT JOIN powertools.settle_faults f ON f.job_id = s.job_id AND f.repaired_at IS NULL
    LEFT JOIN public.oban_jobs j ON s.state = 'available' AND j.id = s.job_id
  ), queues AS MATERIALIZED (
    SELECT q.queue, CASE
        WHEN q.executors = 0 THEN 'queue_has_no_executor'
        WHEN q.paused = q.executors THEN 'queue_paused'
        WHEN q.running >= q.places THEN 'queue_saturated'
      END AS code
    FROM powertools.queue_facts_v1(ARRAY(
      SELECT DISTINCT l.queue FROM leaves l WHERE l.job_state IN ('available', 'scheduled', 'retryable')
    )) AS q
  ), lost AS MATERIALIZED (
    SELECT e.node, e.producer, h.state IN ('missing', 'stopped')
      OR e.executor_id IN (SELECT s.executor_id FROM powertools.silent_executors s) AS lost
    FROM powertools.executors e
    JOIN powertools.executor_health_v1() h ON h.executor_id = e.executor_id
    -- each leaf looks through what is left here, and only of these the health is computed
    WHERE h.executor_id = ANY (ARRAY(
      SELECT x.executor_id FROM powertools.executors x
      WHERE (x.node, x.producer) IN (SELECT l.attempted_by[1], l.attempted_by[2] FROM leaves l WHERE l.job_state = 'executing')
    ))
  ), coded AS MATERIALIZED (
    SELECT l.workflow_id, l.position, l.name, coalesce(l.job_state, l.own_state) = 'executing' AS executing, array_remove(
      CASE
        WHEN l.faulted THEN ARRAY['bookkeeping_fault']
        WHEN l.own_state = 'pending' THEN ARRAY[CASE WHEN l.held THEN 'held' END]
        WHEN l.own_state = 'awaiting_signal' THEN ARRAY['waiting_on_signal']
        WHEN l.own_state = 'executing' AND l.child_id IS NOT NULL
          THEN ARRAY[CASE WHEN l.max_failures IS NULL THEN 'waiting_on_workflow' ELSE 'waiting_on_items' END]
        WHEN l.own_state <> 'available' THEN ARRAY[l.own_state]
        WHEN l.job_state IS NULL OR l.job_state IN ('completed', 'discarded', 'cancelled') THEN ARRAY['bookkeeping_fault']
        ELSE ARRAY[CASE WHEN l.held THEN 'held' END] || CASE
          WHEN l.job_state = 'executing' THEN ARRAY[CASE WHEN coalesce(
            (SELECT o.lost FROM lost o WHERE o.node = l.attempted_by[1] AND o.producer = l.attempted_by[2] LIMIT 1),
            NOT EXISTS (
              SELECT FROM public.oban_producers p
              WHERE p.uuid::text = l.attempted_by[2] AND p.updated_at > timezone('UTC', now()) - interval '60 seconds'
            )
          ) THEN 'orphaned_by_missing_executor' END]
          WHEN l.quarantined THEN ARRAY['quarantined']
          WHEN l.job_state = 'available' THEN ARRAY[
            CASE WHEN l.exhausted THEN 'attempts_exhausted' END, CASE WHEN l.unresolved THEN 'worker_not_importable' END, q.code
          ]
          WHEN l.job_state IN ('scheduled', 'retryable') THEN ARRAY[CASE WHEN l.unresolved THEN 'worker_not_importable' END]
            || CASE WHEN l.scheduled_at <= timezone('UTC', now()) THEN ARRAY[t.place, t.time] ELSE ARRAY[t.time, t.place] END
          WHEN NOT l.held THEN ARRAY[l.job_state]
        END
      END
      || CASE WHEN l.stopping THEN 'cancel_requested' END
      || CASE WHEN l.expired THEN 'workflow_expired' WHEN l.cancelling THEN 'cancel_requested' END
      || CASE WHEN l.locked THEN 'locked' END, NULL) AS codes
    FROM leaves l
    LEFT JOIN queues q ON q.queue = l.queue AND l.job_state IN ('available', 'scheduled', 'retryable')
    CROSS JOIN LATERAL (SELECT
      CASE WHEN q.code <> 'queue_saturated' THEN q.code END AS place,
      CASE l.job_state WHEN 'retryable' THEN 'retry_backoff' ELSE 'scheduled' END AS time
    ) AS t
  )
  SELECT c.workflow_id, c.position, c.name, powertools.word_of(c.codes, c.executing), c.codes[1]
  FROM coded c;
END $$;

-- The leaves of these workflows, and for one that has not started those that the step which runs it waits for.
-- via: the step of the workflow itself that stands above the leaf; NULL for one outside.
-- Index: the primary keys; every step of a workflow that is entered.
CREATE OR REPLACE FUNCTION powertools.leaves_of(ids bigint[])
RETURNS TABLE (of_workflow bigint, via int, workflow_id bigint, "position" int)
LANGUAGE plpgsql STABLE
-- PLANNED ONCE
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE reached (of_workflow, via, workflow_id, position, pending, leaf, child_id) AS (
    SELECT u.id, s.position, s.workflow_id, s.position, s.state = 'pending' AND s.pending > 0, s.state <> 'pending' OR s.held_until IS NOT NULL,
      CASE WHEN s.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = s.child_id AND n.open > 0) END
    FROM unnest(ids) AS u (id)
    JOIN powertools.workflows w ON w.id = u.id
    LEFT JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position
    JOIN powertools.steps s ON s.workflow_id = w.id AND s.finished_at IS NULL AND p.state IS DISTINCT FROM 'pending'
      AND (s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL)
    UNION
    SELECT u.id, NULL, p.workflow_id, p.position, p.pending > 0, p.held_until IS NOT NULL, NULL
    FROM unnest(ids) AS u (id)
    JOIN powertools.workflows w ON w.id = u.id
    JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position AND p.state = 'pending'
    UNION
    SELECT r.of_workflow, r.via, n.workflow_id, n.position, n.pending, n.leaf, n.child_id
    FROM reached r
    CROSS JOIN LATERAL (
      -- what is inside
      SELECT k.workflow_id, k.position, false AS pending, true AS leaf,
        CASE WHEN k.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = k.child_id AND n.open > 0) END AS child_id
      FROM powertools.steps k
      WHERE k.workflow_id = r.child_id AND k.finished_at IS NULL AND (k.state <> 'pending' OR k.pending = 0 AND k.held_until IS NOT NULL)
      UNION ALL
      -- what a pending step waits for
      SELECT p.workflow_id, p.position, p.state = 'pending' AND p.pending > 0, p.state <> 'pending' OR p.held_until IS NOT NULL,
        CASE WHEN p.state = 'executing' THEN (SELECT n.id FROM powertools.workflows n WHERE n.id = p.child_id AND n.open > 0) END
      FROM (
        SELECT s.parents || s.continue_parents AS parents FROM powertools.steps s
        WHERE r.pending AND s.workflow_id = r.workflow_id AND s.position = r.position LIMIT 1
      ) AS s
      CROSS JOIN LATERAL unnest(s.parents) AS e (parent)
      JOIN powertools.steps p ON p.workflow_id = r.workflow_id AND p.position = e.parent AND p.finished_at IS NULL
      UNION ALL
      -- and in a workflow that has not started either, what the step that runs that waits for
      SELECT p.workflow_id, p.position, p.pending > 0, p.held_until IS NOT NULL, NULL
      FROM powertools.workflows w
      JOIN powertools.steps p ON p.workflow_id = w.parent_id AND p.position = w.parent_position AND p.state = 'pending'
      WHERE r.pending AND w.id = r.workflow_id
    ) AS n
  )
  SELECT r.of_workflow, r.via, r.workflow_id, r.position
  FROM reached r
  WHERE r.leaf AND NOT r.pending AND r.child_id IS NULL;
END $$;

-- The words of workflows: the most urgent of their leaves', with the code and the place of the first leaf that has it. Of
-- one that failed: the first step that failed by itself, else the first that expired or was cancelled by itself. Rows: one an existing workflow of ids.
CREATE OR REPLACE FUNCTION powertools.workflow_words_v1(ids bigint[])
RETURNS TABLE (id bigint, word text, code text, leaf_workflow_id bigint, leaf_position int, leaf_name text)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH asked AS MATERIALIZED (
    SELECT w.id, w.open, w.failed FROM unnest(ids) AS u (id) JOIN powertools.workflows w ON w.id = u.id
  ), leaves AS MATERIALIZED (
    SELECT * FROM powertools.leaves_of(ARRAY(SELECT a.id FROM asked a WHERE a.open > 0))
  ), worded AS MATERIALIZED (
    SELECT w.* FROM powertools.leaf_words(ARRAY(SELECT l.workflow_id FROM leaves l), ARRAY(SELECT l.position FROM leaves l)) AS w
  ), first AS (
    SELECT DISTINCT ON (l.of_workflow) l.of_workflow, w.*
    FROM leaves l
    JOIN worded w ON w.workflow_id = l.workflow_id AND w.position = l.position
    ORDER BY l.of_workflow, array_position('{Needs Review,Blocked,Running,Runnable,Waiting}', w.word), w.workflow_id, w.position
  )
  SELECT a.id, CASE WHEN a.open = 0 THEN 'Finished' ELSE coalesce(f.word, 'Needs Review') END,
    CASE WHEN a.open > 0 AND f.word IS NULL THEN 'bookkeeping_fault' ELSE f.code END,
    coalesce(f.workflow_id, s.workflow_id), coalesce(f.position, s.position), coalesce(f.name, s.name)
  FROM asked a
  LEFT JOIN first f ON f.of_workflow = a.id
  LEFT JOIN LATERAL (
    SELECT s.workflow_id, s.position, s.name FROM powertools.steps s
    WHERE a.open = 0 AND a.failed > 0 AND s.workflow_id = a.id AND s.state <> 'completed'
      AND s.cause IS DISTINCT FROM 'cancelled_by_dependency'
    ORDER BY array_position('{discarded,expired,cancelled}', s.state), s.position LIMIT 1
  ) AS s ON true;
END $$;

-- The words of all steps of a workflow, with the code of the first blocker. A pending one is Blocked when a leaf that it
-- waits for is Blocked or needs a review; a step that runs a workflow has the word of the leaves in that.
CREATE OR REPLACE FUNCTION powertools.step_words_v1(of_workflow bigint)
RETURNS TABLE ("position" int, word text, code text)
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE leaves AS MATERIALIZED (
    SELECT * FROM powertools.leaves_of(ARRAY[step_words_v1.of_workflow])
  ), own AS MATERIALIZED (
    -- released ones, also those that run a workflow; and those that only a hold keeps
    SELECT s.position FROM powertools.steps s
    WHERE s.workflow_id = step_words_v1.of_workflow AND s.finished_at IS NULL
      AND (s.state <> 'pending' OR s.pending = 0 AND s.held_until IS NOT NULL)
  ), worded AS MATERIALIZED (
    SELECT w.* FROM (
      SELECT array_agg(p.workflow_id) AS workflow_ids, array_agg(p.position) AS positions FROM (
        SELECT l.workflow_id, l.position FROM leaves l
        UNION
        SELECT step_words_v1.of_workflow, o.position FROM own o
      ) AS p
    ) AS a, powertools.leaf_words(a.workflow_ids, a.positions) AS w
  ), above AS MATERIALIZED (
    SELECT l.via, bool_or(w.word IN ('Needs Review', 'Blocked')) AS stuck, bool_or(w.word = 'Running') AS running,
      bool_or(l.workflow_id <> step_words_v1.of_workflow) AS nested
    FROM leaves l JOIN worded w ON w.workflow_id = l.workflow_id AND w.position = l.position
    GROUP BY l.via
  ), outside AS MATERIALIZED (
    -- apart, so that it is one row beside each step, and no look through all of them
    SELECT a.stuck FROM above a WHERE a.via IS NULL
  ), waiting (position, stuck) AS (
    SELECT a.via, a.stuck FROM above a WHERE a.via IS NOT NULL
    UNION
    SELECT c.position, w.stuck
    FROM waiting w
    CROSS JOIN LATERAL (
      SELECT s.children || s.continue_children AS children FROM powertools.steps s
      WHERE s.workflow_id = step_words_v1.of_workflow AND s.position = w.position LIMIT 1
    ) AS s
    CROSS JOIN LATERAL unnest(s.children) AS e (child)
    CROSS JOIN LATERAL (
      SELECT c.position, c.state FROM powertools.steps c
      WHERE c.workflow_id = step_words_v1.of_workflow AND c.position = e.child LIMIT 1
    ) AS c
    WHERE c.state = 'pending'
  ), told AS (
    -- one pass by position instead of joins: statistics that lag behind a large insert would make these quadratic
    SELECT p.position, bool_or(p.finished) AS finished, max(p.word) AS word, max(p.code) AS code, bool_or(p.nested) AS nested,
      bool_or(p.stuck_inside) AS stuck_inside, bool_or(p.running_inside) AS running_inside, bool_or(p.stuck_before) AS stuck_before
    FROM (
      SELECT s.position, s.finished_at IS NOT NULL AS finished, NULL::text AS word, NULL::text AS code, NULL::bool AS nested,
        NULL::bool AS stuck_inside, NULL::bool AS running_inside, NULL::bool AS stuck_before
      FROM powertools.steps s WHERE s.workflow_id = step_words_v1.of_workflow
      UNION ALL
      SELECT w.position, NULL, w.word, w.code, NULL, NULL, NULL, NULL FROM worded w WHERE w.workflow_id = step_words_v1.of_workflow
      UNION ALL
      SELECT a.via, NULL, NULL, NULL, a.nested, a.stuck, a.running, NULL FROM above a WHERE a.via IS NOT NULL
      UNION ALL
      SELECT w.position, NULL, NULL, NULL, NULL, NULL, NULL, w.stuck FROM waiting w
    ) AS p
    GROUP BY p.position
  )
  SELECT t.position,
    CASE
      WHEN t.finished THEN 'Finished'
      WHEN t.word IS NULL THEN CASE coalesce(t.stuck_before, o.stuck) WHEN true THEN 'Blocked' WHEN false THEN 'Waiting' ELSE 'Needs Review' END
      WHEN t.nested THEN CASE WHEN t.stuck_inside THEN 'Blocked' WHEN t.running_inside THEN 'Running' ELSE 'Waiting' END
      ELSE t.word
    END,
    CASE
      WHEN t.finished THEN NULL
      WHEN t.word IS NULL THEN CASE WHEN coalesce(t.stuck_before, o.stuck) IS NULL THEN 'bookkeeping_fault' ELSE 'waiting_on_dependencies' END
      ELSE t.code
    END
  FROM told t
  LEFT JOIN outside o ON true;
END $$;

-- The words of an incident and of an executor, which are their states, as people write them; and that an open incident is muted.
CREATE OR REPLACE FUNCTION powertools.incident_word_v3(state text, muted bool) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE state
    WHEN 'active' THEN CASE WHEN muted THEN 'Muted' ELSE 'Needs Review' END
    WHEN 'acknowledged' THEN CASE WHEN muted THEN 'Muted' ELSE 'Acknowledged' END
    WHEN 'resolved' THEN 'Resolved'
  END
$$;

CREATE OR REPLACE FUNCTION powertools.executor_word_v2(state text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE state WHEN 'healthy' THEN 'Healthy' WHEN 'late' THEN 'Late' WHEN 'missing' THEN 'Missing' WHEN 'stopped' THEN 'Stopped' END
$$;

-- The word of a step or workflow just after an event, and the code of what is in its way then, by all that the event knows.
-- What only the queue, an executor, a hold or another step makes of it is no part of an event. Computed as it is read: an
-- event is no larger by it.
-- Args: state (after it); job_id (NULL: of a wait, a nested workflow or a map); kind (of the step; NULL: a workflow).
CREATE OR REPLACE FUNCTION powertools.event_word_v1(state text, job_id bigint) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN state IN ('completed', 'discarded', 'cancelled', 'expired', 'failed') THEN 'Finished'
    WHEN state = 'available' THEN 'Runnable'
    WHEN state = 'executing' AND job_id IS NOT NULL THEN 'Running'
    WHEN state IN ('pending', 'scheduled', 'retryable', 'executing', 'awaiting_signal') THEN 'Waiting'
    ELSE 'Needs Review'
  END
$$;

CREATE OR REPLACE FUNCTION powertools.event_code_v1(state text, job_id bigint, kind text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN state = 'pending' THEN 'waiting_on_dependencies'
    WHEN state = 'retryable' THEN 'retry_backoff'
    WHEN state = 'awaiting_signal' THEN 'waiting_on_signal'
    WHEN state = 'executing' AND job_id IS NULL THEN CASE kind WHEN 'map' THEN 'waiting_on_items' ELSE 'waiting_on_workflow' END
    WHEN state IN ('scheduled', 'suspended') THEN state
  END
$$;

-- The word of what a notice is about, just after it; NULL for what has none. kind: as in powertools.notices.
CREATE OR REPLACE FUNCTION powertools.notice_word_v1(kind text, data jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN kind LIKE 'incident.%' THEN powertools.incident_word_v3(data ->> 'state', data -> 'muted' = 'true')
    WHEN kind = 'executor.recovered' THEN powertools.executor_word_v2(CASE data ->> 'process_alive' WHEN 'true' THEN 'healthy' ELSE 'stopped' END)
    WHEN kind LIKE 'executor.%' THEN powertools.executor_word_v2(split_part(kind, '.', 2))
  END
$$;
