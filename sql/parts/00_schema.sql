\echo Use "CREATE EXTENSION dadbs" to load this file. \quit
CREATE SCHEMA dadbs;
CREATE SCHEMA dadbs_internal;
COMMENT ON SCHEMA dadbs IS 'the shared database: state, history, proofs';
COMMENT ON SCHEMA dadbs_internal IS 'tables and helpers of dadbs; nothing here is for users';
REVOKE ALL ON SCHEMA dadbs_internal FROM PUBLIC;
GRANT USAGE ON SCHEMA dadbs TO PUBLIC;
CREATE SCHEMA dadbs_kept;
COMMENT ON SCHEMA dadbs_kept IS 'what tables held before they were rebuilt: plain copies, to be dropped by whoever needs them no more';
REVOKE ALL ON SCHEMA dadbs_kept FROM PUBLIC;
