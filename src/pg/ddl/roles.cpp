/*
 * roles.cpp: roles of the group, and how their names are used on this member.
 *
 * Who may define and own shared objects must not depend on one member's pg_authid, so such roles are made through the chain:
 * CREATE ROLE by a superuser in the shared database is ordered, and every member records the role in dadbs_internal.role,
 * makes it and grants it to dadbs_owner, which acts for superusers. A member where an ordinary role of that name exists
 * lends it; where the name belongs to a role with privileges of its own (a superuser, say), the group's role is another
 * one here, dadbs_NAME, and names in shared statements are translated: nobody can order himself a superuser.
 *
 * CREATE on the database, which decides who may make schemas, is kept in dadbs_internal.role as well: this member's
 * pg_database (its owner, its grants) differs from the others'.
 *
 * Only plain attributes travel: LOGIN, INHERIT, CONNECTION LIMIT, VALID UNTIL. A password is set on the member that was
 * told it, and never ordered. Roles with privileges (SUPERUSER, CREATEROLE, CREATEDB, REPLICATION, BYPASSRLS) are this
 * member's own. A member may grant a role of the group to its own roles, never the reverse.
 *
 * Role statements run as the apply worker's superuser, from parse trees that are built here from checked parts.
 */
#include "internal.h"

#include "dadbs/pg/contract.h"
#include "dadbs/pg/history.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/namespace.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_shdepend.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dadbs::pg::ddl {
namespace {

enum RoleColumn { kRoleName = 1, kLocalName, kAdopted, kMayCreateSchemas, kRoleColumns = kMayCreateSchemas };

struct RoleRow {
  char* role_name;
  char* local_name;
  bool adopted;
  bool may_create_schemas;
  ItemPointerData tid;
};

char* TextColumn(HeapTuple tuple, int column, TupleDesc descriptor) {
  bool is_null;
  Datum const value = heap_getattr(tuple, column, descriptor, &is_null);
  return is_null ? pstrdup("") : TextDatumGetCString(value);
}

// The role by its name on the chain or, if `by_local`, here. A handful of rows: no index needed.
bool FindRole(const char* name, bool by_local, RoleRow* out) {
  Relation relation = table_open(InternalTable("role"), AccessShareLock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, nullptr);
  bool found = false;
  HeapTuple tuple;
  while (!found && HeapTupleIsValid(tuple = systable_getnext(scan))) {
    RoleRow row;
    row.role_name = TextColumn(tuple, kRoleName, RelationGetDescr(relation));
    row.local_name = TextColumn(tuple, kLocalName, RelationGetDescr(relation));
    bool is_null;
    row.adopted = DatumGetBool(heap_getattr(tuple, kAdopted, RelationGetDescr(relation), &is_null));
    row.may_create_schemas = DatumGetBool(heap_getattr(tuple, kMayCreateSchemas, RelationGetDescr(relation), &is_null));
    row.tid = tuple->t_self;
    found = strcmp(by_local ? row.local_name : row.role_name, name) == 0;
    if (found && out != nullptr) *out = row;
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(relation, AccessShareLock);
  return found;
}

bool IsPrivilegedOption(const DefElem* option) {
  for (const char* name : {"superuser", "createrole", "createdb", "isreplication", "bypassrls"})
    if (strcmp(option->defname, name) == 0) return boolVal(option->arg);
  return false;
}

bool HasOption(List* options, bool (*matches)(const DefElem*)) {
  ListCell* cell;
  foreach (cell, options)
    if (matches(lfirst_node(DefElem, cell))) return true;
  return false;
}

bool IsPassword(const DefElem* option) { return strcmp(option->defname, "password") == 0; }

// Roles of the group may be lent from one to the other.
bool IsMemberOfLocalRole(Oid role) {
  CatCList* memberships = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(role));
  bool any = false;
  for (int i = 0; i < memberships->n_members; i++) {
    auto* form = reinterpret_cast<Form_pg_auth_members>(GETSTRUCT(&memberships->members[i]->tuple));
    any |= !IsGroupRole(GetUserNameFromId(form->roleid, false));
  }
  ReleaseSysCacheList(memberships);
  return any;
}

// A role of this member that may stand for one of the group: it can do nothing beyond its own objects.
bool IsOrdinary(Oid role) {
  HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
  if (!HeapTupleIsValid(tuple)) return false;
  auto* form = reinterpret_cast<Form_pg_authid>(GETSTRUCT(tuple));
  bool const plain = !form->rolsuper && !form->rolcreaterole && !form->rolcreatedb && !form->rolreplication &&
                     !form->rolbypassrls && !IsReservedName(NameStr(form->rolname)) &&
                     strcmp(NameStr(form->rolname), kOwnerRole) != 0;
  ReleaseSysCache(tuple);
  return plain && !IsMemberOfLocalRole(role);
}

RoleSpec* Spec(const char* name) {
  auto* spec = makeNode(RoleSpec);
  spec->roletype = ROLESPEC_CSTRING;
  spec->rolename = pstrdup(name);
  spec->location = -1;
  return spec;
}

void GrantHere(const char* granted, const char* grantee, bool is_grant, bool admin, DropBehavior behavior) {
  auto* privilege = makeNode(AccessPriv);
  privilege->priv_name = pstrdup(granted);
  auto* grant = makeNode(GrantRoleStmt);
  grant->granted_roles = list_make1(privilege);
  grant->grantee_roles = list_make1(Spec(grantee));
  grant->is_grant = is_grant;
  grant->admin_opt = admin;
  grant->behavior = behavior;
  GrantRole(grant);
  CommandCounterIncrement();
}

[[noreturn]] void RaiseUnknownRole(const char* name) {
  ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("role \"%s\" is not a role of the group", name),
                  errhint("A superuser makes it one by CREATE ROLE in the shared database.")));
  pg_unreachable();
}

