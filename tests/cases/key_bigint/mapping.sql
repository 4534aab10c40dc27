INSERT INTO t (v, id) SELECT v, id FROM s;
