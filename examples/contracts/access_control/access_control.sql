-- Access control: what a member may write depends on its role, and roles are given by one of them, the registrar.
BEGIN;
CREATE TABLE access_role (node text PRIMARY KEY, role text NOT NULL CHECK (role IN ('writer', 'auditor')));
CREATE TABLE document (id bigint PRIMARY KEY, title text NOT NULL, body text NOT NULL, written_by text NOT NULL,
                       state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'released')));

-- Who is registrar stands in the contract: it takes a proposal to make another member that.
SELECT dadbs.deploy_contract('access_registrar', $$
BEGIN
  IF dadbs.origin_node() <> 'm1' THEN
    RAISE EXCEPTION 'only the registrar gives roles' USING ERRCODE = 'insufficient_privilege', HINT = 'Ask member m1.';
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER access_registrar AFTER INSERT OR UPDATE OR DELETE ON access_role FOR EACH ROW EXECUTE FUNCTION dadbs.contract('access_registrar');

SELECT dadbs.deploy_contract('document_access', $$
DECLARE
  v_role text;
BEGIN
  SELECT role INTO v_role FROM access_role WHERE node = dadbs.origin_node();
  IF NOT FOUND THEN
    RAISE EXCEPTION '% has no role', dadbs.origin_node() USING ERRCODE = 'insufficient_privilege', HINT = 'The registrar gives roles in access_role.';
  END IF;
  IF v_role = 'writer' THEN
    -- Drafts of its own, and only those.
    IF TG_OP <> 'INSERT' THEN
      IF OLD.written_by <> dadbs.origin_node() OR OLD.state <> 'draft' THEN
        RAISE EXCEPTION 'document % is not a draft of %', OLD.id, dadbs.origin_node() USING ERRCODE = 'insufficient_privilege';
      END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
      IF NEW.written_by <> dadbs.origin_node() OR NEW.state <> 'draft' THEN
        RAISE EXCEPTION '% writes drafts of its own', dadbs.origin_node() USING ERRCODE = 'insufficient_privilege';
      END IF;
    END IF;
  ELSE
    -- An auditor releases, and changes nothing else.
    IF TG_OP <> 'UPDATE' THEN
      RAISE EXCEPTION 'an auditor releases documents' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.id, NEW.title, NEW.body, NEW.written_by) <> (OLD.id, OLD.title, OLD.body, OLD.written_by) OR NEW.state <> 'released' THEN
      RAISE EXCEPTION 'an auditor releases documents as they are' USING ERRCODE = 'insufficient_privilege';
    END IF;
  END IF;
  RETURN NULL;
END $$);
CREATE TRIGGER document_access AFTER INSERT OR UPDATE OR DELETE ON document FOR EACH ROW EXECUTE FUNCTION dadbs.contract('document_access');
COMMIT;
