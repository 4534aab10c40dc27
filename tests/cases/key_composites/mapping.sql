INSERT INTO t SELECT id, p, h, big FROM s;
INSERT INTO t_wide SELECT id, p, h, big FROM s;
INSERT INTO t_arrays SELECT id, ps, p FROM s;
INSERT INTO t_keys SELECT id, n, words FROM k;
INSERT INTO t_words SELECT id, w.at, w.word FROM k
    CROSS JOIN LATERAL unnest(string_to_array(words, ' ')) WITH ORDINALITY AS w(word, at);
INSERT INTO t_domain SELECT id, v FROM d;
INSERT INTO t_base SELECT id, v FROM d;
INSERT INTO t_read SELECT id, format('%s %s', (id).a, n) FROM k;
INSERT INTO t_things SELECT t.id, t.kind, k.words FROM things AS t LEFT JOIN k ON k.id = t.kind;
