-- The arguments of a step's job, with the results that they refer to.

-- The largest sum of payloads, in bytes: a step's resolved args, the results of a map or of a nested workflow. jsonb
-- holds four times as much, and settle has several copies of it in memory.
CREATE OR REPLACE FUNCTION powertools.gathered_limit() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 67108864; END $$;

-- Args with each reference replaced by the parent's result or error (or, inside a map, by the item),
-- null where there is none. Linear in the size of the outcome, whatever the number of references. NULL when they exceed
-- the limit.
CREATE OR REPLACE FUNCTION powertools.resolve_args(of_workflow_id bigint, template jsonb, item jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  resolved CONSTANT text := (
  SELECT string_agg(
    CASE jsonb_typeof(part)
      WHEN 'string' THEN part #>> '{}'
      ELSE coalesce(CASE part ->> 1 WHEN 'item' THEN
        (item #> ARRAY(SELECT jsonb_array_elements_text(part -> 2)))::text
      ELSE (
        SELECT (
          CASE part ->> 1 WHEN 'result' THEN p.result ELSE p.error END
          #> ARRAY(SELECT jsonb_array_elements_text(part -> 2))
        )::text
        FROM powertools.steps p
        WHERE p.workflow_id = of_workflow_id AND p.position = (part ->> 0)::int
      ) END, 'null')
    END, '' ORDER BY place)
  FROM jsonb_array_elements(template) WITH ORDINALITY AS t (part, place)
  );
BEGIN
  RETURN CASE WHEN octet_length(resolved) <= powertools.gathered_limit() THEN resolved::jsonb END;
END $$;

CREATE OR REPLACE FUNCTION powertools.failed_outcome(s powertools.steps, message text) RETURNS powertools.outcome
LANGUAGE sql STABLE
AS $$
  SELECT ROW (
    s.workflow_id, s.position, s.job_id, s.wait_id, s.child_id, 'discarded', NULL, s.attempt, NULL,
    jsonb_build_object('error', message), s.released_at, s.started_at
  )::powertools.outcome
$$;

-- The outcomes of these steps that were released but have no job, because their args exceed the limit.
CREATE OR REPLACE FUNCTION powertools.oversized_args(workflow_ids bigint[], positions int[]) RETURNS powertools.outcome[]
LANGUAGE plpgsql STABLE
-- PLANNED EACH TIME ROW BY ROW
AS $$
BEGIN
  RETURN (
    SELECT array_agg(powertools.failed_outcome(s, format(
      'its args come to more than %s bytes with what they refer to: pass where it is instead', powertools.gathered_limit()
    )))
    FROM (SELECT DISTINCT e.* FROM unnest(workflow_ids, positions) AS e (workflow_id, position)) AS e
    CROSS JOIN LATERAL (
      SELECT s.* FROM powertools.steps s WHERE s.workflow_id = e.workflow_id AND s.position = e.position OFFSET 0
    ) AS s
    WHERE s.state = 'available' AND s.template IS NOT NULL
      AND NOT EXISTS (SELECT FROM public.oban_jobs j WHERE j.id = s.job_id)
  );
END $$;
