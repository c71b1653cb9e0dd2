-- rule: sound
DECLARE v_bad int;
BEGIN
  IF NEW.temperature IS NULL OR NEW.temperature < -40 OR NEW.temperature > 60 THEN RAISE EXCEPTION 'implausible'; END IF;
  SELECT count(*) INTO v_bad FROM sensor_reading WHERE device = NEW.device AND temperature > 8.0 AND recorded_at > NEW.recorded_at - interval '10 minutes';
  IF v_bad > 3 THEN
    INSERT INTO audit_log (log_id, table_name, op, happened_at) VALUES (NEW.device || '#' || NEW.seq, 'sensor_reading', 'ALARM', dadbs.block_time());
  END IF;
  RETURN NULL;
END
