/*
 * row_relation.h: what key derivation and the row applier know of a relation, kept from transaction to transaction.
 *
 * A plan is found by qualified name, is valid as long as no invalidation of the relation or of what it depends on has
 * come, and is handed out only under RowExclusiveLock. It stays readable until ForgetStalePlans(), even if it turns
 * invalid: callers call that where they hold none. Postgres code: palloc, ereport.
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "row_encode.h"

extern "C" {
#include "postgres.h"
#include "access/attnum.h"
#include "access/skey.h"
#include "catalog/pg_index.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// A live column, in attnum order: how its values are read.
struct ColumnPlan {
  AttrNumber attno;
  Oid type;              // declared
  Oid base;              // without domains: values are read as this
  int32 typmod;          // of the base
  bool has_constraints;  // a domain with some
  bool generated;
  bool is_reference;      // regclass and its kin
  bool holds_references;  // inside of arrays or rows, or values of one member (aclitem)
  FmgrInfo input;
  Oid input_param;
  bool receivable;
  FmgrInfo receive;
  Oid receive_param;
};

// A unique, immediate, complete index: it makes a key. Columns in index order.
struct UniquePlan {
  Oid index;
  core::KeyHash identity;  // of the topmost index that it is a part of: goes in front of the values
  bool constant;           // values cannot be encoded: one key for the whole index
  bool nulls_equal;        // NULLS NOT DISTINCT
  int count;
  AttrNumber attnos[INDEX_MAX_KEYS];
  ValueEncoder encoders[INDEX_MAX_KEYS];
  Oid subtypes[INDEX_MAX_KEYS];  // for scan keys: the operator class's input type
  FmgrInfo equal[INDEX_MAX_KEYS];
  Oid collations[INDEX_MAX_KEYS];
};

// A foreign key of this relation. Columns in the order of the referenced index.
struct ForeignKeyPlan {
  Oid constraint;
  NameData name;
  bool on_insert, on_update;  // its triggers are not disabled
  bool match_full;
  Oid parent, parent_index;
  bool parent_partitioned;
  core::KeyHash identity;        // of the referenced index
  core::KeyHash parent_content;  // RelationContentKey
  bool constant;                 // see UniquePlan
  bool comparable;               // values can be encoded as the parent's are
  int count;
  AttrNumber attnos[INDEX_MAX_KEYS];         // here
  AttrNumber parent_attnos[INDEX_MAX_KEYS];  // there
  bool has_cast[INDEX_MAX_KEYS];
  FmgrInfo cast[INDEX_MAX_KEYS];  // to what the operator compares
  Oid subtypes[INDEX_MAX_KEYS];
  FmgrInfo equal[INDEX_MAX_KEYS];      // parent = child
  FmgrInfo own_equal[INDEX_MAX_KEYS];  // child = child
  bool own_cast[INDEX_MAX_KEYS];       // own_equal compares what `cast` gives
  Oid collations[INDEX_MAX_KEYS];
  ValueEncoder encoders[INDEX_MAX_KEYS];
};

// A foreign key that refers to this relation.
struct ParentPlan {
  Oid constraint;  // the topmost one
  NameData name;
  bool on_delete, on_update;
  bool has_action;  // CASCADE, SET NULL or SET DEFAULT
  bool may_leave_on_delete, may_leave_on_update;  // a trigger of the child may keep the action of the foreign key from being done
  bool of_key;                                    // its columns are the replica identity's
  Oid parent, child;  // the topmost constraint's: may be partitioned
  int count;
  AttrNumber attnos[INDEX_MAX_KEYS];         // here
  AttrNumber parent_attnos[INDEX_MAX_KEYS];  // in `parent`
  AttrNumber child_attnos[INDEX_MAX_KEYS];   // in `child`
  FmgrInfo parent_equal[INDEX_MAX_KEYS];     // parent = parent
  Oid child_equal[INDEX_MAX_KEYS];           // operator parent = child
  Oid collations[INDEX_MAX_KEYS];
};

struct SequencePlan {
  AttrNumber attno;
  Oid sequence;
  int64 start, increment;  // this member's own: its class of values
};

struct RelationPlan {
  MemoryContext context;
  bool valid;
  Oid relation;
  Oid owner;
  NameData schema, name;
  char kind;
  int natts;
  int column_count;
  ColumnPlan* columns;
  int unique_count;
  UniquePlan* uniques;
  int key;  // of the replica identity in uniques; -1: none
  int foreign_key_count;
  ForeignKeyPlan* foreign_keys;
  int parent_count;
  ParentPlan* parents;
  int sequence_count;
  SequencePlan* sequences;
  bool has_generated;
  bool has_index_expressions;  // or predicates
  bool has_user_types;  // some column's type is not built in
  bool has_contracts;   // triggers run contracts on its rows
  bool is_protected;    // only contracts write it
  core::KeyHash content_key;
  int schema_key_count;
  core::KeyHash* schema_keys;  // own definition first
  int dependency_count;
  Oid* dependencies;  // relations whose invalidation ends the plan; itself first
};

// Locked RowExclusive until the end of the (sub)transaction. Null: no such shared relation.
RelationPlan* FindPlan(const core::RelationName& name);
void ForgetStalePlans();

// How values of a type are read: all of a column but its number.
void PlanColumn(ColumnPlan* column, Oid type, int32 typmod);

// Hash of a name; the domains are in row_keys.cpp.
core::KeyHash NameKey(char domain, std::string_view schema, std::string_view name);

}  // namespace dadbs::pg
