-- The label depends on an unchanged value and on the key, which moves.
INSERT INTO t SELECT id, small, id::text || ' ' || big FROM s;
