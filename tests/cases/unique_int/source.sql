CREATE TABLE s (id int PRIMARY KEY, place int NOT NULL UNIQUE CHECK (place > 0), room bigint, bed int, UNIQUE (room, bed));
INSERT INTO s SELECT n, n, n / 3, n % 3 FROM generate_series(1, 12) AS n;
