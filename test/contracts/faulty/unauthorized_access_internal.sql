-- rule: unauthorized_access
-- table: orders
BEGIN
  DELETE FROM dadbs_internal.transaction WHERE height = NEW.id;
  RETURN NULL;
END
