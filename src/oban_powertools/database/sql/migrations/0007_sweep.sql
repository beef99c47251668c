-- The sweep: what no trigger can see, found and settled. Locks: none to install.

-- One row a part of the sweep, which an upgrade writes: when it last did all that was due, or found nothing due; NULL:
-- never yet. Whoever carries a part out holds its row. Not an advisory lock: any role that may connect could hold that,
-- and stop rescue, deadlines and seals for ever.
CREATE TABLE powertools.sweep_parts (
  name text PRIMARY KEY,
  succeeded_at timestamptz
) WITH (fillfactor = 25);  -- nothing that a success changes is indexed: rows are updated in place
