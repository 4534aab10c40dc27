INSERT INTO t SELECT id, v FROM s;
-- More than the row alone: neither side could compute it again.
INSERT INTO dated SELECT id, now() FROM s;
INSERT INTO short SELECT id, left(name, 3) FROM s;
