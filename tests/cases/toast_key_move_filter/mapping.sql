-- The key says to which table a row belongs.
INSERT INTO low SELECT id, small, big FROM s WHERE id < 600;
INSERT INTO high SELECT id, small, big FROM s WHERE id >= 600;
