CREATE TABLE s (v text, id bigint PRIMARY KEY);
INSERT INTO s SELECT 'row ' || n, n::bigint * 1000000007 FROM generate_series(-8, 8) AS n;
INSERT INTO s VALUES ('least', -9223372036854775808), ('most', 9223372036854775807);
