-- What lists and searches find workflows by. Locks: none that a running application waits for.
-- Its number was free: workers of before the first release know those up to 24, and refuse a greater one.
-- Outside a transaction

-- None is on what changes on the way of a step, so its updates stay heap-only; most cost nothing where the thing is not
-- used: a workflow without tags or context, a step without an error, one that came through, is in none of them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS workflows_tags ON powertools.workflows USING gin (tags) WHERE tags <> '{}';

CREATE INDEX CONCURRENTLY IF NOT EXISTS workflows_context ON powertools.workflows USING gin (context jsonb_path_ops)
WHERE context <> '{}';

CREATE INDEX CONCURRENTLY IF NOT EXISTS workflows_not_completed ON powertools.workflows (state, id)
WHERE state IN ('failed', 'cancelled', 'expired');

CREATE INDEX CONCURRENTLY IF NOT EXISTS workflows_finished ON powertools.workflows (finished_at)
WHERE finished_at IS NOT NULL;

-- The words of an error's class and text.
CREATE INDEX CONCURRENTLY IF NOT EXISTS steps_error ON powertools.steps USING gin (
  to_tsvector('simple', regexp_replace(
    left(coalesce(error ->> 'class', '') || ' ' || coalesce(error ->> 'text', error ->> 'error', ''), 2500), '[^[:alnum:]]+', ' ', 'g'
  ))
) WHERE error IS NOT NULL;
