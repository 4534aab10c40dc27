CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE s (
    id int PRIMARY KEY, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, m money, b boolean,
    t text, vc varchar(20), c char(5), name name, bin bytea, u uuid,
    d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval,
    j json, jb jsonb, jp jsonpath, x xml,
    ia int[], ta text[], na numeric[], tsa timestamptz[], ja jsonb[],
    ir int4range, nr numrange, dr daterange, tr tstzrange, mr int8multirange,
    ip inet, net cidr, mac macaddr, mac8 macaddr8, bits bit(3), vbits varbit,
    pt point, ln line, ls lseg, bx box, pa path, po polygon, ci circle,
    tv tsvector, tq tsquery, lsn pg_lsn, o oid, snap pg_snapshot,
    e mood, dom positive, comp pair, cit citext, h hstore, lt ltree);
INSERT INTO s (id) VALUES (1);
INSERT INTO s VALUES (2, -32768, 9223372036854775807, 'NaN', '-Infinity', 'NaN', '-92233720368547758.08', true,
    E'quote '' tab \t ü é 🦀', ' padded ', 'ab', 'name', '\x00ff', '00000000-0000-0000-0000-000000000000',
    'infinity', '24:00:00', '23:59:59.999999-15:59:59', '4714-11-24 BC', '-infinity', '-178000000 years',
    '{"b":1, "a": [1,  2], "b":2}', '{"b":1,"a":{"x":[null,true,"\u00fc"]},"b":2}', '$.a[*] ? (@ > 1)', '<a b="c">d</a>',
    '[0:1]={1,NULL}', ARRAY['a', NULL, '', 'x,y', '"'], ARRAY[1.50, 'NaN', 'Infinity'], ARRAY['infinity'::timestamptz, '2020-01-01 BC'], ARRAY['{"a":1}'::jsonb, NULL],
    '[1,5)', '(,)', 'empty', '["2020-01-01","infinity")', '{[1,3),[5,9)}',
    '::ffff:1.2.3.4/96', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '101', '1011001',
    '(-0,1e300)', '{1,-1,0}', '[(0,0),(1,1)]', '(3,4),(1,2)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,1),5>',
    'a:1A fat:2B,4C cat:5D', 'fat & (rat | !cat:AB)', '16/B374D848', 4294967295, '10:20:10,14,15',
    'ok', 5, ROW(1, 'x,"y'), 'CaSe', '"a b"=>"1", n=>NULL', 'Top.Science.x_1');
INSERT INTO s SELECT 3, 0, 0, '-0', '5e-324', ('0.' || repeat('1234567890', 100))::numeric, 0, false,
    '', '', '', '', '', md5('x')::uuid,
    '4714-11-24 BC', '00:00', '00:00+15', '294276-12-31 23:59:59.999999', '4714-11-24 00:00:00+00 BC', '1 mon -1 day 00:00:00.000001',
    'null', 'null', 'strict $', 'text only',
    '{}', '{{a,b},{c,d}}', ARRAY[]::numeric[], NULL, '{}',
    'empty', '[-1.5,2.5]', '[2020-01-01,)', '(,)', '{}',
    '2001:db8::1', '::/0', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff:ff:ff', '000', '',
    '(NaN,Infinity)', '{0,1,0}', '[(1,1),(1,1)]', '(0,0),(0,0)', '((1,1))', '((1,1))', '<(0,0),0>',
    '', '''quoted ''''x''''''', '0/0', 0, '1:1:',
    'sad', 1, ROW(NULL, NULL)::pair, '', '', '';
INSERT INTO s (id, n, t, jb, bin) SELECT 4, (repeat('9', 3000) || '.' || repeat('1', 3000))::numeric, repeat('ü🦀', 5000), jsonb_build_object('k', repeat('x', 9000)), decode(repeat('00ff', 5000), 'hex');
