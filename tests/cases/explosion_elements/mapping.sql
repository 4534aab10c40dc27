INSERT INTO elements SELECT id, e.at, e.value FROM s CROSS JOIN LATERAL jsonb_array_elements(list) WITH ORDINALITY AS e(value, at);
INSERT INTO texts SELECT id, e.at, e.value FROM s CROSS JOIN LATERAL jsonb_array_elements_text(list) WITH ORDINALITY AS e(value, at);
INSERT INTO tags SELECT id, u.at, u.tag FROM s CROSS JOIN LATERAL unnest(tags) WITH ORDINALITY AS u(tag, at);
INSERT INTO numbers SELECT id, u.at, u.number FROM s CROSS JOIN LATERAL unnest(numbers) WITH ORDINALITY AS u(number, at);
