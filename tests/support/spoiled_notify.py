"""The whole suite with other notifications than ours: ``POWERTOOLS_TEST_NOTIFY=off`` or ``garbage``.

Notifications change latency, never outcome (invariant/I5). ``off`` loses every one of them; ``garbage`` adds to each
one some that nobody can read and some that are forged. A function that the server has built in cannot be replaced, so
another ``pg_notify`` stands before it in the search path, and our own functions are made to call that one.
"""

import os
from typing import Final

import psycopg

MODE: Final = os.environ.get("POWERTOOLS_TEST_NOTIFY", "on")

_BODIES: Final = {
    "off": "",
    "garbage": """
      PERFORM pg_catalog.pg_notify(channel, payload);
      PERFORM pg_catalog.pg_notify(channel, 'garbage {"' || n) FROM generate_series(1, 3) AS n;
      PERFORM pg_catalog.pg_notify('powertools.events', forged)
      FROM unnest(ARRAY['', '[]', '{"cursor": 99999999999}', repeat('x', 7000)]) AS forged;
      PERFORM pg_catalog.pg_notify('public.oban_insert', '{"queue": "nobody_has_this_queue"}');
    """,
}

_SPOIL: Final = """
CREATE SCHEMA spoiled;
GRANT USAGE ON SCHEMA spoiled TO PUBLIC;
CREATE FUNCTION spoiled.pg_notify(channel text, payload text) RETURNS void
LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
ALTER ROLE CURRENT_USER SET search_path = public, spoiled, pg_catalog;
"""

_OURS: Final = """
DO $do$
DECLARE
  ours oid;
BEGIN
  FOR ours IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'powertools'::regnamespace AND p.prosrc LIKE '%pg_notify(%'
  LOOP
    EXECUTE replace(pg_get_functiondef(ours), 'pg_notify(', 'spoiled.pg_notify(');
  END LOOP;
END $do$
"""


def spoil(dsn: str) -> None:
    """For this database and its copies, and for whoever connects as its user from now on."""
    if MODE != "on":
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(_SPOIL.format(body=_BODIES[MODE]).encode())
            conn.execute(_OURS.encode())
