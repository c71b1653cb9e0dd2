/*
 * sharing.h: what is shared with the group, and what identifies its rows.
 *
 * Shared is what stands in a shared schema: a user schema (not pg_*, information_schema, dadbs, dadbs_internal) that
 * the genesis names, or any one if it names none. Of its tables: ordinary and partitioned ones that are permanent and
 * that dadbs_internal.local_relation doesn't name. Everything is false on a member that is not configured, and in any
 * other database of the server.
 *
 * All of these are Postgres code: they may ereport(ERROR), so C++ with live destructors calls them in Call(). They
 * need a transaction (without one: false); capture calls them under a historic snapshot. A hit is one hash probe.
 * dadbs.set_local() and what else writes dadbs_internal.local_relation sends a relcache invalidation of the table.
 */
#pragma once

extern "C" {
#include "postgres.h"
#include "catalog/objectaddress.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// This database is the shared one of a configured member. No catalog access.
bool SharingActive();

bool IsSharedSchema(Oid schema);
bool IsSharedSchemaName(const char* schema);
// Rows of it are shared: relkind r or p.
bool IsSharedRelation(Oid relation);
// Any object of DDL. Tables as above; indexes, triggers, constraints, rules, policies, defaults and owned sequences as
// their table; other objects (views, sequences, types, functions, operators, ...) by their schema; schemas themselves.
// False for what is in no schema (roles, casts, ...) and for what does not exist.
bool IsSharedObject(const ObjectAddress& object);

// The index that identifies the rows of UPDATE and DELETE, as WAL names them: the relation's replica identity now.
// Invalid if there is none: then it takes INSERTs and TRUNCATEs only.
Oid KeyIndexOf(Relation relation);
// Cached KeyIndexOf() != InvalidOid.
bool HasKey(Oid relation);

// What ALTER TABLE ... REPLICA IDENTITY should say about this table: DEFAULT where there is a primary key; else USING
// INDEX with the first by name of the unique, immediate, complete indexes over NOT NULL columns. DDL sets it at the
// position.
struct ReplicaIdentity {
  char type;  // REPLICA_IDENTITY_DEFAULT, REPLICA_IDENTITY_INDEX
  Oid index;  // of REPLICA_IDENTITY_INDEX
};
ReplicaIdentity WantedReplicaIdentity(Relation relation);
bool HasWantedReplicaIdentity(Relation relation);

// regclass and its kin: their values are OIDs of this member.
bool IsObjectReference(Oid type);
// Its values cannot be read by others: they name roles of this member (aclitem), or the type takes no input (pg_node_tree).
bool IsOfOneMember(Oid type);
// Whether the type, or one that it is made of (elements, columns, bounds, a domain's base), is wanted.
bool AnyPart(Oid type, bool (*wanted)(Oid));
// The type is one of these two kinds, or made of them (arrays, composites, ranges, domains).
bool HoldsObjectReference(Oid type);

// A built-in function that is declared immutable, and gives the numbers that this member's catalogs have for types and labels.
bool ShowsCatalogNumbers(Oid function);

// Whether a transaction that writes this relation must be replayed from the block at its origin too (no fast path):
// its CHECKs, domains, generated columns or indexes call something that is not known to give the same in the session
// and in the apply worker (user-defined functions), or let values in that the apply worker would refuse (domains that
// are NOT NULL or NOT VALID, references to objects that the others don't have). Cached.
bool RelationNeedsReplay(Oid relation);

// As the catalogs say: the relation cache would evaluate what is constant in them, and a session may not be allowed to.
bool IsPartial(Relation index);
bool HasExpressions(Relation index);

// Triggers of this table run contracts (EXECUTE FUNCTION dadbs.contract): the apply worker does. As the relation cache has it.
bool HasContractTriggers(Relation relation);
// Only contracts write this table (a trigger EXECUTE FUNCTION dadbs.protected_table): the apply worker refuses others.
bool HasProtection(Relation relation);
// One of the two, so its rows are replayed. Cached.
bool RelationHasContracts(Oid relation);
// dadbs.contract, the function of such triggers; invalid: the extension is not here.
Oid ContractMarker();
// dadbs.protected_table, likewise.
Oid ProtectionMarker();

// While an expression of a shared table is evaluated by the apply worker: a query in it that reads or writes tables is
// refused (0A000). Nests. Errors leave it as it is: the end of a transaction, the applier after an error, and the
// beginning of a definition at a position reset it.
void EnterExpression();
void LeaveExpression();
void ResetExpressions();

// Around each call of a function that is not built in, while definitions or positions are executed: 54000 beyond a depth that is
// the same on all members (own_failure.cpp). A call during the execution of a definition is an expression, too.
void BeginFunction(bool of_definition);
void EndFunction(bool of_definition);
bool InsideFunction();

// ExecutorStart: refuses UPDATE, DELETE and MERGE on shared relations without a key (55000), and queries in
// expressions.
void InitSharingHooks();

}  // namespace dadbs::pg
