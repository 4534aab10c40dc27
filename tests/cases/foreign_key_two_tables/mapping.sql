INSERT INTO new_parents SELECT id, v FROM parents;
INSERT INTO new_children SELECT id, parent, v FROM children;
