INSERT INTO t SELECT id, size, book, ints, d, acl, big FROM s;
INSERT INTO t_query SELECT id, q, size, big FROM s;
INSERT INTO t_wide SELECT id, book, size::text FROM s;
INSERT INTO t_queries SELECT id, qs, b, v FROM queries;
INSERT INTO t_books SELECT isbn, title, n FROM books;
INSERT INTO t_words SELECT isbn, w.at, w.word FROM books
    CROSS JOIN LATERAL unnest(string_to_array(title, ' ')) WITH ORDINALITY AS w(word, at);
INSERT INTO t_sizes SELECT size, part, v FROM sizes;
INSERT INTO t_read SELECT isbn, format('%s %s', isbn, n) FROM books;
INSERT INTO t_copies SELECT c.id, c.book, b.title FROM copies AS c LEFT JOIN books AS b ON b.isbn = c.book;
