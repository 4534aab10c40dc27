-- step: two exchange
UPDATE s SET name = CASE id WHEN 1 THEN 'name 2' ELSE 'name 1' END WHERE id IN (1, 2);
-- step: all move on
UPDATE s SET name = 'name ' || 1 + id % 30;
-- step: a name is left by one and taken by another
UPDATE s SET name = name || '!' WHERE id <= 10;
UPDATE s SET name = 'name ' || id, v = 'taken' WHERE id BETWEEN 2 AND 11;
