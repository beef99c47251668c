-- Which releases work on this schema. Locks: ACCESS EXCLUSIVE on the table of migrations, for an instant.

-- The oldest version whose releases work on what a migration leaves; NULL: none that doesn't know it.
ALTER TABLE powertools.migrations ADD COLUMN compatible_from int;
