-- step
UPDATE ints SET v = v + 100 WHERE v < 12;
UPDATE texts SET words = words || ' three' WHERE n < 4;
UPDATE moods SET v = v + 100;
UPDATE pairs SET v = v + 100;
UPDATE numbers SET v = v + 100;
UPDATE kinds SET label = upper(label);
UPDATE whole SET v = v + 100;
-- step: fewer rows
UPDATE texts SET words = 'one' WHERE n < 7;
DELETE FROM ints WHERE v = 101 OR v = 30;
DELETE FROM moods WHERE id = '{ok,NULL}';
DELETE FROM whole WHERE id = '{1}';
-- step: other keys
UPDATE ints SET id = id || 7 WHERE v > 30 AND array_ndims(id) = 1;
UPDATE ints SET id = '[0:1]={1,2}' WHERE id = '[5:6]={1,2}';
UPDATE texts SET tags = tags || ARRAY['more'] WHERE n % 2 = 0;
UPDATE moods SET id = '{ok}' WHERE id = '{sad}';
UPDATE pairs SET id = id || ARRAY[(9, 'y')::pair];
UPDATE numbers SET id = '{1.000}' WHERE id = '{1.0}';
UPDATE kinds SET tags = '{9}' WHERE tags = '{1}';
UPDATE things SET kind = '{1,2}' WHERE id = 1;
UPDATE whole SET id = '{{7}}';
-- step
DELETE FROM kinds WHERE tags = '{9}';
INSERT INTO kinds VALUES ('{}', 'none');
INSERT INTO things VALUES (6, '{}');
TRUNCATE whole;
