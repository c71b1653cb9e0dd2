-- class: missing_authorisation
-- source: SWC-118 Incorrect constructor name (Rubixi: anybody may set up again)
-- lines: 1, 2
-- arguments: p_admin text
BEGIN
  INSERT INTO users(name, role, is_admin) VALUES (p_admin, 'owner', true) ON CONFLICT (name) DO UPDATE SET is_admin = true;
END
