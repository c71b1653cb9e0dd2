/*
 * rules.cpp: which statements may define shared objects, judged by the parse tree alone.
 *
 * Both sides ask: the session before it orders a statement, so that the user hears at once, and every member at the
 * position, since an origin may lie. What needs the catalogs (functions in CHECKs, what an ALTER TABLE would fill rows with)
 * is asked while it is executed: effects.cpp, rewrite.cpp.
 *
 * Refused is what would not give the same on every member (SELECT's order, this server's files, table spaces, libraries,
 * collations), what capture cannot see (unlogged tables), and what identifies rows in a way that differs (FULL).
 */
#include "internal.h"

#include "dadbs/pg/approval.h"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/guc.h"
}

namespace dadbs::pg::ddl {

void RaiseNotTaken(const char* what, const char* hint) {
  ereport(ERROR, (errcode(kErrNotSupported), errmsg("%s is not supported for shared objects", what),
                  hint ? errhint("%s", hint) : 0));
  pg_unreachable();
}

namespace {

constexpr char kTablespaceHint[] =
    "Leave TABLESPACE out; each member may move the table by ALTER TABLE ... SET TABLESPACE in a statement of its own.";
constexpr char kAloneHint[] = "Run it as a statement of its own, outside a transaction block, function or DO block.";

bool OneOf(const char* name, std::initializer_list<const char*> names) {
  for (const char* candidate : names)
    if (strcmp(name, candidate) == 0) return true;
  return false;
}

void CheckPersistence(const RangeVar* relation) {
  if (relation->relpersistence == RELPERSISTENCE_UNLOGGED)
    RaiseNotTaken("UNLOGGED", "Its changes would not be in the WAL, where they are captured. Create it without UNLOGGED.");
  if (relation->relpersistence == RELPERSISTENCE_TEMP) RaiseNotTaken("TEMPORARY", nullptr);
}

void CheckConstraint(const Constraint* constraint) {
  if (constraint->indexspace != nullptr) RaiseNotTaken("USING INDEX TABLESPACE", kTablespaceHint);
  if (constraint->access_method != nullptr && !OneOf(constraint->access_method, {"btree", "hash", "gist", "spgist"}))
    RaiseNotTaken("an index access method that is not built in", nullptr);
}

void CheckElements(List* elements) {
  ListCell* cell;
  foreach (cell, elements) {
    Node* element = static_cast<Node*>(lfirst(cell));
    if (IsA(element, Constraint)) CheckConstraint(reinterpret_cast<Constraint*>(element));
    if (!IsA(element, ColumnDef)) continue;
    auto* const column = reinterpret_cast<ColumnDef*>(element);
    // An index tuple keeps the compressed image that the session made; the applier compresses anew. By another method it
    // may exceed the limit of an index there and not here.
    if (column->compression != nullptr && pg_strcasecmp(column->compression, "pglz") != 0)
      RaiseNotTaken("COMPRESSION", "Values are compressed by pglz on all members. Leave COMPRESSION out.");
    CheckElements(column->constraints);
  }
}

void CheckCreateTable(const CreateStmt* create) {
  CheckPersistence(create->relation);
  if (create->inhRelations != NIL && create->partbound == nullptr)
    RaiseNotTaken("INHERITS", "Use a partitioned table, or repeat the columns with LIKE.");
  if (create->tablespacename != nullptr) RaiseNotTaken("TABLESPACE", kTablespaceHint);
  if (create->accessMethod != nullptr && strcmp(create->accessMethod, "heap") != 0)
    RaiseNotTaken("a table access method other than heap", nullptr);
  CheckElements(create->tableElts);
  CheckElements(create->constraints);
}

void CheckCreateTableAs(const CreateTableAsStmt* create) {
  constexpr char hint[] = "Create the table, then fill it with INSERT ... SELECT: the rows are what the members share.";
  if (create->objtype == OBJECT_MATVIEW)
    RaiseNotTaken("CREATE MATERIALIZED VIEW", "Use a view, or a table that is filled with INSERT ... SELECT.");
  RaiseNotTaken(create->is_select_into ? "SELECT INTO" : "CREATE TABLE AS", hint);
}

void CheckIndex(const IndexStmt* index, bool inside) {
  if (index->concurrent && inside)
    ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                    errmsg("%s cannot run inside a transaction block", "CREATE INDEX CONCURRENTLY")));
  if (index->tableSpace != nullptr) RaiseNotTaken("TABLESPACE", kTablespaceHint);
  if (index->accessMethod != nullptr &&
      !OneOf(index->accessMethod, {"btree", "hash", "gin", "gist", "spgist", "brin"}))
    RaiseNotTaken("an index access method that is not built in", "Extensions may differ between members.");
}

