-- Each row is in exactly one of the two; the constant is no part of the key.
INSERT INTO t (id, kind, label, big) SELECT id, 'o', v || ' is open', big FROM s WHERE status = 'open';
INSERT INTO t (id, kind, label, big) SELECT id, 'd', v || ' is done', big FROM s WHERE status IS DISTINCT FROM 'open';
