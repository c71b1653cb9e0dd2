-- rule: sound
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.version <> OLD.version + 1 THEN RAISE EXCEPTION 'stale version'; END IF;
    IF OLD.status IN ('shipped', 'cancelled') AND NEW.status <> OLD.status THEN RAISE EXCEPTION 'final'; END IF;
    IF NOT (OLD.status, NEW.status) IN (('new', 'paid'), ('paid', 'shipped'), ('new', 'cancelled')) AND OLD.status <> NEW.status THEN
      RAISE EXCEPTION 'from % to %', OLD.status, NEW.status;
    END IF;
  END IF;
  RETURN NEW;
END