void CheckReplicaIdentity(const ReplicaIdentityStmt* identity) {
  if (identity->identity_type == REPLICA_IDENTITY_FULL)
    RaiseNotTaken("REPLICA IDENTITY FULL", "Values can be equal and yet differ (1.0 and 1.00). Add a primary key, or a "
                                           "unique index over NOT NULL columns.");
  if (identity->identity_type == REPLICA_IDENTITY_NOTHING)
    RaiseNotTaken("REPLICA IDENTITY NOTHING", "Updated and deleted rows must be named to the other members.");
}

void CheckAlterTableCmd(const AlterTableCmd* cmd) {
  switch (cmd->subtype) {
    case AT_AddColumn:
    case AT_AddConstraint:
      if (cmd->def != nullptr) CheckElements(list_make1(cmd->def));
      return;
    case AT_ColumnDefault:
    case AT_DropNotNull:
    case AT_SetNotNull:
    case AT_DropExpression:
    case AT_SetStatistics:
    case AT_SetOptions:
    case AT_ResetOptions:
    case AT_SetStorage:
    case AT_DropColumn:
    case AT_AlterConstraint:
    case AT_ValidateConstraint:
    case AT_AddIndex:
    case AT_AddIndexConstraint:
    case AT_DropConstraint:
    case AT_AlterColumnType:
    case AT_ChangeOwner:
    case AT_ClusterOn:
    case AT_DropCluster:
    case AT_DropOids:
    case AT_SetRelOptions:
    case AT_ResetRelOptions:
    case AT_EnableTrig:
    case AT_EnableAlwaysTrig:
    case AT_EnableReplicaTrig:
    case AT_DisableTrig:
    case AT_EnableTrigAll:
    case AT_DisableTrigAll:
    case AT_EnableTrigUser:
    case AT_DisableTrigUser:
    case AT_EnableRowSecurity:
    case AT_DisableRowSecurity:
    case AT_ForceRowSecurity:
    case AT_NoForceRowSecurity:
    case AT_AttachPartition:
    case AT_AddIdentity:
    case AT_SetIdentity:
    case AT_DropIdentity:
      return;
    case AT_ReplicaIdentity:
      CheckReplicaIdentity(reinterpret_cast<ReplicaIdentityStmt*>(cmd->def));
      return;
    case AT_DetachPartition:
      if (reinterpret_cast<PartitionCmd*>(cmd->def)->concurrent)
        RaiseNotTaken("DETACH PARTITION CONCURRENTLY", "Detach it without CONCURRENTLY.");
      return;
    case AT_SetUnLogged:
      RaiseNotTaken("SET UNLOGGED", "Its changes would not be in the WAL, where they are captured.");
    case AT_AddInherit:
    case AT_DropInherit:
      RaiseNotTaken("INHERIT", "Use a partitioned table.");
    case AT_SetTableSpace:
      RaiseNotTaken("SET TABLESPACE together with other changes", kTablespaceHint);
    case AT_SetCompression:
      RaiseNotTaken("SET COMPRESSION", "Values are compressed by pglz on all members.");
    case AT_SetAccessMethod:
      RaiseNotTaken("SET ACCESS METHOD", nullptr);
    case AT_EnableRule:
    case AT_EnableAlwaysRule:
    case AT_EnableReplicaRule:
    case AT_DisableRule:
      RaiseNotTaken("a rule", "Use a trigger.");
    default:
      RaiseNotTaken("this kind of ALTER TABLE", nullptr);
  }
}

void CheckSetClause(const VariableSetStmt* set) {
  if (set->kind == VAR_RESET_ALL || set->name == nullptr) return;
  if (!OneOf(set->name, {"search_path", "timezone", "datestyle", "intervalstyle", "statement_timeout", "lock_timeout",
                         "work_mem", "client_min_messages", "check_function_bodies", "enable_seqscan",
                         "enable_nestloop", "jit", "row_security", "default_text_search_config"}))
    RaiseNotTaken(psprintf("a function that sets %s", set->name), "Set it in the session.");
}