Scope ScopeOfRole(const char* name) {
  if (IsChainRole(name)) return Scope::kShared;
  return OidIsValid(get_role_oid(name, true)) ? Scope::kLocal : Scope::kMissing;
}

void CountRole(Targets* t, const char* name) {
  switch (ScopeOfRole(name)) {
    case Scope::kShared:
      t->shared++;
      t->shared_name = name;
      break;
    case Scope::kLocal:
      t->local++;
      t->local_name = name;
      break;
    case Scope::kMissing:
      t->missing++;
  }
}

// Who a RoleSpec means in this session; null: PUBLIC.
const char* NameOf(const RoleSpec* spec) {
  if (spec->roletype == ROLESPEC_PUBLIC) return nullptr;
  if (spec->roletype == ROLESPEC_CSTRING) return spec->rolename;
  return get_rolespec_name(spec);
}

// The group's roles are named as the chain names them; a name of this member's own for one of them (LocalRoleName), and the owner of what superusers
// make, are out of the reach of its statements: what such a role may do must not differ between members.
void RefuseNameOfGroup(const char* name) {
  if (name == nullptr || IsChainRole(name) || !IsGroupRole(name)) return;
  RoleRow row;
  bool const renamed = FindRole(name, true, &row);
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("role \"%s\" stands for the group on this member and cannot be changed here", name),
                  errdetail("What a role of the group may do must not differ between members."),
                  renamed ? errhint("The group calls it \"%s\".", row.role_name) : 0));
}

[[noreturn]] void RaiseMemberOfGroup(const char* role, const char* member) {
  ereport(ERROR, (errcode(kErrNotSupported),
                  errmsg("role \"%s\" is this member's own and cannot be granted to \"%s\", a role of the group", role, member),
                  errdetail("What a role of the group may do must not differ between members.")));
  pg_unreachable();
}

// Who would be a member of a role of this member.
void RefuseMembersOfGroup(List* options, const char* role) {
  ListCell *cell, *member;
  foreach (cell, options) {
    auto* const option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "rolemembers") != 0 && strcmp(option->defname, "adminmembers") != 0) continue;
    foreach (member, reinterpret_cast<List*>(option->arg)) {
      const char* const name = NameOf(lfirst_node(RoleSpec, member));
      if (name != nullptr && (IsChainRole(name) || IsGroupRole(name))) RaiseMemberOfGroup(role, name);
    }
  }
}

void CountCreateRole(Targets* t, const CreateRoleStmt* create) {
  // Roles with privileges, and those made by other than superusers, are this member's own.
  if (HasOption(create->options, IsPrivilegedOption) || !superuser()) {
    RefuseMembersOfGroup(create->options, create->role);
    t->local++;
    t->local_name = create->role;
    return;
  }
  if (IsChainRole(create->role)) {
    t->missing++;  // "already exists", says Postgres
    return;
  }
  Oid const here = get_role_oid(create->role, true);
  if (OidIsValid(here) && !IsOrdinary(here))
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("role \"%s\" already exists", create->role),
                    errdetail("It has privileges or memberships of its own on this member, so it cannot become a role of the "
                              "group.")));
  if (OidIsValid(here))
    ereport(NOTICE, (errmsg("role \"%s\" exists on this member and becomes a role of the group", create->role)));
  t->shared++;
  t->shared_name = create->role;
}

