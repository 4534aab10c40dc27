-- As the one before, with constraints that are checked at once on both sides.
CREATE TABLE s (id int PRIMARY KEY, parent int REFERENCES s ON DELETE CASCADE ON UPDATE CASCADE, v text);
