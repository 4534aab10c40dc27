CREATE TABLE t (id int PRIMARY KEY, tags text[], grid int[][], many uuid[], docs jsonb[], stamps timestamptz[], prices numeric(10, 2)[], v text);
CREATE TABLE plain (id int PRIMARY KEY, v text);
