CREATE TABLE orders (id int PRIMARY KEY, customer text);
CREATE TABLE items (order_id int, line int, product int, PRIMARY KEY (order_id, line, product));
CREATE TABLE products (id int PRIMARY KEY, name text, maker int);
CREATE TABLE makers (id int PRIMARY KEY, name text);
ALTER TABLE products REPLICA IDENTITY FULL;
INSERT INTO makers SELECT n, 'maker ' || n FROM generate_series(1, 3) AS n;
INSERT INTO products SELECT n, 'product ' || n, 1 + n % 3 FROM generate_series(1, 6) AS n;
INSERT INTO orders SELECT n, 'customer ' || n FROM generate_series(1, 12) AS n;
INSERT INTO items SELECT n, l, 1 + (n + l) % 7 FROM generate_series(1, 12) AS n, generate_series(1, 2) AS l;
