INSERT INTO t SELECT id, small, big, big || small FROM s;
