-- Redacts texts that the database stores.

-- The patterns of redaction.py, in their order; a test compares them.
CREATE OR REPLACE FUNCTION powertools.secret_patterns(OUT pattern text, OUT put text, OUT flags text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE
AS $$
  SELECT p.pattern, p.put, p.flags
  FROM (SELECT E'\\s\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000' AS spaces) AS s
  CROSS JOIN LATERAL (
    SELECT '[' || s.spaces || E'\\u200b-\\u200d\\u2060\\ufeff]{0,8}' AS gap, '[^' || s.spaces || E',;&)}\\]]' AS rest
  ) AS g
  CROSS JOIN LATERAL (VALUES
    (1, E'(?<=://)[^\\s/@:]*:[^\\s/]+(?=@)', '[redacted]', 'g'),
    (2, '-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(-----END [A-Z ]{0,40}PRIVATE KEY-----)?', '[redacted]', 'g'),
    (3, E'\\y(bearer|basic)[' || s.spaces || E']+[\\w.~+/=-]{8,}', E'\\1 [redacted]', 'gi'),
    (4, '((pass(word|wd|phrase|code)|pwd|secret|token|(api|private|access|signing)[_-]?key|credential|authorization'
      || E'|cookie)[\\w-]{0,40}[\\\\"'']{0,4}' || g.gap || '[=:]{1,3}>?' || g.gap || E')(\\[redacted\\]' || g.rest
      || E'*|"([^"\\\\]|\\\\.)*"' || g.rest || E'*|''([^''\\\\]|\\\\.)*''' || g.rest || E'*|\\\\"[^"\\\\]*\\\\"' || g.rest
      || '*|' || g.rest || '+)', E'\\1[redacted]', 'gi'),
    (5, E'\\yeyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*|\\y(sk|pk|rk|ghp|gho|github_pat|glpat|npm|xox[a-z])[_-][\\w-]{10,}'
      || E'|\\ywhsec_[\\w+/=-]{10,}|\\yAKIA[A-Z0-9]{12,}|\\yAIza[\\w-]{30,}', '[redacted]', 'g'),
    (6, E'\\y(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}\\y', '[redacted]', 'g'),
    (7, E'(?<![\\w-])(?=[\\w-]*[a-z])(?=[\\w-]*[A-Z])(?=[\\w-]*[0-9])[\\w-]{32,}(?![\\w-])', '[redacted]', 'g')
  ) AS p (place, pattern, put, flags)
  ORDER BY p.place
$$;

-- A line of text without what looks like a secret. A longer line loses its end, so that no unrecognized half of a
-- secret is left. COLLATE "C": classes mean ASCII, as in redaction.py, whatever the database takes for a letter.
CREATE OR REPLACE FUNCTION powertools.redacted(line text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  said text COLLATE "C" := CASE WHEN length(line) > 1000 THEN regexp_replace(left(line, 1000), E'\\S*$', '…') ELSE line END;
  secret record;
BEGIN
  -- Most errors contain no secret, which one match shows.
  IF said !~* 'pass|pwd|secret|token|key|credential|authorization|cookie|://|bearer|basic|eyj|whsec_|[a-z0-9_-]{13}' THEN
    RETURN said;
  END IF;
  FOR secret IN SELECT * FROM powertools.secret_patterns() LOOP
    said := regexp_replace(said, secret.pattern, secret.put, secret.flags);
  END LOOP;
  RETURN said;
END $$;
