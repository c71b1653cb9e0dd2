-- Contracts that fire each other; contracts by name.
CREATE TABLE one (id int PRIMARY KEY, n int);
CREATE TABLE two (id int PRIMARY KEY, n int);
CREATE TABLE three (id int PRIMARY KEY, n int);
DO $$ BEGIN
  IF to_regproc('dadbs.contract') IS NULL THEN
    CREATE FUNCTION dadbs.contract() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  END IF;
END $$;
SELECT dadbs.deploy_contract('writes_two', 'BEGIN UPDATE two SET n = 1 WHERE id = NEW.id; RETURN NULL; END');
SELECT dadbs.deploy_contract('writes_three', 'BEGIN UPDATE three SET n = 1 WHERE id = NEW.id; RETURN NULL; END');
CREATE TRIGGER a AFTER INSERT OR UPDATE ON one FOR EACH ROW EXECUTE FUNCTION dadbs.contract('writes_two');
CREATE TRIGGER a AFTER INSERT OR UPDATE ON two FOR EACH ROW EXECUTE FUNCTION dadbs.contract('writes_three');
-- three fires this, which writes one, which fires writes_two, which writes two, which fires writes_three, which writes three
SELECT rule, severity, message FROM dadbs.analyze_contract('BEGIN UPDATE one SET n = 1 WHERE id = NEW.id; RETURN NULL; END', on_table => 'three');
SELECT rule, severity, message FROM dadbs.analyze_contract('BEGIN UPDATE two SET n = 1 WHERE id = NEW.id; RETURN NULL; END', on_table => 'one');
SELECT rule, severity, message FROM dadbs.analyze_contract('writes_two');
SELECT dadbs.deploy_contract('writes_one', 'BEGIN UPDATE one SET n = 1 WHERE id = NEW.id; RETURN NULL; END');
CREATE TRIGGER a AFTER INSERT OR UPDATE ON three FOR EACH ROW EXECUTE FUNCTION dadbs.contract('writes_one');
SELECT rule, severity, message FROM dadbs.analyze_contract('writes_two');
-- ended by a condition
SELECT rule, severity, message FROM dadbs.analyze_contract('BEGIN IF NEW.n IS DISTINCT FROM OLD.n THEN UPDATE one SET n = 1 WHERE id = NEW.id; END IF; RETURN NULL; END',
                                                           on_table => 'three', name => 'writes_one');
-- the table by the trigger: n is divided by where only its type is known
SELECT rule, severity, message FROM dadbs.analyze_contract('BEGIN IF 1000 / NEW.n > 3 THEN RAISE ''no''; END IF; RETURN NULL; END', name => 'writes_two');
