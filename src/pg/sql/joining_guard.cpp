/*
 * joining_guard.cpp: keeps the database of a joining server empty.
 *
 * join_cluster has checked that nothing is there that would be shared, but the genesis, which says what is shared, may
 * come much later. What is created meanwhile would be here and nowhere else. So definitions are refused in that
 * database until the server is a member (then they are ordered) or joins no more; dropping, temporary tables and what
 * is not in a schema (roles, extensions, databases, ...) are not touched.
 */
#include "cluster_database.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/ipc.h"

extern "C" {
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
}

namespace dadbs::pg {
namespace {

ProcessUtility_hook_type previous_process_utility = nullptr;

bool IsTemporary(const RangeVar* name) { return name != nullptr && name->relpersistence == RELPERSISTENCE_TEMP; }

// Something new in a schema that may become shared.
bool MakesObjects(Node* node) {
  switch (nodeTag(node)) {
    case T_CreateStmt:
      return !IsTemporary(reinterpret_cast<CreateStmt*>(node)->relation);
    case T_CreateTableAsStmt:
      return !IsTemporary(reinterpret_cast<CreateTableAsStmt*>(node)->into->rel);
    case T_ViewStmt:
      return !IsTemporary(reinterpret_cast<ViewStmt*>(node)->view);
    case T_CreateSeqStmt:
      return !IsTemporary(reinterpret_cast<CreateSeqStmt*>(node)->sequence);
    case T_CreateSchemaStmt:
    case T_CreateFunctionStmt:
    case T_CompositeTypeStmt:
    case T_CreateEnumStmt:
    case T_CreateRangeStmt:
    case T_CreateDomainStmt:
    case T_DefineStmt:
    case T_CreateForeignTableStmt:
    case T_ImportForeignSchemaStmt:
    case T_CreateOpClassStmt:
    case T_CreateOpFamilyStmt:
    case T_CreateConversionStmt:
    case T_RenameStmt:
    case T_AlterObjectSchemaStmt:
      return true;
    default:
      return false;
  }
}

void OnUtility(PlannedStmt* statement, const char* text, bool read_only, ProcessUtilityContext context,
               ParamListInfo params, QueryEnvironment* environment, DestReceiver* destination,
               QueryCompletion* completion) {
  bool const joining = pg_atomic_read_u32(&shared->joining_database) == MyDatabaseId && OidIsValid(MyDatabaseId);
  if (joining && !creating_extension && MakesObjects(statement->utilityStmt))
    ereport(ERROR, (errcode(kErrNotReady), errmsg("nothing can be created while this database joins a cluster"),
                    errdetail("It would be here and on no other member."),
                    errhint("Wait until SELECT dadbs.wait_for_ready() has returned.")));
  if (previous_process_utility)
    previous_process_utility(statement, text, read_only, context, params, environment, destination, completion);
  else
    standard_ProcessUtility(statement, text, read_only, context, params, environment, destination, completion);
}

}  // namespace

void InitJoiningGuard() {
  previous_process_utility = ProcessUtility_hook;
  ProcessUtility_hook = OnUtility;
}

}  // namespace dadbs::pg
