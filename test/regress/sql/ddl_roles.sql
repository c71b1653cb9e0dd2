-- Roles of the group, roles of this member, and who may define what.
CREATE ROLE ddl_app LOGIN PASSWORD 'secret' CONNECTION LIMIT 10;
SELECT rolcanlogin, rolconnlimit, rolpassword IS NOT NULL AS has_password FROM pg_authid WHERE rolname = 'ddl_app';
SELECT count(*) FROM dadbs_internal.batch WHERE position('secret'::bytea IN body) > 0;
CREATE ROLE ddl_app;
CREATE ROLE ddl_admin SUPERUSER;
CREATE ROLE ddl_other NOLOGIN;
CREATE USER ddl_reader;
SELECT role_name, local_name, adopted FROM dadbs_internal.role WHERE role_name LIKE 'ddl_%' ORDER BY 1;
ALTER ROLE ddl_app SUPERUSER;
ALTER ROLE ddl_app CONNECTION LIMIT 20;
ALTER ROLE ddl_app RENAME TO ddl_app2;
SELECT rolconnlimit FROM pg_authid WHERE rolname = 'ddl_app';

SET SESSION AUTHORIZATION ddl_app;
CREATE SCHEMA roles;
RESET SESSION AUTHORIZATION;
GRANT CREATE ON DATABASE shared TO ddl_app;
SET SESSION AUTHORIZATION ddl_app;
CREATE SCHEMA roles;
ALTER SCHEMA roles RENAME TO roles2;
ALTER SCHEMA roles2 RENAME TO roles;
RESET SESSION AUTHORIZATION;
REVOKE CREATE ON DATABASE shared FROM ddl_app;
SET SESSION AUTHORIZATION ddl_app;
CREATE TABLE roles.mine (id int PRIMARY KEY);
INSERT INTO roles.mine VALUES (1);
CREATE TABLE public.not_allowed (id int);
RESET SESSION AUTHORIZATION;
GRANT CREATE, USAGE ON SCHEMA public TO ddl_app;
SET SESSION AUTHORIZATION ddl_app;
CREATE TABLE public.allowed (id int PRIMARY KEY);
DROP TABLE public.allowed;
GRANT SELECT ON roles.mine TO ddl_reader;
GRANT USAGE ON SCHEMA roles TO ddl_reader;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION ddl_reader;
SELECT * FROM roles.mine;
DROP TABLE roles.mine;
ALTER TABLE roles.mine ADD COLUMN x int;
BEGIN;
ALTER TABLE roles.mine ADD COLUMN x int;
ROLLBACK;
RESET SESSION AUTHORIZATION;
-- a superuser counts as the owner of the shared schemas
ALTER TABLE roles.mine ADD COLUMN x int;
CREATE TABLE roles.super (id int PRIMARY KEY);
ALTER TABLE roles.super OWNER TO ddl_app;
ALTER TABLE roles.mine OWNER TO postgres;
SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'roles' ORDER BY 1;
GRANT ddl_app TO ddl_other;
SELECT pg_has_role('ddl_other', 'ddl_app', 'member');
GRANT pg_read_all_data TO ddl_other;

-- a role of this member: rows yes, definitions no
\c postgres
CREATE ROLE ddl_local;
CREATE ROLE ddl_powerful CREATEDB;
\c shared
CREATE ROLE ddl_powerful;
DROP ROLE ddl_powerful;
GRANT SELECT, INSERT ON roles.mine TO ddl_local;
GRANT SELECT ON roles.mine TO ddl_local, ddl_reader;
GRANT USAGE ON SCHEMA roles TO ddl_local;
SET SESSION AUTHORIZATION ddl_local;
INSERT INTO roles.mine VALUES (2);
CREATE TABLE roles.x (a int);
RESET SESSION AUTHORIZATION;
GRANT ddl_local TO ddl_other;
GRANT ddl_app TO ddl_local;
SET SESSION AUTHORIZATION ddl_local;
SET ROLE ddl_app;
CREATE TABLE roles.as_app (a int);
RESET SESSION AUTHORIZATION;
-- it becomes one of the group
CREATE ROLE ddl_local;
SELECT role_name, local_name, adopted FROM dadbs_internal.role WHERE role_name = 'ddl_local';
ALTER DEFAULT PRIVILEGES IN SCHEMA roles GRANT SELECT ON TABLES TO ddl_reader;
CREATE TABLE roles.defaulted (a int);
SELECT has_table_privilege('ddl_reader', 'roles.defaulted', 'SELECT');

DROP ROLE ddl_app;
DROP OWNED BY ddl_app;
DROP SCHEMA roles CASCADE;
DROP ROLE ddl_app, ddl_other, ddl_reader;
DROP ROLE IF EXISTS ddl_app;
SELECT count(*) FROM dadbs_internal.role WHERE role_name LIKE 'ddl_%';
SELECT rolname FROM pg_roles WHERE rolname LIKE 'ddl_%' ORDER BY 1;
DROP ROLE ddl_local;
SELECT count(*) FROM dadbs_internal.role WHERE role_name LIKE 'ddl_%';
DROP ROLE ddl_admin, ddl_local;
