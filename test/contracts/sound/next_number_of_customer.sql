-- rule: sound
-- returns: integer
-- arguments: which bigint
DECLARE next_line integer;
BEGIN
  SELECT coalesce(max(line), 0) + 1 INTO next_line FROM invoice_lines WHERE invoice = which;
  RETURN next_line;
END
