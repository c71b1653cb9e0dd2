-- rule: session_state
-- table: transfers
BEGIN
  INSERT INTO audit (entry, what) VALUES (txid_current()::text, TG_OP);
  RETURN NULL;
END
