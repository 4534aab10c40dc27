INSERT INTO joined SELECT id, big || ' ' || note, n FROM s;
INSERT INTO two SELECT id, big || huge, n, huge FROM s;
