-- Produces numeric.tsv: arithmetic of pseudo-random decimals by a real server.
--   psql -X -q -f numeric_gen.sql
SELECT setseed(0.42) \g /dev/null
CREATE TEMP TABLE pick AS
SELECT i, a::numeric AS a, b::numeric AS b, r FROM (
    SELECT i,
        (CASE WHEN random() < 0.5 THEN '-' ELSE '' END) || left(translate(md5(random()::text) || md5(random()::text), 'abcdef', '000999'), 1 + (random() * random() * 40)::int)
            || CASE WHEN random() < 0.7 THEN '.' || left(translate(md5(random()::text), 'abcdef', '000999'), 1 + (random() * 20)::int) ELSE '' END
            || CASE WHEN random() < 0.2 THEN 'e' || (random() * 40 - 20)::int ELSE '' END AS a,
        (CASE WHEN random() < 0.5 THEN '-' ELSE '' END) || left(translate(md5(random()::text), 'abcdef', '000999'), 1 + (random() * random() * 30)::int)
            || CASE WHEN random() < 0.7 THEN '.' || left(translate(md5(random()::text), 'abcdef', '000999'), 1 + (random() * 20)::int) ELSE '' END
            || CASE WHEN random() < 0.2 THEN 'e' || (random() * 40 - 20)::int ELSE '' END AS b,
        (random() * 20 - 8)::int AS r
    FROM generate_series(1, 400) i) q;
UPDATE pick SET a = 'NaN' WHERE i IN (1, 2);
UPDATE pick SET b = 'NaN' WHERE i IN (2, 3);
UPDATE pick SET a = 'Infinity' WHERE i IN (4, 5, 6);
UPDATE pick SET b = '-Infinity' WHERE i IN (5, 7, 8);
UPDATE pick SET a = '-Infinity' WHERE i IN (8, 9);
UPDATE pick SET b = 0.00 WHERE i IN (10, 9, 11);
UPDATE pick SET a = 0.000 WHERE i IN (11, 12, 7);
UPDATE pick SET a = b * 7 WHERE i BETWEEN 20 AND 60;
UPDATE pick SET a = 9999.99995, b = 0.00005 WHERE i = 61;
\copy (SELECT a, b, r, encode(numeric_send(a), 'hex'), a + b, a - b, a * b, CASE WHEN b = 0 THEN NULL ELSE a / b END, CASE WHEN b = 0 THEN NULL ELSE a % b END, round(a, r), trunc(a, r), ceil(a), floor(a), sign(a - b)::text FROM pick ORDER BY i) TO 'numeric.tsv'
