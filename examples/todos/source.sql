-- The monolith: every todo of every user, done and archived ones included.
CREATE TABLE todos (
    id             uuid PRIMARY KEY,
    user_id        uuid NOT NULL,
    project_id     uuid,
    parent_todo_id uuid,
    title          text NOT NULL,
    description    text,
    status         text NOT NULL DEFAULT 'todo'
                   CHECK (status IN ('todo', 'in_progress', 'done', 'archived')),
    priority       int,
    due_date       timestamptz,
    ai_generated   boolean NOT NULL DEFAULT false,
    tags           text[],
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    completed_at   timestamptz,
    archived_at    timestamptz,
    -- The archive is divided by this time: without it an archived todo would have no place.
    CHECK (status <> 'archived' OR archived_at IS NOT NULL)
);

-- Long descriptions are kept out of line, uncompressed.
ALTER TABLE todos ALTER COLUMN description SET STORAGE EXTERNAL;
