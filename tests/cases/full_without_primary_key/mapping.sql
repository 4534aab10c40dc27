INSERT INTO t SELECT code, v, big FROM s;
