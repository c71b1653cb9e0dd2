-- rule: session_state
-- table: transfers
BEGIN
  INSERT INTO audit (entry, what, who) VALUES (NEW.id::text, TG_OP, pg_backend_pid()::text || '@' || coalesce(inet_client_addr()::text, ''));
  RETURN NULL;
END
