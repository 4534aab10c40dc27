INSERT INTO streamed SELECT id, n, big FROM s WHERE n % 5 > 0;
INSERT INTO read SELECT id, (SELECT substring(name from '[0-9]+')), length((SELECT substring(big from 'x+'))) FROM s WHERE n % 4 > 0;
