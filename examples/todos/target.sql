-- What is worked on: divided by user, so that the pages of one user are in one small partition.
CREATE TABLE todos_active (
    id             uuid NOT NULL,
    user_id        uuid NOT NULL,
    project_id     uuid,
    parent_todo_id uuid,
    title          text NOT NULL,
    description    text,
    status         text NOT NULL,
    priority       int NOT NULL,
    due_date       timestamptz,
    ai_generated   boolean NOT NULL,
    tags           text[],
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    completed_at   timestamptz,
    PRIMARY KEY (id, user_id)
) PARTITION BY HASH (user_id);

-- What is kept: divided by month, so that an old month can be detached.
CREATE TABLE todos_archived (
    id             uuid NOT NULL,
    user_id        uuid NOT NULL,
    project_id     uuid,
    parent_todo_id uuid,
    title          text NOT NULL,
    description    text,
    priority       int NOT NULL,
    due_date       timestamptz,
    ai_generated   boolean NOT NULL,
    tags           text[],
    created_at     timestamptz NOT NULL,
    completed_at   timestamptz,
    archived_at    timestamptz NOT NULL,
    PRIMARY KEY (id, archived_at)
) PARTITION BY RANGE (archived_at);

DO $$
DECLARE
    first timestamptz;
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF todos_active FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
            'todos_active_part_' || to_char(part, 'FM00'), part);
    END LOOP;
    -- Months of UTC, 2024 to 2026. There is no default partition on purpose: a time outside is an
    -- error to look at, not a row to lose in a corner.
    FOR month IN 0..35 LOOP
        first := (timestamp '2024-01-01' + month * interval '1 month') AT TIME ZONE 'UTC';
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF todos_archived FOR VALUES FROM (%L) TO (%L)',
            'todos_archived_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM'),
            first,
            (timestamp '2024-01-01' + (month + 1) * interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END
$$;

CREATE INDEX todos_active_of_user ON todos_active (user_id, status, priority DESC);
CREATE INDEX todos_archived_of_user ON todos_archived (user_id, archived_at DESC);
