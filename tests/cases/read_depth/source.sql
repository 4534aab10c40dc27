CREATE TABLE todos (id int PRIMARY KEY, parent_id int, title text);
CREATE INDEX ON todos (parent_id);
INSERT INTO todos SELECT n, nullif(n / 2, 0), 'todo ' || n FROM generate_series(1, 60) AS n;
