-- Rows are copied in an order that no constraint checked at once would take.
CREATE TABLE parents (id int PRIMARY KEY, v text);
CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents, above int REFERENCES children DEFERRABLE INITIALLY DEFERRED, v text);
INSERT INTO parents SELECT n, 'parent ' || n FROM generate_series(1, 10) AS n;
INSERT INTO children SELECT n, 1 + n % 10, 31 - n, 'child ' || n FROM generate_series(1, 30) AS n;