void CheckFunctionOptions(List* options) {
  ListCell* cell;
  foreach (cell, options) {
    auto* option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "language") == 0 && !OneOf(defGetString(option), {"sql", "plpgsql"}))
      RaiseNotTaken(psprintf("language %s", defGetString(option)), "Write the function in SQL or PL/pgSQL.");
    if (strcmp(option->defname, "leakproof") == 0 && boolVal(option->arg)) RaiseNotTaken("LEAKPROOF", nullptr);
    if (strcmp(option->defname, "support") == 0) RaiseNotTaken("SUPPORT", nullptr);
    if (strcmp(option->defname, "transform") == 0) RaiseNotTaken("TRANSFORM", nullptr);
    if (strcmp(option->defname, "set") == 0 && option->arg != nullptr)
      CheckSetClause(castNode(VariableSetStmt, option->arg));
  }
}

void CheckDefine(const DefineStmt* define) {
  switch (define->kind) {
    case OBJECT_AGGREGATE:
    case OBJECT_OPERATOR:
      return;
    case OBJECT_TYPE:
      RaiseNotTaken("a base type", "Use an enum, a domain, a composite or a range type.");
    case OBJECT_COLLATION:
      RaiseNotTaken("CREATE COLLATION", "Collations depend on libraries of each member; use the built-in ones.");
    default:
      RaiseNotTaken("a text search object", nullptr);
  }
}

void CheckDrop(const DropStmt* drop, bool inside) {
  switch (drop->removeType) {
    case OBJECT_INDEX:
      if (drop->concurrent && inside)
        ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                        errmsg("%s cannot run inside a transaction block", "DROP INDEX CONCURRENTLY")));
      return;
    case OBJECT_TABLE:
    case OBJECT_SEQUENCE:
    case OBJECT_VIEW:
    case OBJECT_MATVIEW:
    case OBJECT_FOREIGN_TABLE:
    case OBJECT_TYPE:
    case OBJECT_DOMAIN:
    case OBJECT_FUNCTION:
    case OBJECT_PROCEDURE:
    case OBJECT_ROUTINE:
    case OBJECT_AGGREGATE:
    case OBJECT_OPERATOR:
    case OBJECT_SCHEMA:
    case OBJECT_TRIGGER:
    case OBJECT_POLICY:
    case OBJECT_RULE:
    case OBJECT_STATISTIC_EXT:
      return;
    default:
      RaiseNotTaken("dropping this kind of object", nullptr);
  }
}

// PostgreSQL makes the names of internal triggers of numbers in this member's catalogs: they say something else on each member, or nothing.
void CheckTriggerName(const char* name) {
  if (name == nullptr) return;
  for (const char* label : {"RI_ConstraintTrigger_", "PK_ConstraintTrigger_", "Unique_ConstraintTrigger_"})
    if (strncmp(name, label, strlen(label)) == 0)
      RaiseNotTaken(psprintf("a trigger named \"%s\"", name), "It is another trigger on each member, or none. Name the constraint that it belongs to.");
}

void CheckTriggerNames(Node* node) {
  ListCell* cell;
  if (IsA(node, CreateTrigStmt)) CheckTriggerName(reinterpret_cast<CreateTrigStmt*>(node)->trigname);
  if (IsA(node, RenameStmt) && reinterpret_cast<RenameStmt*>(node)->renameType == OBJECT_TRIGGER) {
    CheckTriggerName(reinterpret_cast<RenameStmt*>(node)->subname);
    CheckTriggerName(reinterpret_cast<RenameStmt*>(node)->newname);
  }
  if (IsA(node, CommentStmt) && reinterpret_cast<CommentStmt*>(node)->objtype == OBJECT_TRIGGER)
    CheckTriggerName(strVal(llast(castNode(List, reinterpret_cast<CommentStmt*>(node)->object))));
  if (IsA(node, DropStmt) && reinterpret_cast<DropStmt*>(node)->removeType == OBJECT_TRIGGER) {
    foreach (cell, reinterpret_cast<DropStmt*>(node)->objects) CheckTriggerName(strVal(llast(lfirst_node(List, cell))));
  }
}

