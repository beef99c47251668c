-- The edges between steps.

-- property/P23: names are unique by constraint; that edges stay inside the workflow, agree on both ends and
-- lead from a smaller depth to a greater one (so there is no cycle) is checked here, set-based.
CREATE OR REPLACE FUNCTION powertools.check_edges_v1() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  bad record;
BEGIN
  SELECT workflow_id, parent, child INTO bad
  FROM (
    SELECT s.workflow_id, p.parent, s.position AS child, s.depth, 'cancel' AS policy
    FROM new_steps s CROSS JOIN LATERAL unnest(s.parents) AS p (parent)
    UNION ALL
    SELECT s.workflow_id, p.parent, s.position, s.depth, 'continue'
    FROM new_steps s CROSS JOIN LATERAL unnest(s.continue_parents) AS p (parent)
  ) AS incoming
  FULL JOIN (
    SELECT s.workflow_id, s.position AS parent, c.child, s.depth AS parent_depth, 'cancel' AS policy
    FROM new_steps s CROSS JOIN LATERAL unnest(s.children) AS c (child)
    UNION ALL
    SELECT s.workflow_id, s.position, c.child, s.depth, 'continue'
    FROM new_steps s CROSS JOIN LATERAL unnest(s.continue_children) AS c (child)
  ) AS outgoing USING (workflow_id, parent, child, policy)
  WHERE (depth IS NULL OR parent_depth IS NULL OR parent_depth >= depth)
    -- an appended step depends on a step that was stored earlier
    AND NOT EXISTS (
      SELECT FROM powertools.steps s
      WHERE s.workflow_id = incoming.workflow_id AND s.position = parent AND s.depth < incoming.depth
        AND child = ANY (CASE policy WHEN 'cancel' THEN s.children ELSE s.continue_children END)
    )
  LIMIT 1;
  IF FOUND THEN
    RAISE check_violation USING MESSAGE = format(
      'workflow %s: the edge from step %s to step %s does not lead forward inside the workflow',
      bad.workflow_id, bad.parent, bad.child);
  END IF;
  RETURN NULL;
END $$;
