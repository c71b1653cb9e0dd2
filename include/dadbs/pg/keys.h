/*
 * keys.h: the keys of a write set, as certification compares them. Each member derives them in its own catalogs at the
 * position: a list that the origin sends could leave one out. src/pg/apply/row_keys.cpp says which and why.
 *
 * Key hashes are the same on all members: names and canonical values go in, never OIDs (SipHash-128 keyed by the
 * chain).
 */
#pragma once

#include <span>
#include <string_view>

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"

namespace dadbs::pg {

// What rows of this definition refer to (schema_keys) and DDL on the table writes (kExistence).
core::KeyHash RelationDefinitionKey(std::string_view schema, std::string_view name);
// What rows refer to (row_keys) and TRUNCATE writes (kExistence): compared with the base, not with the schema base.
core::KeyHash RelationContentKey(std::string_view schema, std::string_view name);

// What is known of a write set once its keys are.
struct WriteSetNature {
  bool contracts = false;  // one of its tables has contracts
  bool misfit = false;     // a row of an unknown relation, or not of its columns, or of a table without a key: no rows to commit unseen
  bool may_leave_children = false;  // a key has gone, and a trigger may have kept what refers to it from going, too
};

// In a transaction, before anything of the write set is applied. Appends to both lists, normalized. 'Q' and 'S'
// changes give nothing here (DdlKeys, by DDL's owner). What names an unknown relation or does not fit its columns
// gives its definition key only: either that conflicts, or applying it fails. Values that cannot be read throw
// PgError (class 22): an honest origin sends none, so the verdict is `invalid`; unless the definition keys, which are
// appended first, conflict.
WriteSetNature DeriveKeys(const core::WriteSetView& write_set, core::KeyList* row_keys, core::KeyList* schema_keys);

// What a contract has done to a row: both versions whole, as canonical 'I' changes; one of them may be empty.
struct EffectVersions {
  core::ByteView before, after;
};
// Afterwards, since the table does not have the old versions any more. Appends all keys to one list: nothing is compared.
void DeriveEffectKeys(std::span<const EffectVersions> effects, core::KeyList* keys);

}  // namespace dadbs::pg