bool SetsTrigger(const AlterTableCmd* cmd) {
  return cmd->subtype == AT_EnableTrig || cmd->subtype == AT_EnableAlwaysTrig || cmd->subtype == AT_EnableReplicaTrig || cmd->subtype == AT_DisableTrig;
}

void CheckCreateSchema(const CreateSchemaStmt* create, bool inside) {
  ListCell* cell;
  foreach (cell, create->schemaElts) {
    Node* const element = static_cast<Node*>(lfirst(cell));
    if (IsRoleStatement(element)) RaiseNotTaken("a privilege on a database within CREATE SCHEMA", "Use a statement for each.");
    CheckTaken(element, inside);
  }
}

// Kinds that make or change something in a schema and need more than a word.
bool CheckDetailed(Node* node, bool inside) {
  switch (nodeTag(node)) {
    case T_CreateStmt:
      CheckCreateTable(reinterpret_cast<CreateStmt*>(node));
      return true;
    case T_CreateTableAsStmt:
      CheckCreateTableAs(reinterpret_cast<CreateTableAsStmt*>(node));
      return true;
    case T_IndexStmt:
      CheckIndex(reinterpret_cast<IndexStmt*>(node), inside);
      return true;
    case T_CreateSeqStmt:
      CheckPersistence(reinterpret_cast<CreateSeqStmt*>(node)->sequence);
      return true;
    case T_ViewStmt:
      CheckPersistence(reinterpret_cast<ViewStmt*>(node)->view);
      return true;
    case T_AlterTableStmt: {
      ListCell* cell;
      foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds) {
        auto* const cmd = lfirst_node(AlterTableCmd, cell);
        CheckAlterTableCmd(cmd);
        if (SetsTrigger(cmd)) CheckTriggerName(cmd->name);
      }
      return true;
    }
    case T_CreateFunctionStmt:
      CheckFunctionOptions(reinterpret_cast<CreateFunctionStmt*>(node)->options);
      return true;
    case T_AlterFunctionStmt:
      CheckFunctionOptions(reinterpret_cast<AlterFunctionStmt*>(node)->actions);
      return true;
    case T_DefineStmt:
      CheckDefine(reinterpret_cast<DefineStmt*>(node));
      return true;
    case T_DropStmt:
      CheckDrop(reinterpret_cast<DropStmt*>(node), inside);
      return true;
    case T_CreateSchemaStmt:
      CheckCreateSchema(reinterpret_cast<CreateSchemaStmt*>(node), inside);
      return true;
    case T_GrantStmt:
      if (reinterpret_cast<GrantStmt*>(node)->objtype == OBJECT_LANGUAGE)
        RaiseNotTaken("a privilege on a language", "All roles may use SQL and PL/pgSQL, no others are shared.");
      return true;
    default:
      return false;
  }
}

[[noreturn]] void RaiseKind(Node* node) {
  switch (nodeTag(node)) {
    case T_CreateExtensionStmt:
      RaiseNotTaken("CREATE EXTENSION in a shared schema",
                    "Install it on each member before create_cluster, or into a schema that is not shared.");
    case T_RuleStmt:
      RaiseNotTaken("CREATE RULE", "Use a trigger, or a view with an INSTEAD OF trigger.");
    case T_CreateEventTrigStmt:
      RaiseNotTaken("CREATE EVENT TRIGGER", "It would run on this member only.");
    case T_CreateForeignTableStmt:
    case T_ImportForeignSchemaStmt:
      RaiseNotTaken("a foreign table", "Create it in a schema that is not shared.");
    case T_CreatePublicationStmt:
    case T_AlterPublicationStmt:
      RaiseNotTaken("a publication", "Members read the chain; other systems can read dadbs.changes.");
    default:
      RaiseNotTaken(GetCommandTagName(CreateCommandTag(node)), nullptr);
  }
}

}  // namespace

