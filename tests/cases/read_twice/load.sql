-- step
UPDATE people SET name = name || '!' WHERE id = 3;
-- step
DELETE FROM people WHERE id = 4;
-- step
INSERT INTO people VALUES (4, 'again');
