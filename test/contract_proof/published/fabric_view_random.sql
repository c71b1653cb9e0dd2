-- class: nondeterminism
-- source: Yamashita et al. 2019, Potential risks of Hyperledger Fabric: random number generation, behind a view
-- lines: 1
-- arguments: p_id text
-- returns: double precision
-- language: sql
SELECT draw FROM lucky WHERE id = p_id
