-- class: injection
-- source: SWC-127 Arbitrary jump with function type variable: the name of the function is input
-- lines: 2
-- arguments: p_function text
BEGIN
  EXECUTE 'SELECT ' || p_function || '()';
END
