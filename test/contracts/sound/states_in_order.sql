-- rule: sound
-- table: shipments
BEGIN
  IF TG_OP = 'UPDATE' AND NEW.state <> OLD.state THEN
    CASE OLD.state
      WHEN 'new' THEN
        IF NEW.state <> 'packed' THEN RAISE EXCEPTION 'pack it first'; END IF;
      WHEN 'packed' THEN
        IF NEW.state NOT IN ('sent', 'new') THEN RAISE EXCEPTION 'send it first'; END IF;
      ELSE
        RAISE EXCEPTION 'state % is final', OLD.state;
    END CASE;
  END IF;
  RETURN NULL;
END
