INSERT INTO t_bytea SELECT id, v FROM s_bytea;
INSERT INTO t_char SELECT id, flag, n, v FROM s_char;
INSERT INTO t_enum SELECT id, c, v FROM s_enum;
INSERT INTO t_net SELECT id, o, v FROM s_net;
