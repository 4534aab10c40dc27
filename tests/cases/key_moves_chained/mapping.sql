INSERT INTO t SELECT id, v, parent FROM s;
INSERT INTO lower_half SELECT id, v FROM s WHERE id < 1000;
