-- class: nondeterminism
-- source: Yamashita et al. 2019: external file accessing
-- lines: 2
-- arguments: p_name text
-- returns: text
BEGIN
  RETURN pg_read_file('/etc/rates/' || p_name);
END
