ALTER TABLE new_children ADD FOREIGN KEY (parent) REFERENCES new_parents;
