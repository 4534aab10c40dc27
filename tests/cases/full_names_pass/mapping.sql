INSERT INTO owned SELECT name, id, n FROM s;
