-- What the example's mapper does, by PostgreSQL and byte by byte: the oracle shares no code with it.
CREATE FUNCTION unpack_page(page bytea)
RETURNS TABLE (reading int, taken_at timestamptz, hundredths bigint) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    begun bigint := 0;
    step int;
    at int := 6;
    zigzag bigint := 0;
    shift int := 0;
BEGIN
    IF page IS NULL THEN RETURN; END IF;
    FOR n IN 0..3 LOOP begun := begun * 256 + get_byte(page, n); END LOOP;
    step := get_byte(page, 4) * 256 + get_byte(page, 5);
    reading := 0;
    hundredths := 0;
    WHILE at < length(page) LOOP
        zigzag := zigzag + ((get_byte(page, at) % 128)::bigint << shift);
        shift := shift + 7;
        IF get_byte(page, at) < 128 THEN
            hundredths := hundredths + CASE WHEN zigzag % 2 = 1 THEN -(zigzag + 1) / 2 ELSE zigzag / 2 END;
            taken_at := to_timestamp(begun + step * reading);
            RETURN NEXT;
            reading := reading + 1;
            zigzag := 0;
            shift := 0;
        END IF;
        at := at + 1;
    END LOOP;
END $$;
