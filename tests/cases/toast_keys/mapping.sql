INSERT INTO t_pages SELECT url, title, hits, body FROM pages;
INSERT INTO t_words SELECT url, w FROM pages CROSS JOIN LATERAL unnest(string_to_array(title, ' ')) AS w;
INSERT INTO t_parts SELECT id, url, v, body FROM parts;
INSERT INTO t_whole SELECT url, v, body FROM whole;
INSERT INTO t_other SELECT url, id, v FROM other;
INSERT INTO t_links SELECT l.id, l.url, p.title, p.hits FROM links AS l LEFT JOIN pages AS p ON p.url = l.url;
