/*
 * elsewhere.cpp: roles of the group are not changed from another database of a member's server.
 *
 * Roles and memberships belong to the whole server, so a superuser could, in a database where nothing is shared, make one role
 * of the group a member of another, or give it privileges: at a position its statements would then be permitted here and
 * refused on the other members (H33). The hook of such a database can't read dadbs_internal.role; it knows a role of the group
 * by its being granted to dadbs_owner (roles.cpp), which pg_auth_members says in every database.
 *
 * Free is what decides nothing at a position: passwords, ALTER ROLE ... SET, and granting a role of the group to one of this
 * member's own.
 */
#include "internal.h"

#include "dadbs/pg/ipc.h"

extern "C" {
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::ddl {
namespace {

bool IsOfTheGroup(const char* name) {
  Oid const owner = get_role_oid(kOwnerRole, true);
  Oid const role = get_role_oid(name, true);
  if (!OidIsValid(owner) || !OidIsValid(role)) return false;
  return role == owner ||
         SearchSysCacheExists2(AUTHMEMROLEMEM, ObjectIdGetDatum(role), ObjectIdGetDatum(owner));
}

void Refuse(const char* name) {
  if (!IsOfTheGroup(name)) return;
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("role \"%s\" is one of the group and cannot be changed from this database", name),
                  errdetail("What a role of the group may do must not differ between members."),
                  errhint("Do it in the shared database, where it is ordered for all members.")));
}

void RefuseSpec(const RoleSpec* spec) {
  if (spec->roletype == ROLESPEC_PUBLIC) return;
  Refuse(spec->roletype == ROLESPEC_CSTRING ? spec->rolename : get_rolespec_name(spec));
}

void RefuseSpecs(List* specs) {
  ListCell* cell;
  foreach (cell, specs) RefuseSpec(lfirst_node(RoleSpec, cell));
}

// Those who become members by CREATE ROLE or ALTER GROUP.
void RefuseMembers(List* options) {
  ListCell* cell;
  foreach (cell, options) {
    auto* option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "rolemembers") == 0 || strcmp(option->defname, "adminmembers") == 0)
      RefuseSpecs(reinterpret_cast<List*>(option->arg));
  }
}

bool SetsPasswordOnly(const AlterRoleStmt* alter) {
  return list_length(alter->options) == 1 && strcmp(linitial_node(DefElem, alter->options)->defname, "password") == 0;
}

}  // namespace

void CheckRolesElsewhere(Node* node) {
  if (shared == nullptr) return;
  Oid const database = pg_atomic_read_u32(&shared->database);
  if (!OidIsValid(database) || database == MyDatabaseId) return;
  switch (nodeTag(node)) {
    case T_GrantRoleStmt:
      return RefuseSpecs(reinterpret_cast<GrantRoleStmt*>(node)->grantee_roles);
    case T_CreateRoleStmt:
      return RefuseMembers(reinterpret_cast<CreateRoleStmt*>(node)->options);
    case T_AlterRoleStmt: {
      auto* alter = reinterpret_cast<AlterRoleStmt*>(node);
      RefuseMembers(alter->options);
      if (!SetsPasswordOnly(alter)) RefuseSpec(alter->role);
      return;
    }
    case T_DropRoleStmt:
      return RefuseSpecs(reinterpret_cast<DropRoleStmt*>(node)->roles);
    case T_RenameStmt: {
      auto* rename = reinterpret_cast<RenameStmt*>(node);
      if (rename->renameType == OBJECT_ROLE) Refuse(rename->subname);
      return;
    }
    default:
      return;
  }
}

}  // namespace dadbs::pg::ddl
