-- The unique value is itself a reference.
CREATE TABLE seats (id int PRIMARY KEY);
CREATE TABLE guests (id int PRIMARY KEY, seat int UNIQUE REFERENCES seats);
INSERT INTO seats SELECT generate_series(1, 10);
INSERT INTO guests SELECT n, n FROM generate_series(1, 8) AS n;
