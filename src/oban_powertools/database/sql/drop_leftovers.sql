-- Functions that this release has no more.
DO $$
DECLARE
  leftover regprocedure;
BEGIN
  FOR leftover IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'powertools.migrations'::regclass)
      AND p.oid <> ALL (ARRAY[/* signatures */]::regprocedure[])
  LOOP
    EXECUTE format('DROP FUNCTION %s', leftover);
  END LOOP;
END $$;
