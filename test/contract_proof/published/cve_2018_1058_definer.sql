-- class: unauthorised
-- source: CVE-2018-1058 search_path: a SECURITY DEFINER function is made in passing
-- lines: 2
-- arguments: p_n text
BEGIN
  CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ''x''';
END
