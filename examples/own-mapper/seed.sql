-- What the logger does: readings a minute apart into a page.
CREATE FUNCTION pack_page(begun timestamptz, readings bigint[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    page bytea := int4send(extract(epoch FROM begun)::int) || int2send(60::smallint);
    reading bigint;
    before bigint := 0;
    zigzag bigint;
BEGIN
    FOREACH reading IN ARRAY readings LOOP
        zigzag := CASE WHEN reading < before THEN (before - reading) * 2 - 1 ELSE (reading - before) * 2 END;
        WHILE zigzag > 127 LOOP
            page := page || set_byte('\x00', 0, (zigzag & 127)::int | 128);
            zigzag := zigzag >> 7;
        END LOOP;
        page := page || set_byte('\x00', 0, zigzag::int);
        before := reading;
    END LOOP;
    RETURN page;
END $$;

INSERT INTO logger_pages (id, logger, page)
SELECT n, 'logger ' || n % 20,
       pack_page('2024-01-01 00:00+00'::timestamptz + n * interval '1 hour',
                 ARRAY(SELECT (2000 + 900 * sin((n * 60 + m) / 700.0) + (n * m) % 7)::bigint
                       FROM generate_series(1, 1 + n % 60) AS m))
FROM generate_series(1, 2000) AS n;
