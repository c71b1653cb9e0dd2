-- class: nondeterminism
-- source: Hyperledger Fabric chaincode lists: global or generated state (here: a default)
-- lines: 3
-- arguments: p_name text
BEGIN
  IF dadbs.origin_node() <> 'bank' THEN RAISE EXCEPTION 'only the bank may'; END IF;
  INSERT INTO sessions(name) VALUES (p_name);
END
