-- Equal numbers with other digits are the same key; its bytes change all the same.
CREATE TABLE s (id numeric PRIMARY KEY, v int);
INSERT INTO s VALUES (1, 1), (2.0, 2), (3.00, 3), (1e20, 4), (0, 5), (-5.5, 6);
