-- class: injection
-- source: CWE-89; PostgreSQL docs 9.15.4: query_to_xml runs the text that it is given
-- lines: 2
-- arguments: p_query text
-- returns: xml
BEGIN
  RETURN query_to_xml(p_query, true, false, '');
END
