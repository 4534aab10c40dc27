CREATE TABLE s (id int PRIMARY KEY, place int NOT NULL UNIQUE);
INSERT INTO s SELECT n, n FROM generate_series(1, 6) AS n;
