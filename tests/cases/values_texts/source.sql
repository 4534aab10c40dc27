-- Types without a binary form, and one whose binary form is not always read: an empty tsquery.
CREATE EXTENSION seg; CREATE EXTENSION isn; CREATE EXTENSION intarray;
CREATE DOMAIN size AS seg;
CREATE TYPE pair AS (q tsquery, n int);
CREATE TABLE s (id int PRIMARY KEY, size seg, book isbn, ints query_int, d size, acl aclitem, q tsquery, big text);
ALTER TABLE s ALTER big SET STORAGE EXTERNAL;
INSERT INTO s VALUES (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, '1.50 .. 2.5', '978-0-393-04002-9', '1&(2|3)', '<3', 'postgres=r/postgres', '', repeat('a', 9000)),
    (3, '5(+-)0.3', '0-393-04002-X', '!1', '~4.0', '=r/postgres', 'a & b:*', 'short'),
    (4, '1.5', NULL, '7', '2', NULL, '!a <-> b', repeat('b', 9000));
CREATE TABLE queries (id int PRIMARY KEY, qs tsquery[], b pair, v text);
INSERT INTO queries VALUES (1, '{}', NULL, 'a'), (2, ARRAY['', 'x'::tsquery], ('', 1)::pair, 'b'), (3, ARRAY['a & b'::tsquery], ('c', 2)::pair, 'c');
-- As keys.
CREATE TABLE books (isbn isbn PRIMARY KEY, title text, n int);
INSERT INTO books VALUES ('978-0-393-04002-9', 'one two', 1), ('0-201-53082-1', 'three four five', 2), ('0-11-000222-9', NULL, 3);
CREATE TABLE sizes (part int, size seg, v int, PRIMARY KEY (part, size));
ALTER TABLE sizes REPLICA IDENTITY FULL;
INSERT INTO sizes VALUES (1, '1 .. 2', 10), (1, '1.0 .. 2', 20), (2, '3', 30);
-- Led to by such a key.
CREATE TABLE copies (id int PRIMARY KEY, book isbn);
INSERT INTO copies VALUES (1, '978-0-393-04002-9'), (2, '0-201-53082-1'), (3, NULL);
