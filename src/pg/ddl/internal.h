/*
 * internal.h: what the files of src/pg/ddl share. Everything here is Postgres code in C++ clothes: it raises errors with
 * ereport and holds no C++ object with a destructor; the doors are ddl.h's functions and the hooks.
 *
 *   hook.cpp       ProcessUtility hook: local, shared and alone, shared inside a transaction
 *   classify.cpp   what a statement is about: local objects, shared ones, nothing that exists
 *   rules.cpp      which statements are taken at all, by their parse tree alone; the same on both sides
 *   execute.cpp    execution at the position, or early inside a transaction block: role, search_path, settings
 *   effects.cpp    what an execution changed: keys, replica identities, relation versions; what it must not have made
 *   local_effects.cpp what this member's own definitions may stand on, and what gives way
 *   expressions.cpp what the expressions of an object may call
 *   rewrite.cpp    values that filling a table would compute differently on each member
 *   roles.cpp      roles made through the chain, their names on this member, grants
 *   elsewhere.cpp  roles of the group, out of reach of the server's other databases
 *   sequences.cpp  residue classes; setval
 *   code_guard.cpp superusers don't run code that came over the chain
 *   local.cpp      dadbs.set_local and what local objects may not do
 *   meaning.cpp    names that mean something else when the statement has its locks
 *   names.cpp      names that PostgreSQL chooses
 *   placement.cpp  tablespaces
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/ddl.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/sharing.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/objectaddress.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parse_node.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace dadbs::pg::ddl {

// Tree walkers as PG 15's headers declare them, without a prototype.
inline auto AsWalker(bool (*walker)(Node*, void*)) { return reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(walker)); }
template <class T>
T* Copy(const T* node) {
  return static_cast<T*>(copyObjectImpl(node));
}

// take(value) of a column of the catalog row with this oid; not called where there is no row, or where it is null there.
template <class F>
void TakeColumn(Oid catalog, Oid index, AttrNumber oid_column, Oid object, AttrNumber column, F&& take) {
  Relation const relation = table_open(catalog, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
  SysScanDesc const scan = systable_beginscan(relation, index, true, SnapshotSelf, 1, &key);
  if (HeapTuple const tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
    bool is_null;
    Datum const value = heap_getattr(tuple, column, RelationGetDescr(relation), &is_null);
    if (!is_null) take(value);
  }
  systable_endscan(scan);
  table_close(relation, AccessShareLock);
}

// A DdlChange in palloc'd C strings.
struct Statement {
  char* text;
  char* role;         // "": a superuser wrote it
  char* search_path;
  List* names;        // of settings; String
  List* values;       // of settings; String
  List* superusers;   // String
};

// The role that owns what superusers make.
inline constexpr char kOwnerRole[] = "dadbs_owner";

// -- classify.cpp
enum class Scope { kMissing, kLocal, kShared };
struct Targets {
  int shared = 0, local = 0, missing = 0;
  const char* shared_name = nullptr;  // examples, for messages
  const char* local_name = nullptr;
  bool mixed() const { return shared > 0 && local > 0; }
};
// Looks names up as the session sees them, or as the position does: by the search_path in force.
Targets Classify(Node* statement);
// Relations whose definition the statement would change by what it names: targets, what it creates, parents of foreign
// keys, what depends on a function or type. List of RelName*, in the catalogs as they are.
struct RelName;
List* NamedRelations(Node* statement);
// NOTICEs for what DROP ... IF EXISTS does not find.
void NoticeMissing(DropStmt* drop);

// -- names.cpp
// Until GiveNamesBack, or the end of the (sub)transaction, nobody else has an uncommitted relation whose name could be chosen for these.
// False: the statement has PostgreSQL choose none, so others may write pg_class while it takes its time.
bool TakeNames(Node* statement, List* relations);
void GiveNamesBack();

// -- rules.cpp
enum class Kind { kSession, kDefinition };
// kSession: no definition of anything shared, whatever it names (SET, COPY, VACUUM, ...).
Kind KindOf(Node* statement);
// Raises 0A000 with a hint if a shared object cannot be defined that way. `inside`: of a transaction with other
// statements, not alone. Both sides of the chain ask it.
// In the session, before it is ordered: an expression that is nested so deeply that members could differ in taking it.
void CheckNesting(Node* statement);
void CheckTaken(Node* statement, bool inside);
// What a session may not do locally because it would come between the members (H5).
void CheckLocal(Node* statement);
// It makes one without asking ProcessUtility again.
bool ExplainsCreateTableAs(Node* statement);
[[noreturn]] void RaiseNotTaken(const char* what, const char* hint);
// Opens a relation that was looked up without a lock. In a session it may have been dropped since, at a position of the
// chain: 40001.
Relation OpenLookedUp(Oid relation);

// -- execute.cpp
// Runs the statement in the current transaction as every member will. `position`: null inside a session's
// transaction. `written`: list of RelName*, those whose definitions were.
void Execute(const Statement& statement, const core::Position* position, List** written);
bool Executing();
// The user that executes it: its author's role, or dadbs_owner where a superuser wrote it.
Oid ExecutingRole(const Statement& statement);
Node* ParseOne(const char* text);
// search_path of the session as it travels, the settings that do.
char* TravellingSearchPath();
void TravellingSettings(List** names, List** values);
// The slow kinds of building and dropping an index cannot run at a position; nothing else waits for it there anyway.
void DropConcurrently(Node* statement);
// In force until LeaveEnvironment.
int EnterEnvironment(const Statement& statement);
void LeaveEnvironment(int level);

// -- effects.cpp
struct RelName {
  char* schema;
  char* name;
};
void InitEffects();
// Records what object_access_hook sees between these two. Nests by saving.
struct Recorder;
// A member's own definition changes no contract; DROP EXTENSION takes them all, with the membership.
enum class RecordedAs { kShared, kLocal, kDropExtension };
Recorder* StartRecording(RecordedAs as = RecordedAs::kShared);
void StopRecording(Recorder* recorder);   // also on errors
bool AnythingRecorded(const Recorder* recorder);
// What is recorded or not by what this member's own CLUSTER has left.
void RecordMarks(Recorder* recorder, Node* statement);
// At a position: what PL/pgSQL has compiled before, or to check the function that was created, is compiled again.
void ForgetRecorded(const Recorder* recorder);
// Relations whose definition was written: recorded ones and those named (looked up before), if anything was.
List* WrittenRelations(Recorder* recorder, List* named_before);
// After execution, of a shared statement: raises if something was made that members could not keep equal.
void CheckEffects(Recorder* recorder);
// After execution, of a local statement of a session: nothing permanent may stand on shared objects.
void CheckLocalEffects(Recorder* recorder);
void KeepReplicaIdentities(List* written);
void WriteRelationVersions(List* written, core::Position position);
RelName* MakeRelName(Oid relation);          // an index: its table; null: gone, or not a table of a schema
List* AddRelName(List* names, RelName* name);  // once
// Relations whose CHECKs, domains, generated columns, indexes or columns use the object.
List* DependentRelations(List* names, const ObjectAddress& object);
void DropLocalDependents(Node* statement);
// What this member has computed by functions that were changed.
void DropLocalValuesOf(Recorder* recorder);

// -- meaning.cpp: of statements that were judged to be about nothing shared; 40001 if they are by now
// When the hook tells that the object is changed or dropped.
void CheckStaysLocal(const ObjectAddress& object);
// After a statement that had nothing to do: all it names is missing, or there already.
void RequireNothingDone(const Recorder* recorder, uint64_t catalog_rows);
// The local statement as it is executed: what would commit by itself keeps its names from here on. `top_level`: by its context.
PlannedStmt* FixNames(PlannedStmt* statement, bool top_level);
// The same for REINDEX CONCURRENTLY of what is not shared.
void FixReindexed(const RangeVar* name);
// The same statement, but nothing that would commit by itself.
PlannedStmt* WithoutConcurrency(PlannedStmt* statement, bool top_level);
// After a local statement.
void JudgeAgain(Node* statement, Targets (*judge)(Node*));

// -- expressions.cpp
// A CHECK or foreign key must give the same in any session, at any time.
void CheckConstraintIsImmutable(Oid constraint);
// A row belongs into the same partition everywhere.
void CheckPartitionKey(Oid relation);
// An expression that makes regclass, regconfig or the like out of a number.
bool IsMadeReference(Node* node);
bool MakesReference(Node* node, void* context);
void CheckIndexExpressions(Oid relation);
// What the object's expressions call runs with the rights of sessions of other members.
void CheckFunctionsMayBeLent(const ObjectAddress& object);

// -- rewrite.cpp
// Before ALTER TABLE: refuses what would fill rows with values that differ between members.
void CheckFilling(AlterTableStmt* statement);
void CheckPartitionBounds(Node* statement);

// -- elsewhere.cpp
// A statement about roles in another database of this server: refused where it changes a role of the group.
void CheckRolesElsewhere(Node* statement);

// -- roles.cpp
bool IsChainRole(const char* name);
bool IsGroupRole(const char* local_name);  // dadbs_owner too
void CountDefaultPrivileges(AlterDefaultPrivilegesStmt* alter, Targets* targets);
// Name of the role here that stands for a name on the chain: itself, except where that was taken by a role that must not
// be lent.
char* LocalRoleName(const char* chain_name, bool missing_ok);
// The author as the chain knows it: "" for a superuser. Raises where the role is this member's own.
char* AuthorRole();
// Superusers among the roles that the statement names.
List* SuperusersNamed(Node* statement);
// Rewrites role names in the parse tree to this member's, superusers to dadbs_owner.
void MapRoles(Node* statement, const Statement& source);
// CREATE SCHEMA and its like: allowed by the chain, not by this member's grants.
void CheckSchemaCreation(Node* statement, const Statement& source, bool at_position);
bool IsRoleStatement(Node* statement);
Targets ClassifyRoles(Node* statement);
// GRANT and REVOKE of privileges on shared objects for roles of this member are its own.
void LocalGrantees(GrantStmt* grant, Targets* targets);
// Role statements: executed as this member's superuser, from a checked and rebuilt parse tree.
void ExecuteRoleStatement(Node* statement, const Statement& source);
// CREATE or ALTER ROLE: the text without its password, and the statement that sets it here, if any; else `text`.
char* WithoutPassword(Node* statement, char* text, Node** password_statement);
void SetPasswordHere(Node* password_statement);

// -- sequences.cpp
void InitSequences();
// Around CREATE SEQUENCE and ALTER SEQUENCE while executing; true: done.
bool ExecuteSequenceStatement(Node* statement);

// -- placement.cpp
// Before a (sub-)statement of a definition is executed.
void PlaceByDefault(Node* statement);
// Before a local ALTER TABLE ... SET TABLESPACE.
void CheckMove(const AlterTableStmt* alter);

// -- code_guard.cpp
void InitCodeGuard();
void CheckFunctionMayRun(Oid function);

// -- local.cpp
void CheckLocalNames(Node* statement);
void ForgetDroppedLocals();

}  // namespace dadbs::pg::ddl
