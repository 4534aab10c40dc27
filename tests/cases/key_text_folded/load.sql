-- step: the same key in other letters
UPDATE s SET id = upper(id), v = v + 10 WHERE v < 3;
UPDATE s SET v = v + 10 WHERE id = 'Gamma';
-- step: rows of a key, and not those of the other
UPDATE w SET words = 'one' WHERE id = 'a';
UPDATE w SET n = 30 WHERE id = 'b';
DELETE FROM w WHERE id = 'A';
-- step
INSERT INTO w VALUES ('C', 50, 'again and again', NULL), ('A', 60, 'new', repeat('n', 9000));
UPDATE w SET id = 'D', words = words || ' more' WHERE id = 'c';
UPDATE s SET id = lower(id);
-- step
DELETE FROM w WHERE id = 'a';
DELETE FROM s WHERE id IN ('beta', 'delta');