void CountAlterRole(Targets* t, const AlterRoleStmt* alter) {
  const char* name = NameOf(alter->role);
  if (name == nullptr) return;
  CountRole(t, name);
  bool const password_only = list_length(alter->options) == 1 && HasOption(alter->options, IsPassword);
  if (!password_only) RefuseNameOfGroup(name);
  if (t->shared == 0 && alter->action > 0) RefuseMembersOfGroup(alter->options, name);
  if (t->shared == 0) return;
  if (HasOption(alter->options, IsPrivilegedOption))
    RaiseNotTaken("a role with privileges of its own", "Roles of the group have LOGIN, INHERIT, CONNECTION LIMIT and "
                                                       "VALID UNTIL only; give the privilege to another role.");
  if (password_only) {
    t->shared = 0;
    t->local = 1;
  }
}

void CountGrantRole(Targets* t, const GrantRoleStmt* grant) {
  Targets granted, grantees;
  ListCell* cell;
  foreach (cell, grant->granted_roles) CountRole(&granted, lfirst_node(AccessPriv, cell)->priv_name);
  foreach (cell, grant->grantee_roles) {
    const char* name = NameOf(lfirst_node(RoleSpec, cell));
    RefuseNameOfGroup(name);
    if (name != nullptr) CountRole(&grantees, name);
  }
  if (granted.local > 0 && grantees.shared > 0 && grant->is_grant) RaiseMemberOfGroup(granted.local_name, grantees.shared_name);
  // A role of the group granted to one of this member: who may act for it here is this member's affair.
  if (grantees.local > 0 && grantees.shared == 0) {
    *t = grantees;
    return;
  }
  t->shared = granted.shared + grantees.shared;
  t->local = granted.local + grantees.local;
  t->missing = granted.missing + grantees.missing;
  t->shared_name = granted.shared_name ? granted.shared_name : grantees.shared_name;
  t->local_name = granted.local_name ? granted.local_name : grantees.local_name;
  if (t->missing > 0) t->shared = t->local = 0;
}

// CREATE on this database: who may make schemas, which no member's own grants may decide.
bool GrantsSchemaCreation(const GrantStmt* grant) {
  if (grant->objtype != OBJECT_DATABASE || grant->targtype != ACL_TARGET_OBJECT) return false;
  ListCell* cell;
  bool create = grant->privileges == NIL;
  foreach (cell, grant->privileges) {
    const char* name = lfirst_node(AccessPriv, cell)->priv_name;
    create |= name == nullptr || strcmp(name, "create") == 0;
  }
  if (!create) return false;
  foreach (cell, grant->objects)
    if (strcmp(strVal(lfirst(cell)), get_database_name(MyDatabaseId)) == 0) return true;
  return false;
}

void CountGrantOnDatabase(Targets* t, const GrantStmt* grant) {
  bool const create = GrantsSchemaCreation(grant);
  ListCell* cell;
  foreach (cell, grant->grantees) {
    const char* name = NameOf(lfirst_node(RoleSpec, cell));
    if (name == nullptr && create && grant->is_grant)
      RaiseNotTaken("CREATE on the database for PUBLIC", "Grant it to roles of the group.");
    bool const shared = create && name != nullptr && IsGroupRole(name);
    (shared ? t->shared : t->local)++;
    (shared ? t->shared_name : t->local_name) = name ? name : "public";
  }
}

void RefuseForGroup(const Targets& t, const char* what, const char* hint) {
  if (t.shared > 0) RaiseNotTaken(what, hint);
}

void CountOwned(Targets* t, List* roles, const char* what) {
  ListCell* cell;
  foreach (cell, roles) {
    const char* name = NameOf(lfirst_node(RoleSpec, cell));
    if (name == nullptr) continue;
    if (strcmp(name, kOwnerRole) == 0) {
      t->shared++;
      t->shared_name = kOwnerRole;
    } else {
      RefuseNameOfGroup(name);
      CountRole(t, name);
    }
  }
  RefuseForGroup(*t, what, "Drop or change the owner of each object, then drop the role.");
}

// -- names on the way from the chain to this member

void MapSpec(RoleSpec* spec, const Statement& source) {
  if (spec == nullptr || spec->roletype == ROLESPEC_PUBLIC) return;
  if (spec->roletype == ROLESPEC_SESSION_USER)
    RaiseNotTaken("SESSION_USER", "Name the role.");
  const char* name = spec->roletype == ROLESPEC_CSTRING ? spec->rolename : source.role;
  spec->roletype = ROLESPEC_CSTRING;
  bool const to_owner = name[0] == '\0' || strcmp(name, kOwnerRole) == 0 || strcmp(name, "pg_database_owner") == 0 ||
                        list_member(source.superusers, makeString(pstrdup(name)));
  spec->rolename = to_owner ? pstrdup(kOwnerRole) : LocalRoleName(name, false);
}

