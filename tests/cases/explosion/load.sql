-- step: grow
UPDATE s SET doc = doc || '{"c": 3, "d": 4}' WHERE id IN (1, 2);
-- step: shrink
UPDATE s SET doc = doc - 'a' WHERE id = 1;
-- step: to nothing, in each of the ways
UPDATE s SET doc = '{}' WHERE id = 1;
UPDATE s SET doc = NULL WHERE id = 2;
UPDATE s SET doc = '[]' WHERE id = 7;
-- step: from nothing
UPDATE s SET doc = '{"a": 1}';
-- step: other keys, other values
UPDATE s SET doc = jsonb_build_object('k' || id, id), n = 2;
-- step: in one transaction, on top of each other
BEGIN;
UPDATE s SET doc = '{"x": 1, "y": 2, "z": 3}' WHERE id < 4;
UPDATE s SET doc = doc - 'y' WHERE id < 3;
UPDATE s SET id = id + 100 WHERE id < 3;
UPDATE s SET doc = doc || '{"w": null}' WHERE id = 101;
COMMIT;
-- step
DELETE FROM s WHERE id > 100;
INSERT INTO s VALUES (101, 1, '{"new": true}');
-- step: many keys
UPDATE s SET doc = (SELECT jsonb_object_agg('key ' || k, k) FROM generate_series(1, 200) AS k) WHERE id = 101;
UPDATE s SET doc = doc - 'key 7' WHERE id = 101;
