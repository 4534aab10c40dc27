INSERT INTO t SELECT id, slot, v FROM s;
INSERT INTO plain SELECT id, slot FROM s;
