INSERT INTO t SELECT code, id, small, big FROM s;