using Visitor = void (*)(RoleSpec*, void*);

void Visit(RoleSpec* spec, Visitor visitor, void* arg) {
  if (spec != nullptr) visitor(spec, arg);
}

void VisitList(List* specs, Visitor visitor, void* arg) {
  ListCell* cell;
  foreach (cell, specs) Visit(lfirst_node(RoleSpec, cell), visitor, arg);
}

// Every RoleSpec of a statement that may define shared objects.
void VisitSpecs(Node* node, Visitor visitor, void* arg) {
  ListCell* cell;
  switch (nodeTag(node)) {
    case T_AlterOwnerStmt:
      Visit(reinterpret_cast<AlterOwnerStmt*>(node)->newowner, visitor, arg);
      break;
    case T_AlterTableStmt:
      foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds)
        Visit(lfirst_node(AlterTableCmd, cell)->newowner, visitor, arg);
      break;
    case T_CreateSchemaStmt:
      Visit(reinterpret_cast<CreateSchemaStmt*>(node)->authrole, visitor, arg);
      foreach (cell, reinterpret_cast<CreateSchemaStmt*>(node)->schemaElts)
        VisitSpecs(static_cast<Node*>(lfirst(cell)), visitor, arg);
      break;
    case T_GrantStmt:
      VisitList(reinterpret_cast<GrantStmt*>(node)->grantees, visitor, arg);
      Visit(reinterpret_cast<GrantStmt*>(node)->grantor, visitor, arg);
      break;
    case T_CreatePolicyStmt:
      VisitList(reinterpret_cast<CreatePolicyStmt*>(node)->roles, visitor, arg);
      break;
    case T_AlterPolicyStmt:
      VisitList(reinterpret_cast<AlterPolicyStmt*>(node)->roles, visitor, arg);
      break;
    case T_AlterDefaultPrivilegesStmt: {
      auto* alter = reinterpret_cast<AlterDefaultPrivilegesStmt*>(node);
      foreach (cell, alter->options) {
        auto* option = lfirst_node(DefElem, cell);
        if (strcmp(option->defname, "roles") == 0) VisitList(reinterpret_cast<List*>(option->arg), visitor, arg);
      }
      VisitList(alter->action->grantees, visitor, arg);
      break;
    }
    default:
      break;
  }
}

void AddSuperuser(RoleSpec* spec, void* arg) {
  if (spec->roletype != ROLESPEC_CSTRING) return;
  Oid const role = get_role_oid(spec->rolename, true);
  if (!OidIsValid(role) || !superuser_arg(role)) return;
  auto** names = static_cast<List**>(arg);
  *names = list_append_unique(*names, makeString(pstrdup(spec->rolename)));
}

// -- execution

bool TravelsWithRole(const DefElem* option) {
  for (const char* name : {"canlogin", "inherit", "connectionlimit", "validUntil"})
    if (strcmp(option->defname, name) == 0) return true;
  return false;
}

List* PlainOptions(List* options) {
  List* plain = NIL;
  ListCell* cell;
  foreach (cell, options) {
    auto* option = lfirst_node(DefElem, cell);
    if (IsPrivilegedOption(option))
      ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("a role of the group cannot have %s", option->defname)));
    if (TravelsWithRole(option)) plain = lappend(plain, option);
  }
  return plain;
}

// A role of the group whose name is taken here by one that must not be lent.
char* OtherName(const char* name) {
  char* other = psprintf("dadbs_%s", name);
  other[Min(strlen(other), static_cast<size_t>(NAMEDATALEN - 1))] = '\0';
  for (int i = 1; OidIsValid(get_role_oid(other, true)); i++) other = psprintf("dadbs_%.40s_%d", name, i);
  return other;
}

void GrantListed(const CreateRoleStmt* create, const char* local_name) {
  ListCell *cell, *member;
  foreach (cell, create->options) {
    auto* option = lfirst_node(DefElem, cell);
    bool const into = strcmp(option->defname, "addroleto") == 0;
    bool const admin = strcmp(option->defname, "adminmembers") == 0;
    if (!into && !admin && strcmp(option->defname, "rolemembers") != 0) continue;
    foreach (member, reinterpret_cast<List*>(option->arg)) {
      char* other = LocalRoleName(lfirst_node(RoleSpec, member)->rolename, false);
      if (into)
        GrantHere(other, local_name, true, false, DROP_RESTRICT);
      else
        GrantHere(local_name, other, true, admin, DROP_RESTRICT);
    }
  }
}

