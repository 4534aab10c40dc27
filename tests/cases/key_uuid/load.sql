-- step
UPDATE s SET v = 'nothing' WHERE id = '00000000-0000-0000-0000-000000000000';
UPDATE s SET id = md5(id::text)::uuid WHERE v LIKE 'row 1%';
-- step
DELETE FROM s WHERE id > '80000000-0000-0000-0000-000000000000';
INSERT INTO s SELECT md5(n::text)::uuid, 'row ' || n FROM generate_series(101, 110) AS n;
