-- step: beside the key
UPDATE pages SET title = 'changed ' || hits, hits = hits + 100 WHERE hits <= 3;
UPDATE parts SET v = v + 100 WHERE id <= 3;
UPDATE whole SET v = v + 100 WHERE v <= 3;
UPDATE other SET v = v + 100 WHERE id <= 3;
-- step: the key alone, and what is out of line stays
UPDATE pages SET url = url || 'x' WHERE hits = 4;
UPDATE parts SET url = url || 'x' WHERE id = 4;
UPDATE parts SET id = id + 50 WHERE id = 5;
UPDATE whole SET url = url || 'x' WHERE v = 4;
UPDATE other SET url = url || 'x' WHERE id = 4;
UPDATE links SET url = url || 'x' WHERE id = 4;
-- step: to and from a short key
UPDATE pages SET url = 'short' WHERE hits = 5;
UPDATE parts SET url = 'short', v = -1 WHERE id = 6;
UPDATE whole SET url = 'short' WHERE v = 5;
UPDATE other SET url = 'short' WHERE id = 5;
-- step
UPDATE pages SET url = long('again', 70), title = NULL WHERE url = 'short';
UPDATE parts SET url = long('again', 70) WHERE url = 'short';
UPDATE whole SET url = long('again', 70) WHERE url = 'short';
UPDATE other SET url = long('again', 70), id = 500 WHERE url = 'short';
UPDATE links SET url = long('again', 70) WHERE id = 10;
-- step: several changes of one row in a transaction
BEGIN;
UPDATE pages SET hits = hits + 1;
UPDATE pages SET url = url || 'y' WHERE hits % 2 = 0;
UPDATE pages SET title = 'third' WHERE hits % 3 = 0;
UPDATE parts SET v = v + 1;
UPDATE parts SET id = id + 1000 WHERE v % 2 = 0;
UPDATE parts SET body = 'short' WHERE v % 3 = 0;
DELETE FROM pages WHERE hits = 7;
COMMIT;
-- step: gone
DELETE FROM pages WHERE hits > 100;
DELETE FROM parts WHERE v > 100;
DELETE FROM whole WHERE v > 100;
DELETE FROM other WHERE id < 3;
