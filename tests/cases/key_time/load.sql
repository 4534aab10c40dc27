-- step
UPDATE s SET v = v || '!', local = local + interval '1 microsecond' WHERE at < 'infinity' AND at > '4000-01-01 BC' AND at < '9000-01-01';
-- step
UPDATE s SET at = at + interval '1 microsecond' WHERE on_day = '2024-02-29';
UPDATE s SET on_day = '2000-02-29' WHERE v = 'oldest';
-- step
DELETE FROM s WHERE at = 'infinity';
UPDATE s SET at = 'infinity' WHERE v = 'newest';
