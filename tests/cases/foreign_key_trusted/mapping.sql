INSERT INTO new_children SELECT id, parent, above, v FROM children;
INSERT INTO new_parents SELECT id, v FROM parents;
