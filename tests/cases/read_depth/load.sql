-- step: a branch moves
UPDATE todos SET parent_id = NULL WHERE id = 3;
-- step
UPDATE todos SET parent_id = 40 WHERE id = 3;
-- step
INSERT INTO todos VALUES (100, NULL, 'root'), (101, 100, 'leaf');
UPDATE todos SET parent_id = 101 WHERE id = 1;
-- step: a gap in the middle
DELETE FROM todos WHERE id = 10;
-- step
INSERT INTO todos VALUES (10, 2, 'again');
-- step: keys move
UPDATE todos SET id = 200 WHERE id = 4;
-- step
UPDATE todos SET parent_id = 200 WHERE parent_id = 4;
-- step
UPDATE todos SET title = title || '!';
-- step
TRUNCATE todos;
INSERT INTO todos SELECT n, nullif(n - 1, 0), 'chain' FROM generate_series(1, 30) AS n;
-- step
DELETE FROM todos WHERE id = 1;
