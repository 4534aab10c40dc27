CREATE TABLE s (id int PRIMARY KEY, a numeric, b numeric(12, 3), c real, d double precision, e smallint, f bigint, g money, v int);
INSERT INTO s VALUES
    (1, 'NaN', 'NaN', 'NaN', 'NaN', 0, 0, 0, 0), (2, 'Infinity', NULL, 'Infinity', '-Infinity', 32767, 9223372036854775807, '12.34', 0),
    (3, '-Infinity', 0, '-0', '-0', -32768, -9223372036854775808, '-99999.99', 0), (4, ('1' || repeat('0', 999))::numeric, 1.0005, 1e-45, 5e-324, 1, 1, 1, 0),
    (5, ('0.' || repeat('0', 998) || '7')::numeric, -1.0005, 3.4028235e38, 1.7976931348623157e308, 1, 1, 1, 0),
    (6, (repeat('9', 1000) || '.' || repeat('9', 1000))::numeric, 999999999.999, 0.1, 0.1, 1, 1, 1, 0), (7, 1.000, 1, 1, 1, 1, 1, 1, 0), (8, 0.00, 0, 0, 0, 0, 0, 0, 0),
    (9, 1e-16383, 0, 0, 0, 0, 0, 0, 0), (10, ('1' || repeat('0', 131071))::numeric, 0, 0, 0, 0, 0, 0, 0);
