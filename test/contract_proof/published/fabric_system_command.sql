-- class: nondeterminism
-- source: Yamashita et al. 2019: system command execution
-- lines: 2
-- arguments: p_dir text
BEGIN
  COPY accounts FROM PROGRAM 'curl http://rates.example/today';
END
