CREATE TABLE pages (
    id bigint PRIMARY KEY,
    logger text NOT NULL,
    uploaded_at timestamptz NOT NULL
);
CREATE TABLE readings (
    page_id bigint,
    position int,
    logger text NOT NULL,
    taken_at timestamptz NOT NULL,
    hundredths bigint NOT NULL,
    PRIMARY KEY (page_id, position)
);
