-- step
UPDATE s SET n = n + 1;
-- step
UPDATE s SET n = n + 1 WHERE n % 3 = 0;
UPDATE s SET name = 'b' || n;
-- step
UPDATE s SET big = repeat('x', n);
-- step
UPDATE s SET id = md5('new' || n || id)::uuid WHERE n % 2 = 0;
-- step
DELETE FROM s WHERE n % 7 = 0;
-- step
UPDATE s SET big = repeat('xy', 2000), n = 1;
-- step
UPDATE s SET n = n + 1;
