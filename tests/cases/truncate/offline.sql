-- step
TRUNCATE a, b, c;
INSERT INTO c VALUES (1, 'offline');
