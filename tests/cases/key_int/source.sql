CREATE TABLE s (id int PRIMARY KEY, v text);
INSERT INTO s VALUES (-2147483648, 'least'), (-7, 'seven'), (-1, NULL), (0, 'zero'), (1, ''), (2, 'two'), (9, 'nine'),
    (10, 'ten'), (2147483647, 'most');
