INSERT INTO t SELECT id, small, big, other FROM s;
INSERT INTO narrow SELECT id, small FROM s;
