-- step
UPDATE s SET v = v + 1 WHERE id > 'b';
-- step
UPDATE s SET id = lower(id) WHERE id LIKE 'B%';
DELETE FROM s WHERE id LIKE 'co%p1';
