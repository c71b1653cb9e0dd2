-- rule: sound
BEGIN
  INSERT INTO audit_log (log_id, table_name, op, row_data, actor, happened_at)
  VALUES (dadbs.transaction_id() || '/' || TG_TABLE_NAME || '/' || COALESCE(NEW.order_id, OLD.order_id), TG_TABLE_NAME, TG_OP,
          CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END, dadbs.session_user_name(), dadbs.block_time());
  RETURN COALESCE(NEW, OLD);
END
