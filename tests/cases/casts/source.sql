CREATE TABLE s (id bigint PRIMARY KEY, a bigint, b numeric, c text, d timestamp, e jsonb, f boolean, g real);
INSERT INTO s SELECT n, n * 7, n * 1.25 - 3, 'text ' || n, '2024-01-01 23:30:00'::timestamp + n * interval '7 hours 0.123456 s', jsonb_build_object('n', n), n % 2 = 0, n / 3.0 FROM generate_series(1, 12) AS n;
