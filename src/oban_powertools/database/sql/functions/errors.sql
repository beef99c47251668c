-- What an error is: its class, its text, and both in one line; the only place that reads a traceback.
--
-- Processes with Powertools write the exception's own class and text. For others, Oban's and Elixir's, both are parsed
-- from their error: a traceback, a repr, or Elixir's format. Always within bounds, because one exception may carry a
-- page of 30 MB.

-- Shortens a text to its beginning, its end, and a note of how much is left out between them.
CREATE OR REPLACE FUNCTION powertools.shortened(said text, most int) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN length(said) <= most THEN said
    ELSE format('%s ... %s characters are left out ... %s', left(said, most / 2), length(said) - most / 2 * 2, right(said, most / 2))
  END
$$;

-- The class and the text of the exception in this error; class is NULL where there is none. For a group, also those of
-- the exceptions in it.
CREATE OR REPLACE FUNCTION powertools.read_error(said text, OUT class text, OUT told text)
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  frame CONSTANT text := E'\n  File "';
  group_head CONSTANT text := 'Exception Group Traceback (most recent call last):';
  named CONSTANT text := E'((?:[A-Za-z_<]\\w*>?\\.)*[A-Z]\\w*|(?:[A-Za-z_<]\\w*>?\\.)+\\w+)';
  last_frame int := strpos(reverse(said), reverse(frame));
  last_group int := strpos(reverse(said), reverse(group_head));
  leaves text[];
BEGIN
  told := btrim(said, E' \n');
  IF last_group > 0 AND (last_frame = 0 OR last_group < last_frame) THEN
    said := E'\n' || right(said, last_group + length(group_head) - 1);
    told := coalesce(substring(said FROM E'\n  \\| ([^\\s|+-][^\n]*)'), told);
    leaves := ARRAY(
      SELECT l[1] FROM regexp_matches(said, E'\n {4,}\\| (' || named || E'(?:: [^\n]*)?)(?=\n)', 'g') AS l
      WHERE l[1] !~ 'ExceptionGroup(:|$)'
    );
  ELSIF last_frame > 0 THEN
    told := coalesce(substring(right(said, last_frame + 7) FROM E'\n([^\n ].*)$'), told);
  ELSIF told LIKE 'Traceback%' THEN
    told := substring(told FROM E'[^\n]*$');
  ELSIF told LIKE '** (%' THEN
    class := substring(told FROM E'^\\*\\* \\(([\\w.]+)\\)');
    -- what follows are frames
    told := btrim(regexp_replace(substr(told, length(class) + 6), E'\n {4}\\S.*$', ''), E' \n');
    RETURN;
  END IF;
  class := substring(told FROM '^' || named || E'(?:[:(\n]|\\s*$)');
  IF class IS NOT NULL THEN
    told := regexp_replace(btrim(substr(told, length(class) + 1), E' \n'), E'^: *|^\\((.*)\\)$', E'\\1');
  END IF;
  IF leaves <> '{}' THEN
    told := told || ': ' || array_to_string(leaves[: 3], '; ');
    leaves := ARRAY(SELECT DISTINCT split_part(l, ':', 1) AS leaf FROM unnest(leaves) AS l ORDER BY leaf);
    class := format('%s(%s%s)', class, array_to_string(leaves[: 3], ', '), CASE WHEN cardinality(leaves) > 3 THEN ', ...' END);
  END IF;
END $$;

-- An error as it is stored and shown: bounded, with its class and its text; NULL for none. Any other value in its place
-- becomes an error.
CREATE OR REPLACE FUNCTION powertools.told_error_v1(error jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
DECLARE
  said text := CASE jsonb_typeof(error) WHEN 'object' THEN error ->> 'error' ELSE error #>> '{}' END;
  found record;
BEGIN
  IF jsonb_typeof(error -> 'text') = 'string' AND coalesce(length(said), 0) <= 21000
    AND length(error ->> 'text') <= 2100 AND length(coalesce(error ->> 'class', '')) <= 200 THEN
    RETURN error;
  END IF;
  IF error = 'null' THEN
    RETURN NULL;
  END IF;
  said := powertools.shortened(coalesce(said, ''), 20000);
  SELECT * INTO found FROM powertools.read_error(said);
  error := CASE jsonb_typeof(error) WHEN 'object' THEN error ELSE '{}' END
    -- an error of one line is not repeated
    || CASE WHEN error ? 'text' OR found.class IS NOT NULL OR found.told <> said OR jsonb_typeof(error -> 'error') IS DISTINCT FROM 'string'
      THEN jsonb_build_object('text', powertools.shortened(coalesce(error ->> 'text', found.told), 2000)) ELSE '{}' END
    || CASE WHEN coalesce(error ->> 'class', found.class) IS NULL THEN '{}'
      ELSE jsonb_build_object('class', left(coalesce(error ->> 'class', found.class), 200)) END;
  -- An error written by somebody else may be more than a text.
  IF jsonb_typeof(error -> 'error') IS NOT DISTINCT FROM 'string' OR length(error ->> 'error') > 20000 OR NOT error ? 'error' THEN
    error := error || jsonb_build_object('error', said);
  END IF;
  RETURN error;
END $$;

-- An error in one line, its class and its text, at most 500 characters, without what looks like a secret (security/S8).
CREATE OR REPLACE FUNCTION powertools.error_summary_v1(error jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
DECLARE
  line text;
BEGIN
  error := powertools.told_error_v1(error);
  line := concat_ws(': ', error ->> 'class', nullif(btrim(regexp_replace(coalesce(error ->> 'text', error ->> 'error'), E'\\s+', ' ', 'g')), ''));
  RETURN left(powertools.redacted(line), 500);
END $$;
