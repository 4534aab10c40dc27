CREATE TABLE people (id int PRIMARY KEY, name text);
CREATE TABLE notes (id int PRIMARY KEY, person int, text text);
ALTER TABLE notes REPLICA IDENTITY FULL, ALTER text SET STORAGE EXTERNAL;
INSERT INTO people SELECT n, 'name ' || n FROM generate_series(1, 10) AS n;
INSERT INTO notes SELECT n, n % 12, repeat('note ', n * 30) FROM generate_series(1, 60) AS n;
