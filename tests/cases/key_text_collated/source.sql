-- An order that is not that of the bytes.
CREATE TABLE s (id text COLLATE "und-x-icu" PRIMARY KEY, v int);
INSERT INTO s SELECT word || n, n FROM unnest(ARRAY['a', 'B', 'c', 'Ä', 'é', 'Z', 'ß', 'co-op', 'coop', 'co op', '']) AS word, generate_series(1, 3) AS n;
