-- What settle works with. Locks: none to install.

-- The outcome of what a step ran on, to be settled: exactly one of job_id, wait_id and child_id says
-- what that was. The step believes it only while it runs on that very job, wait or workflow.
CREATE TYPE powertools.outcome AS (
  workflow_id bigint,
  position int,
  job_id bigint,
  wait_id bigint,
  child_id bigint,
  state text,
  cause text,
  attempt int,
  -- {"json": value}, {"await": wait} or {"json": value, "append": steps}
  result jsonb,
  error jsonb,
  released_at timestamptz,
  started_at timestamptz
);

-- A step that has just got its outcome, with what moves on from it.
CREATE TYPE powertools.ended AS (
  workflow_id bigint,
  position int,
  state text,
  cause text,
  wait_id bigint,
  children int[],
  continue_children int[]
);
