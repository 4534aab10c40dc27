CREATE TABLE s (id int PRIMARY KEY);
INSERT INTO s SELECT generate_series(1, 9);
