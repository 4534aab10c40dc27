-- step
UPDATE s SET v = 1;
-- step
UPDATE s SET f = '24 hours' WHERE id = 1;
UPDATE s SET f = '1 day' WHERE id = 1;
UPDATE s SET a = '2024-01-01 00:00:00.000001+00', b = '2024-01-01 00:00:00.1', c = '0099-12-31' WHERE id < 4;
-- step
INSERT INTO s (id, a, b, c, f) SELECT 10 + n, '2000-01-01'::timestamptz + n * n * n * interval '1 day 1 second', '2000-01-01'::timestamp - n * n * n * interval '1 day 1 second',
    '2000-01-01'::date - n * n * n, n * interval '1 month -1 day 1 second' FROM generate_series(1, 60) AS n;
