-- No made-up value passes this constraint.
CREATE TABLE t (id int PRIMARY KEY, place int NOT NULL UNIQUE CHECK (place > 0));
