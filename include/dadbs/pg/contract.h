/*
 * contract.h: contracts: code in SQL or PL/pgSQL that every member runs at a transaction's position, so that nobody has to be
 * believed (design.md, section 7).
 *
 * A contract is a function in the schema dadbs_contract, which nobody may use but the apply worker, and rows of
 * dadbs_internal.contract_version, one for each version and for its end. Both are made at the position of a 'K' change;
 * inside the author's transaction also early, as definitions are. src/pg/contract/ says how.
 */
#pragma once

#include <string_view>

#include "dadbs/core/certifier.h"
#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"

extern "C" {
#include "postgres.h"
}

namespace dadbs::pg {

inline constexpr char kContractSchema[] = "dadbs_contract";  // the functions that run
inline constexpr char kContractsSchema[] = "contracts";      // CREATE on it: may deploy

// The transaction at whose position something is executed.
struct AtPosition {
  core::Position position;
  core::TransactionId id;
  int64_t block_time_us = 0;
  std::string_view user;  // of the session, as the origin claims
};

// -- registry.cpp

// In the apply worker, as ExecuteDdlAtPosition: appends the keys that were written.
void ExecuteContractChange(const core::ContractChange& change, const AtPosition& at, core::KeyList* keys);
// Before it runs: what it is certified by. Two that replace the same contract conflict, and so do rows of tables that use it.
void ContractKeys(const core::ContractChange& change, core::KeyList* keys);

}  // namespace dadbs::pg
