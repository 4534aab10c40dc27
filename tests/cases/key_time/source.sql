CREATE TABLE s (at timestamptz, on_day date, PRIMARY KEY (at, on_day), local timestamp UNIQUE, v text);
INSERT INTO s SELECT '2024-01-01 00:00:00.000001+00'::timestamptz + n * interval '1 hour 1 microsecond', '2024-02-28'::date + n,
    '2024-03-31 01:59:59.999999'::timestamp + n * interval '1 second', 'row ' || n FROM generate_series(1, 12) AS n;
INSERT INTO s VALUES ('infinity', 'infinity', 'infinity', 'last'), ('-infinity', '-infinity', '-infinity', 'first'),
    ('4713-01-01 00:00:00 BC', '4713-01-01 BC', '4713-01-01 00:00:00 BC', 'oldest'), ('294276-12-31 23:59:59.999999+00', '5874897-12-31', '294276-12-31 23:59:59.999999', 'newest');
