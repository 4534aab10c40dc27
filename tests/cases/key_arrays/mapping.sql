INSERT INTO t_ints SELECT id, v, big FROM ints;
INSERT INTO t_widened SELECT id, v FROM ints;
INSERT INTO t_words SELECT tags, n, w.at, w.word FROM texts
    CROSS JOIN LATERAL unnest(string_to_array(words, ' ')) WITH ORDINALITY AS w(word, at);
INSERT INTO t_texts SELECT n, tags, words FROM texts;
INSERT INTO t_moods SELECT id, v FROM moods;
INSERT INTO t_pairs SELECT id, v FROM pairs;
INSERT INTO t_numbers SELECT id, v FROM numbers;
INSERT INTO t_read SELECT id, array_to_string(id, '-') || (SELECT format('%s', v)) FROM ints;
INSERT INTO t_things SELECT t.id, t.kind, k.label FROM things AS t LEFT JOIN kinds AS k ON k.tags = t.kind;
INSERT INTO t_whole SELECT id, v FROM whole;
