\getenv libdir PG_LIBDIR
\set library '\'' :libdir '/ddl_execute_test\''
SET client_min_messages = warning;
CREATE SCHEMA dadbs_internal;
CREATE FUNCTION dadbs_internal.execute(statement text, role text DEFAULT '', search_path text DEFAULT 'public',
    settings text[] DEFAULT '{}', superusers text[] DEFAULT '{}') RETURNS text LANGUAGE c AS :library, 'et_execute';
-- the extension's tables and roles, as far as execution needs them
CREATE TABLE dadbs_internal.relation_version (schema_name text, relation_name text, height bigint, index integer,
    columns text[], types text[], key_columns text[], PRIMARY KEY (schema_name, relation_name, height, index));
CREATE TABLE dadbs_internal.local_relation (schema_name text, relation_name text, PRIMARY KEY (schema_name, relation_name));
CREATE TABLE dadbs_internal.role (role_name text PRIMARY KEY, local_name text NOT NULL, adopted boolean NOT NULL,
    may_create_schemas boolean NOT NULL);
CREATE ROLE dadbs_owner NOLOGIN;
ALTER SCHEMA public OWNER TO dadbs_owner;
GRANT CREATE ON DATABASE rt TO dadbs_owner;
CREATE TABLE public.kept (id int PRIMARY KEY);
INSERT INTO dadbs_internal.local_relation VALUES ('public', 'kept');
CREATE ROLE own_role;
CREATE ROLE own_superuser SUPERUSER;
