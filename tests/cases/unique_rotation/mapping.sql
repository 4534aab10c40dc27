INSERT INTO t SELECT id, slot, name FROM s;
