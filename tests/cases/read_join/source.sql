CREATE TABLE kinds (id int PRIMARY KEY, label text, price numeric);
CREATE TABLE items (id bigint PRIMARY KEY, kind int, pieces int);
INSERT INTO kinds SELECT n, 'kind ' || n, n * 1.5 FROM generate_series(1, 5) AS n;
INSERT INTO items SELECT n, n % 7, n FROM generate_series(1, 40) AS n;
