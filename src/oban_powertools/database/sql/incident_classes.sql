-- The classes of incidents that this release knows. Of one that it has no more no incident may be left: a migration sees to that.
INSERT INTO powertools.incident_classes (name, found_by, holds_by, concerns_by, over_because) VALUES
  /* rows */
ON CONFLICT (name) DO UPDATE SET found_by = excluded.found_by, holds_by = excluded.holds_by,
  concerns_by = excluded.concerns_by, over_because = excluded.over_because;

DELETE FROM powertools.incident_classes c
WHERE c.name <> ALL (ARRAY[/* names */]);
