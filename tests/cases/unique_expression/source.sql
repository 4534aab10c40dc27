CREATE TABLE s (id int PRIMARY KEY, email text, live boolean);
CREATE UNIQUE INDEX ON s (lower(email)) WHERE live;
INSERT INTO s SELECT n, 'User' || n, n % 3 > 0 FROM generate_series(1, 9) AS n;
