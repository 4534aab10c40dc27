CREATE TABLE streamed (id uuid PRIMARY KEY, n int, big text);
CREATE TABLE read (id uuid PRIMARY KEY, label text, size int);
