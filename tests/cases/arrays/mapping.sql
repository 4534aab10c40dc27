INSERT INTO t SELECT id, tags, grid, many, docs, stamps, prices, v FROM s;
INSERT INTO plain SELECT id, v FROM s;
