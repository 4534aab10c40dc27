CREATE TABLE models (id int PRIMARY KEY, name text, scores int[]);
CREATE TABLE metrics (model_id int, at int, name text, value int, PRIMARY KEY (model_id, at));
INSERT INTO models SELECT n, 'model ' || n, ARRAY[n, 7 - n, n * 3 % 5] FROM generate_series(1, 9) AS n;
INSERT INTO metrics SELECT 1 + n % 9, n, 'm' || n % 2, n * 17 % 23 FROM generate_series(1, 40) AS n;
