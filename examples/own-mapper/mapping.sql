-- A page becomes its readings. The program has a mapper for it; what is selected are the columns that it
-- reads, and the target columns take its output in order.
-- regraft: mapper unpack-page
INSERT INTO readings (page_id, logger, position, taken_at, hundredths)
SELECT id, logger, page FROM logger_pages;

INSERT INTO pages (id, logger, uploaded_at)
SELECT id, logger, uploaded_at FROM logger_pages;
