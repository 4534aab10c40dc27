-- step
UPDATE s_bytea SET v = v + 1;
UPDATE s_char SET v = v + 1;
UPDATE s_enum SET v = v + 1;
UPDATE s_net SET v = v + 1;
-- step
UPDATE s_bytea SET id = id || '\x01';
UPDATE s_char SET flag = NOT flag, id = 'z' WHERE n > 6;
UPDATE s_enum SET c = 'moved' WHERE c = 'x';
UPDATE s_enum SET id = 'sad' , c = 'w' WHERE id = 'happy' AND c = 'y';
UPDATE s_net SET id = id + 1;
-- step
DELETE FROM s_bytea WHERE id = '\x0001';
DELETE FROM s_char WHERE id = 'z';
DELETE FROM s_enum WHERE id = 'ok';
DELETE FROM s_net WHERE o = 0;