void ExecuteCreateRole(CreateRoleStmt* create) {
  if (IsChainRole(create->role) || strcmp(create->role, kOwnerRole) == 0)
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("role \"%s\" already exists", create->role)));
  Oid const here = get_role_oid(create->role, true);
  bool const adopt = OidIsValid(here) && IsOrdinary(here);
  char* local_name = OidIsValid(here) && !adopt ? OtherName(create->role) : pstrdup(create->role);
  if (!adopt) {
    auto* plain = makeNode(CreateRoleStmt);
    plain->stmt_type = create->stmt_type;
    plain->role = local_name;
    plain->options = PlainOptions(create->options);
    CreateRole(make_parsestate(nullptr), plain);
    CommandCounterIncrement();
  }
  Datum values[] = {CStringGetTextDatum(create->role), CStringGetTextDatum(local_name), BoolGetDatum(adopt),
                    BoolGetDatum(false)};
  bool nulls[kRoleColumns] = {};
  InsertInternalRow("role", values, nulls);
  CommandCounterIncrement();
  GrantHere(local_name, kOwnerRole, true, true, DROP_RESTRICT);
  GrantListed(create, local_name);
}

void GrantCreateHere(const char* local_name, bool is_grant) {
  auto* privilege = makeNode(AccessPriv);
  privilege->priv_name = pstrdup("create");
  auto* grant = makeNode(GrantStmt);
  grant->is_grant = is_grant;
  grant->targtype = ACL_TARGET_OBJECT;
  grant->objtype = OBJECT_DATABASE;
  grant->objects = list_make1(makeString(get_database_name(MyDatabaseId)));
  grant->privileges = list_make1(privilege);
  grant->grantees = list_make1(Spec(local_name));
  ExecuteGrantStmt(grant);
  CommandCounterIncrement();
}

void ExecuteGrantOnDatabase(const GrantStmt* grant) {
  ListCell* cell;
  foreach (cell, grant->grantees) {
    auto* spec = lfirst_node(RoleSpec, cell);
    RoleRow row;
    if (spec->roletype != ROLESPEC_CSTRING || !FindRole(spec->rolename, false, &row))
      RaiseUnknownRole(spec->rolename ? spec->rolename : "public");
    Relation relation = table_open(InternalTable("role"), RowExclusiveLock);
    Datum values[] = {CStringGetTextDatum(row.role_name), CStringGetTextDatum(row.local_name), BoolGetDatum(row.adopted),
                      BoolGetDatum(grant->is_grant)};
    bool nulls[kRoleColumns] = {};
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), values, nulls);
    CatalogTupleUpdate(relation, &row.tid, tuple);
    table_close(relation, RowExclusiveLock);
    GrantCreateHere(row.local_name, grant->is_grant);
  }
}

// What stands in the way of dropping a role must be alike on all members: what it owns, and policies that name it. Its
// privileges are not (a member may have granted some before the role was one of the group) and go with it.
void DetachFromShared(Oid role, const char* name) {
  Relation relation = table_open(SharedDependRelationId, RowExclusiveLock);
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
  ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
  SysScanDesc scan = systable_beginscan(relation, SharedDependReferenceIndexId, true, nullptr, 2, keys);
  HeapTuple tuple;
  while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
    auto* form = reinterpret_cast<Form_pg_shdepend>(GETSTRUCT(tuple));
    ObjectAddress object;
    ObjectAddressSet(object, form->classid, form->objid);
    // It would run as whatever this member makes of the role then.
    if (form->dbid == MyDatabaseId && form->deptype == SHARED_DEPENDENCY_OWNER && form->classid == ProcedureRelationId &&
        get_func_namespace(form->objid) == get_namespace_oid(kContractSchema, true))
      ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                      errmsg("role \"%s\" cannot be dropped because it owns contract \"%s\"", name, get_func_name(form->objid))));
    if (form->dbid != MyDatabaseId || (form->classid != DefaultAclRelationId && !IsSharedObject(object))) continue;
    if (form->deptype == SHARED_DEPENDENCY_ACL)
      RemoveRoleFromObjectACL(role, form->classid, form->objid);
    else if (form->classid == DefaultAclRelationId)
      performDeletion(&object, DROP_RESTRICT, 0);
    else
      ereport(ERROR, (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
                      errmsg("role \"%s\" cannot be dropped because some shared objects depend on it", name),
                      errhint("Drop them, or give them to another role by ALTER ... OWNER TO.")));
  }
  systable_endscan(scan);
  table_close(relation, RowExclusiveLock);
  CommandCounterIncrement();
}

