INSERT INTO t SELECT at, on_day, local, v FROM s;
