-- class: unauthorised
-- source: CVE-2022-1552: objects whose functions run as another role (an index on an expression, made within)
-- lines: 2
-- arguments: p_n text
BEGIN
  CREATE INDEX sly ON accounts (lower(owner));
END
