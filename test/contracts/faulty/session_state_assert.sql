-- rule: session_state
-- table: orders
BEGIN
  ASSERT NEW.quantity < 100, 'too many';
  RETURN NULL;
END
