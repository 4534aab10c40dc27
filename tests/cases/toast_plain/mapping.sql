INSERT INTO t SELECT id, small, big, txt, doc FROM s;
