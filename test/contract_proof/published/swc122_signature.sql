-- class: missing_authorisation
-- source: SWC-122 Lack of proper signature verification: it is only asked to be there
-- lines: 1, 2, 5
-- arguments: p_signature bytea, p_to text
BEGIN
  IF p_signature IS NULL THEN
    RAISE EXCEPTION 'not signed';
  END IF;
  UPDATE tokens SET amount = 0 WHERE holder = p_to;
END
