DO $$ BEGIN
    EXECUTE 'CREATE TABLE s (id int PRIMARY KEY, ' || (SELECT string_agg('c' || n || CASE n % 3 WHEN 0 THEN ' int' WHEN 1 THEN ' text' ELSE ' numeric' END, ', ') FROM generate_series(1, 600) AS n) || ')';
END $$;
INSERT INTO s (id, c1, c2, c3, c598, c599, c600) SELECT n, 'text ' || n, n, n, 'last', n, n FROM generate_series(1, 5) AS n;