Kind KindOf(Node* node) {
  switch (nodeTag(node)) {
    case T_AlterTableStmt: {
      // Where a table lies on its disks is each member's own affair.
      ListCell* cell;
      foreach (cell, reinterpret_cast<AlterTableStmt*>(node)->cmds)
        if (lfirst_node(AlterTableCmd, cell)->subtype != AT_SetTableSpace) return Kind::kDefinition;
      return Kind::kSession;
    }
    case T_CreateStmt:
    case T_CreateForeignTableStmt:
    case T_CreateTableAsStmt:
    case T_CreateSeqStmt:
    case T_AlterSeqStmt:
    case T_ViewStmt:
    case T_IndexStmt:
    case T_CompositeTypeStmt:
    case T_CreateFunctionStmt:
    case T_AlterFunctionStmt:
    case T_CreateEnumStmt:
    case T_AlterEnumStmt:
    case T_CreateRangeStmt:
    case T_CreateDomainStmt:
    case T_AlterDomainStmt:
    case T_AlterTypeStmt:
    case T_DefineStmt:
    case T_CreateConversionStmt:
    case T_CreateOpClassStmt:
    case T_CreateOpFamilyStmt:
    case T_AlterOpFamilyStmt:
    case T_AlterOperatorStmt:
    case T_CreateCastStmt:
    case T_CreateTransformStmt:
    case T_CreateSchemaStmt:
    case T_ImportForeignSchemaStmt:
    case T_CreateExtensionStmt:
    case T_AlterExtensionContentsStmt:
    case T_CreateTrigStmt:
    case T_CreatePolicyStmt:
    case T_AlterPolicyStmt:
    case T_RuleStmt:
    case T_CreateStatsStmt:
    case T_AlterStatsStmt:
    case T_AlterTSDictionaryStmt:
    case T_AlterTSConfigurationStmt:
    case T_AlterCollationStmt:
    case T_CreatePublicationStmt:
    case T_AlterPublicationStmt:
    case T_CreateEventTrigStmt:
    case T_DropStmt:
    case T_CommentStmt:
    case T_RenameStmt:
    case T_AlterObjectSchemaStmt:
    case T_AlterObjectDependsStmt:
    case T_AlterOwnerStmt:
    case T_GrantStmt:
    case T_AlterDefaultPrivilegesStmt:
      return Kind::kDefinition;
    default:
      return IsRoleStatement(node) ? Kind::kDefinition : Kind::kSession;
  }
}

void CheckTaken(Node* node, bool inside) {
  CheckTriggerNames(node);
  if (IsRoleStatement(node)) {
    if (inside)
      ereport(ERROR, (errcode(kErrNotSupported),
                      errmsg("%s cannot run inside a transaction in the shared database",
                             GetCommandTagName(CreateCommandTag(node))),
                      errhint(kAloneHint)));
    return;
  }
  if (CheckDetailed(node, inside)) return;
  switch (nodeTag(node)) {
    case T_AlterSeqStmt:
    case T_CompositeTypeStmt:
    case T_CreateEnumStmt:
    case T_AlterEnumStmt:
    case T_CreateRangeStmt:
    case T_CreateDomainStmt:
    case T_AlterDomainStmt:
    case T_AlterOperatorStmt:
    case T_CreateTrigStmt:
    case T_CreatePolicyStmt:
    case T_AlterPolicyStmt:
    case T_CreateStatsStmt:
    case T_AlterStatsStmt:
    case T_CommentStmt:
    case T_RenameStmt:
    case T_AlterObjectSchemaStmt:
    case T_AlterOwnerStmt:
    case T_AlterDefaultPrivilegesStmt:
      return;
    default:
      RaiseKind(node);
  }
}

namespace {

// Copying takes less of the stack per level than analysing what is copied, by far less than the limits differ: what passes
// here with this much passes at the position with the 6 MB that the apply worker has.
constexpr char kNestingStack[] = "512kB";

// The body of a function in SQL is analysed with the statement.
List* ParseBody(Node* node) {
  if (!IsA(node, CreateFunctionStmt)) return NIL;
  const char *language = "", *body = nullptr;
  ListCell* cell;
  foreach (cell, reinterpret_cast<CreateFunctionStmt*>(node)->options) {
    auto* option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "language") == 0) language = defGetString(option);
    if (strcmp(option->defname, "as") == 0) body = strVal(linitial(castNode(List, option->arg)));
  }
  return body != nullptr && strcmp(language, "sql") == 0 ? raw_parser(body, RAW_PARSE_DEFAULT) : NIL;
}

}  // namespace

