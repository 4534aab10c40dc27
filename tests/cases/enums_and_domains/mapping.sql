INSERT INTO t SELECT id, mood, mail, amount, n FROM s;
INSERT INTO texts SELECT id, mood::text, mail, amount, n + 1 FROM s;
INSERT INTO sad SELECT id, mood FROM s WHERE mood < 'happy';
