-- class: injection
-- source: CWE-89: dynamic audit trigger with TG_TABLE_NAME and NEW's text
-- lines: 2
-- table: orders
BEGIN
  EXECUTE 'INSERT INTO audit(id, what) VALUES (''' || NEW.id || ''', ''' || NEW.note || ''')';
  RETURN NULL;
END