void CheckNesting(Node* node) {
  MemoryContext const context = CurrentMemoryContext;
  MemoryContext const scratch = AllocSetContextCreate(context, "dadbs nesting", ALLOCSET_DEFAULT_SIZES);
  pg_stack_base_t const base = set_stack_base();
  int const level = NewGUCNestLevel();
  (void)set_config_option("max_stack_depth", kNestingStack, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  volatile bool too_deep = false;
  MemoryContextSwitchTo(scratch);
  PG_TRY();
  {
    (void)copyObjectImpl(node);
    (void)copyObjectImpl(ParseBody(node));
  }
  PG_CATCH();
  {
    too_deep = geterrcode() == ERRCODE_STATEMENT_TOO_COMPLEX;  // others are the position's to tell
    FlushErrorState();
  }
  PG_END_TRY();
  MemoryContextSwitchTo(context);
  MemoryContextDelete(scratch);
  AtEOXact_GUC(true, level);
  restore_stack_base(base);
  if (too_deep)
    ereport(ERROR, (errcode(ERRCODE_STATEMENT_TOO_COMPLEX), errmsg("the statement is nested too deeply to be shared"),
                    errhint("Write it with fewer expressions inside each other.")));
}

namespace {

bool ConcernsShared(const ReindexStmt* reindex) {
  switch (reindex->kind) {
    case REINDEX_OBJECT_SCHEMA: return IsSharedSchemaName(reindex->name);
    case REINDEX_OBJECT_SYSTEM: return false;
    case REINDEX_OBJECT_DATABASE: return true;
    default: {
      ObjectAddress address;
      ObjectAddressSet(address, RelationRelationId, RangeVarGetRelid(reindex->relation, NoLock, true));
      return OidIsValid(address.objectId) && IsSharedObject(address);
    }
  }
}

// It gives the index another number and, while it runs and for ever where it is broken off, leaves one more here: that checks rows at
// once where the other is deferrable, goes on checking when the group has dropped the other, and is taken in its place where PostgreSQL
// takes the first that fits (a foreign key's parent, a part of a partitioned index, the names of copies). This member alone would.
void CheckReindex(const ReindexStmt* reindex) {
  ListCell* cell;
  foreach (cell, reindex->params) {
    auto* const option = lfirst_node(DefElem, cell);
    if (strcmp(option->defname, "concurrently") != 0 || !defGetBoolean(option)) continue;
    if (reindex->relation != nullptr && !ConcernsShared(reindex)) FixReindexed(reindex->relation);
    if (ConcernsShared(reindex)) RaiseNotTaken("REINDEX CONCURRENTLY", "dadbs.rebuild_table() builds a table's indexes anew on this member, while the others go on; so does REINDEX without CONCURRENTLY.");
  }
}

}  // namespace

bool ExplainsCreateTableAs(Node* node) {
  if (!IsA(node, ExplainStmt)) return false;
  Node* const query = reinterpret_cast<ExplainStmt*>(node)->query;
  if (query == nullptr || !IsA(query, Query)) return false;
  Node* const utility = reinterpret_cast<Query*>(query)->utilityStmt;
  return utility != nullptr && IsA(utility, CreateTableAsStmt);
}

void CheckLocal(Node* node) {
  if (IsA(node, TruncateStmt)) GuardTruncateEarly(node);
  if (IsA(node, ReindexStmt)) CheckReindex(reinterpret_cast<ReindexStmt*>(node));
  if (IsA(node, AlterTableStmt)) CheckMove(reinterpret_cast<AlterTableStmt*>(node));
  if (!ExplainsCreateTableAs(node)) return;
  Node* const utility = reinterpret_cast<Query*>(reinterpret_cast<ExplainStmt*>(node)->query)->utilityStmt;
  ListCell* cell;
  foreach (cell, reinterpret_cast<ExplainStmt*>(node)->options)
    if (strcmp(lfirst_node(DefElem, cell)->defname, "analyze") == 0 && defGetBoolean(lfirst_node(DefElem, cell)) &&
        Classify(utility).shared > 0)
      CheckCreateTableAs(reinterpret_cast<CreateTableAsStmt*>(utility));
}

}  // namespace dadbs::pg::ddl
