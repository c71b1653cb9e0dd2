-- Retention: a record may not be deleted before one date, and must be after another.
BEGIN;
CREATE TABLE record (id bigint PRIMARY KEY, content text NOT NULL, keep_until timestamptz NOT NULL, delete_by timestamptz NOT NULL,
                     CHECK (keep_until <= delete_by));
CREATE INDEX ON record (delete_by);

SELECT dadbs.deploy_contract('retention', $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.keep_until > dadbs.block_time() THEN
      RAISE EXCEPTION 'record % is kept until %', OLD.id, OLD.keep_until USING ERRCODE = 'restrict_violation';
    END IF;
  ELSIF TG_OP = 'UPDATE' THEN
    RAISE EXCEPTION 'records are not changed' USING ERRCODE = 'restrict_violation';
  ELSIF EXISTS (SELECT FROM record WHERE delete_by < dadbs.block_time() AND id <> NEW.id) THEN
    -- A contract does not run by itself: nobody goes on while something is overdue.
    RAISE EXCEPTION 'records are overdue' USING ERRCODE = 'restrict_violation', HINT = 'First: DELETE FROM record WHERE delete_by < now().';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER retention AFTER INSERT OR UPDATE OR DELETE ON record FOR EACH ROW EXECUTE FUNCTION dadbs.contract('retention');
COMMIT;
