INSERT INTO t SELECT id, v, big FROM s;
INSERT INTO t_words SELECT id, n, x.at, x.word FROM w
    CROSS JOIN LATERAL unnest(string_to_array(words, ' ')) WITH ORDINALITY AS x(word, at);
INSERT INTO t_citext SELECT id, n, x.at, x.word FROM w
    CROSS JOIN LATERAL unnest(string_to_array(words, ' ')) WITH ORDINALITY AS x(word, at);
INSERT INTO t_large SELECT id, n, big FROM w;
