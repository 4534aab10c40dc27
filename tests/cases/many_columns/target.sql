DO $$ BEGIN
    EXECUTE 'CREATE TABLE t (id int PRIMARY KEY, ' || (SELECT string_agg('c' || n || CASE n % 3 WHEN 0 THEN ' int' WHEN 1 THEN ' text' ELSE ' numeric' END, ', ') FROM generate_series(1, 600) AS n) || ')';
END $$;