// Other objects of this member may still need the role: then it stays, as this member's own.
void TryDropHere(const char* name) {
  MemoryContext const context = CurrentMemoryContext;
  ResourceOwner const owner = CurrentResourceOwner;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(context);
  PG_TRY();
  {
    auto* drop = makeNode(DropRoleStmt);
    drop->roles = list_make1(Spec(name));
    DropRole(drop);
    ReleaseCurrentSubTransaction();
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION) ReThrowError(error);
    ereport(LOG, (errmsg("role \"%s\" is no longer one of the group but stays on this member: %s", name, error->message)));
  }
  PG_END_TRY();
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
}

void ExecuteDropRole(const DropRoleStmt* drop) {
  ListCell* cell;
  foreach (cell, drop->roles) {
    const char* name = lfirst_node(RoleSpec, cell)->rolename;
    RoleRow row;
    if (name == nullptr || !FindRole(name, false, &row)) {
      if (drop->missing_ok) continue;
      RaiseUnknownRole(name ? name : "");
    }
    DetachFromShared(get_role_oid(row.local_name, false), name);
    Relation relation = table_open(InternalTable("role"), RowExclusiveLock);
    CatalogTupleDelete(relation, &row.tid);
    table_close(relation, RowExclusiveLock);
    GrantHere(row.local_name, kOwnerRole, false, false, DROP_CASCADE);
    if (row.may_create_schemas) GrantCreateHere(row.local_name, false);
    if (!row.adopted) TryDropHere(row.local_name);
  }
}

void ExecuteAlterRole(AlterRoleStmt* alter) {
  if (alter->role->roletype != ROLESPEC_CSTRING) RaiseNotTaken("ALTER ROLE without a name", nullptr);
  auto* plain = makeNode(AlterRoleStmt);
  plain->role = Spec(LocalRoleName(alter->role->rolename, false));
  plain->options = PlainOptions(alter->options);
  plain->action = 1;
  AlterRole(make_parsestate(nullptr), plain);
}

void ExecuteGrantRole(const GrantRoleStmt* grant) {
  ListCell *granted, *grantee;
  foreach (granted, grant->granted_roles)
    foreach (grantee, grant->grantee_roles) {
      auto* spec = lfirst_node(RoleSpec, grantee);
      if (spec->roletype != ROLESPEC_CSTRING) RaiseNotTaken("granting a role to other than a named one", nullptr);
      GrantHere(LocalRoleName(lfirst_node(AccessPriv, granted)->priv_name, false), LocalRoleName(spec->rolename, false),
                grant->is_grant, grant->admin_opt, grant->behavior);
    }
}

void AppendNames(StringInfo text, const char* clause, List* specs) {
  ListCell* cell;
  const char* separator = "";
  appendStringInfo(text, " %s ", clause);
  foreach (cell, specs) {
    appendStringInfo(text, "%s%s", separator, quote_identifier(lfirst_node(RoleSpec, cell)->rolename));
    separator = ", ";
  }
}

void AppendOption(StringInfo text, const DefElem* option) {
  const char* name = option->defname;
  if (strcmp(name, "canlogin") == 0) appendStringInfoString(text, boolVal(option->arg) ? " LOGIN" : " NOLOGIN");
  if (strcmp(name, "inherit") == 0) appendStringInfoString(text, boolVal(option->arg) ? " INHERIT" : " NOINHERIT");
  if (strcmp(name, "connectionlimit") == 0) appendStringInfo(text, " CONNECTION LIMIT %d", intVal(option->arg));
  if (strcmp(name, "validUntil") == 0) appendStringInfo(text, " VALID UNTIL %s", quote_literal_cstr(strVal(option->arg)));
  if (strcmp(name, "addroleto") == 0) AppendNames(text, "IN ROLE", reinterpret_cast<List*>(option->arg));
  if (strcmp(name, "rolemembers") == 0) AppendNames(text, "ROLE", reinterpret_cast<List*>(option->arg));
  if (strcmp(name, "adminmembers") == 0) AppendNames(text, "ADMIN", reinterpret_cast<List*>(option->arg));
}

}  // namespace

bool IsGroupRole(const char* local_name) {
  return strcmp(local_name, kOwnerRole) == 0 || FindRole(local_name, true, nullptr);
}

bool IsChainRole(const char* name) { return FindRole(name, false, nullptr); }

