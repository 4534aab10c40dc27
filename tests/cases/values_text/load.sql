-- step
UPDATE s SET v = 1;
-- step: odd spacing changes, the document does not
UPDATE s SET j = E'{\n\t"b":1}', jb = '{"b":1}' WHERE id = 2;
UPDATE s SET j = '{ "b" : 1 }', jb = '{ "b" : 1 }' WHERE id = 2;
-- step
UPDATE s SET t = t || E'\n', c = 'x', b = b || '\x00' WHERE id < 6;
-- step
UPDATE s SET t = NULL, b = NULL, j = NULL, jb = NULL, c = NULL;
