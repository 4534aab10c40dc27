-- step
UPDATE s SET a = a + interval '5 months', b = b + 100, c = -c, d = d / 3, e = e / 3, f = f || '\x27', g = g + interval '0.5 s';
-- step
UPDATE s SET id = id + 100, doc = '{"x": 1e-7}' WHERE id > 5;
TRUNCATE s;
INSERT INTO s (id, a, d) VALUES (1, '2024-11-03 05:30:00+00', 1.0 / 3);
