-- What is wrong with a contract. It runs nothing of it and writes nothing; names are looked up with the caller's rights.
CREATE FUNCTION dadbs.analyze_contract(body text, language text DEFAULT 'plpgsql', arguments text DEFAULT '',
    returns text DEFAULT 'trigger', on_table regclass DEFAULT NULL, name text DEFAULT '',
    OUT rule text, OUT severity text, OUT line integer, OUT message text, OUT hint text)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dadbs_analyze_contract';
COMMENT ON FUNCTION dadbs.analyze_contract(text, text, text, text, regclass, text) IS
    'what is wrong with the text of a contract: errors refuse its deployment, warnings are shown';
