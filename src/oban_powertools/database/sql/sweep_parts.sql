-- The parts of the sweep that this release knows.
INSERT INTO powertools.sweep_parts (name)
SELECT unnest(ARRAY[/* names */])
ON CONFLICT DO NOTHING;

DELETE FROM powertools.sweep_parts p
WHERE p.name <> ALL (ARRAY[/* names */]);