char* LocalRoleName(const char* chain_name, bool missing_ok) {
  RoleRow row;
  if (FindRole(chain_name, false, &row)) return row.local_name;
  if (!missing_ok) RaiseUnknownRole(chain_name);
  return nullptr;
}

char* AuthorRole() {
  if (superuser()) return pstrdup("");
  char* name = GetUserNameFromId(GetUserId(), false);
  if (strcmp(name, kOwnerRole) == 0) return pstrdup("");
  RoleRow row;
  if (FindRole(name, true, &row)) return row.role_name;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("role \"%s\" is this member's own and cannot define shared objects", name),
                  errhint("A superuser makes it a role of the group by CREATE ROLE %s in this database.",
                          quote_identifier(name))));
  pg_unreachable();
}

List* SuperusersNamed(Node* node) {
  List* names = NIL;
  VisitSpecs(node, AddSuperuser, &names);
  return names;
}

void MapRoles(Node* node, const Statement& source) {
  VisitSpecs(
      node, [](RoleSpec* spec, void* arg) { MapSpec(spec, *static_cast<const Statement*>(arg)); },
      const_cast<Statement*>(&source));
}

bool IsRoleStatement(Node* node) {
  switch (nodeTag(node)) {
    case T_CreateRoleStmt:
    case T_AlterRoleStmt:
    case T_DropRoleStmt:
    case T_GrantRoleStmt:
    case T_DropOwnedStmt:
    case T_ReassignOwnedStmt:
      return true;
    case T_RenameStmt:
      return reinterpret_cast<RenameStmt*>(node)->renameType == OBJECT_ROLE;
    case T_GrantStmt:
      return reinterpret_cast<GrantStmt*>(node)->objtype == OBJECT_DATABASE;
    default:
      return false;
  }
}

void CountDefaultPrivileges(AlterDefaultPrivilegesStmt* alter, Targets* t) {
  bool named = false;
  ListCell *cell, *item;
  foreach (cell, alter->options) {
    auto* option = lfirst_node(DefElem, cell);
    bool const roles = strcmp(option->defname, "roles") == 0;
    named |= roles;
    foreach (item, reinterpret_cast<List*>(option->arg)) {
      const char* name = roles ? NameOf(lfirst_node(RoleSpec, item)) : strVal(lfirst(item));
      Oid const role = roles ? get_role_oid(name, true) : InvalidOid;
      bool const shared = roles ? IsGroupRole(name) || (OidIsValid(role) && superuser_arg(role)) : IsSharedSchemaName(name);
      (shared ? t->shared : t->local)++;
      (shared ? t->shared_name : t->local_name) = name;
    }
  }
  if (!named && t->local == 0) t->shared++;
}

Targets ClassifyRoles(Node* node) {
  Targets t;
  ListCell* cell;
  switch (nodeTag(node)) {
    case T_CreateRoleStmt:
      CountCreateRole(&t, reinterpret_cast<CreateRoleStmt*>(node));
      break;
    case T_AlterRoleStmt:
      CountAlterRole(&t, reinterpret_cast<AlterRoleStmt*>(node));
      break;
    case T_DropRoleStmt:
      foreach (cell, reinterpret_cast<DropRoleStmt*>(node)->roles) {
        const char* name = NameOf(lfirst_node(RoleSpec, cell));
        RefuseNameOfGroup(name);
        if (name != nullptr) CountRole(&t, name);
      }
      break;
    case T_GrantRoleStmt:
      CountGrantRole(&t, reinterpret_cast<GrantRoleStmt*>(node));
      break;
    case T_GrantStmt:
      CountGrantOnDatabase(&t, reinterpret_cast<GrantStmt*>(node));
      break;
    case T_DropOwnedStmt:
      CountOwned(&t, reinterpret_cast<DropOwnedStmt*>(node)->roles, "DROP OWNED by a role of the group");
      break;
    case T_ReassignOwnedStmt:
      CountOwned(&t, reinterpret_cast<ReassignOwnedStmt*>(node)->roles, "REASSIGN OWNED of a role of the group");
      break;
    case T_RenameStmt:
      CountRole(&t, reinterpret_cast<RenameStmt*>(node)->subname);
      RefuseNameOfGroup(reinterpret_cast<RenameStmt*>(node)->subname);
      RefuseForGroup(t, "renaming a role of the group", "Make another role, and change the owners.");
      break;
    default:
      break;
  }
  return t;
}

