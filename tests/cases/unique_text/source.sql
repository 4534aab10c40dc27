CREATE TABLE s (id int PRIMARY KEY, email text UNIQUE, v text);
INSERT INTO s SELECT n, 'user' || n || '@example.com', 'row ' || n FROM generate_series(1, 12) AS n;
