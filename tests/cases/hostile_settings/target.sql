CREATE SCHEMA other;
CREATE TABLE other.t (id int PRIMARY KEY, a timestamptz, b date, c interval, d double precision, e real, f bytea, g timestamp);
CREATE TABLE texts (id int PRIMARY KEY, a text, b text, d text, e text, g text, same_day date);
CREATE TABLE parts (id int, key text, value double precision, PRIMARY KEY (id, key));
CREATE TABLE literals (id int PRIMARY KEY, a text, b boolean, c text[]);
DO $$ DECLARE setting text; BEGIN
    FOREACH setting IN ARRAY ARRAY['datestyle = ''SQL, DMY''', 'intervalstyle = ''sql_standard''', 'extra_float_digits = -15', 'bytea_output = ''escape''',
        'timezone = ''Asia/Tokyo''', 'default_transaction_isolation = ''serializable''', 'search_path = other, public', 'quote_all_identifiers = on', 'idle_in_transaction_session_timeout = ''1s''', 'synchronous_commit = off'] LOOP
        EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
    END LOOP;
    -- Since version 17.
    IF current_setting('transaction_timeout', true) IS NOT NULL THEN
        EXECUTE format('ALTER DATABASE %I SET transaction_timeout = ''100s''', current_database());
    END IF;
END $$;