void LocalGrantees(GrantStmt* grant, Targets* t) {
  if (t->shared == 0 || grant->objtype == OBJECT_DATABASE) return;
  int local = 0;
  ListCell* cell;
  foreach (cell, grant->grantees) {
    const char* name = NameOf(lfirst_node(RoleSpec, cell));
    if (name == nullptr || IsChainRole(name)) continue;
    if (strcmp(name, kOwnerRole) != 0) RefuseNameOfGroup(name);
    Oid const role = get_role_oid(name, true);
    if (!OidIsValid(role) || superuser_arg(role) || strcmp(name, kOwnerRole) == 0) continue;
    t->local_name = name;
    local++;
  }
  if (local == 0) return;
  t->local += local;
  // Only to roles of this member: it is this member's affair, and its superuser's.
  if (local == list_length(grant->grantees) && superuser()) t->shared = 0;
}

void CheckSchemaCreation(Node* node, const Statement& source, bool at_position) {
  bool const creates = IsA(node, CreateSchemaStmt) ||
                       (IsA(node, RenameStmt) && reinterpret_cast<RenameStmt*>(node)->renameType == OBJECT_SCHEMA) ||
                       (IsA(node, AlterOwnerStmt) && reinterpret_cast<AlterOwnerStmt*>(node)->objectType == OBJECT_SCHEMA);
  if (!creates) return;
  RoleRow row;
  char* local_name = pstrdup(kOwnerRole);
  if (source.role[0] != '\0') {
    if (!FindRole(source.role, false, &row) || !row.may_create_schemas)
      ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                      errmsg("role \"%s\" may not create schemas in the shared database", source.role),
                      errhint("A superuser allows it by GRANT CREATE ON DATABASE ... TO %s.", quote_identifier(source.role))));
    local_name = row.local_name;
  }
  Oid const role = get_role_oid(local_name, false);
  if (at_position && pg_database_aclcheck(MyDatabaseId, role, ACL_CREATE) != ACLCHECK_OK) GrantCreateHere(local_name, true);
}

void ExecuteRoleStatement(Node* node, const Statement& source) {
  if (source.role[0] != '\0' || !superuser())
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("only superusers can change roles of the group")));
  switch (nodeTag(node)) {
    case T_CreateRoleStmt:
      ExecuteCreateRole(reinterpret_cast<CreateRoleStmt*>(node));
      break;
    case T_AlterRoleStmt:
      ExecuteAlterRole(reinterpret_cast<AlterRoleStmt*>(node));
      break;
    case T_DropRoleStmt:
      ExecuteDropRole(reinterpret_cast<DropRoleStmt*>(node));
      break;
    case T_GrantStmt:
      ExecuteGrantOnDatabase(reinterpret_cast<GrantStmt*>(node));
      break;
    case T_GrantRoleStmt:
      ExecuteGrantRole(reinterpret_cast<GrantRoleStmt*>(node));
      break;
    default:
      RaiseNotTaken(GetCommandTagName(CreateCommandTag(node)), nullptr);
  }
  CommandCounterIncrement();
}

char* WithoutPassword(Node* node, char* text, Node** password_statement) {
  bool const create = IsA(node, CreateRoleStmt);
  if (!create && !IsA(node, AlterRoleStmt)) return text;
  List* options = create ? reinterpret_cast<CreateRoleStmt*>(node)->options : reinterpret_cast<AlterRoleStmt*>(node)->options;
  const char* name = create ? reinterpret_cast<CreateRoleStmt*>(node)->role : NameOf(reinterpret_cast<AlterRoleStmt*>(node)->role);
  bool const user = create && reinterpret_cast<CreateRoleStmt*>(node)->stmt_type == ROLESTMT_USER;
  StringInfoData plain;
  initStringInfo(&plain);
  appendStringInfo(&plain, "%s %s %s", create ? "CREATE" : "ALTER", user ? "USER" : "ROLE", quote_identifier(name));
  ListCell* cell;
  foreach (cell, options) {
    auto* option = lfirst_node(DefElem, cell);
    AppendOption(&plain, option);
    if (!IsPassword(option) || option->arg == nullptr) continue;
    auto* alter = makeNode(AlterRoleStmt);
    alter->role = Spec(name);
    alter->options = list_make1(option);
    alter->action = 1;
    *password_statement = reinterpret_cast<Node*>(alter);
  }
  return plain.data;
}

void SetPasswordHere(Node* password_statement) {
  auto* alter = castNode(AlterRoleStmt, password_statement);
  AlterRole(make_parsestate(nullptr), alter);
  ereport(NOTICE, (errmsg("the password of role \"%s\" is set on this member only", alter->role->rolename),
                   errhint("Passwords don't travel: set it on each member by ALTER ROLE ... PASSWORD.")));
}

}  // namespace dadbs::pg::ddl
