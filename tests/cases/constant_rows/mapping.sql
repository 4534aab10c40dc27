INSERT INTO t SELECT id FROM s;
INSERT INTO labelled (id, kind, nothing) SELECT id, 'kind', NULL FROM s;
