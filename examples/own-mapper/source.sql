-- The legacy table: a page of a data logger as it was uploaded, many readings in one value.
CREATE TABLE logger_pages (
    id bigint PRIMARY KEY,
    logger text NOT NULL,
    page bytea,
    uploaded_at timestamptz NOT NULL DEFAULT now()
);
-- Pages are packed already; large ones are stored out of line as they are.
ALTER TABLE logger_pages ALTER COLUMN page SET STORAGE EXTERNAL;
