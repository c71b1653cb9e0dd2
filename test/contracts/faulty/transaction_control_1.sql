-- rule: transaction_control
-- returns: void
BEGIN
  COMMIT;
END
