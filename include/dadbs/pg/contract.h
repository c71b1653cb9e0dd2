/*
 * contract.h: contracts: code in SQL or PL/pgSQL that every member runs at a transaction's position, so that nobody has to be
 * believed (design.md, section 7).
 *
 * A contract is a function in the schema dadbs_contract, which nobody may use but the apply worker, and rows of
 * dadbs_internal.contract_version, one for each version and for its end. Both are made at the position of a 'K' change;
 * inside the author's transaction also early, as definitions are. src/pg/contract/ says how.
 */
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dadbs/core/certifier.h"
#include "dadbs/core/types.h"
#include "dadbs/core/write_set.h"

extern "C" {
#include "postgres.h"
#include "storage/itemptr.h"
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

// A row that a write set has changed in a table with contracts; found again by its place, as Postgres's own AFTER triggers do.
struct ContractEvent {
  Oid relation;
  char op;  // 'I', 'U', 'D'
  ItemPointerData old_tid, new_tid;
};
struct ContractEvents {
  const ContractEvent* items = nullptr;
  int count = 0;
};

// What ran for a transaction: a call, or all runs of one contract that its rows, or others' writes, fired.
struct ContractRun {
  std::string contract;
  bool called = false;
  int64_t runs = 0;
  int64_t statements = 0;
  std::optional<std::string> result;  // of a call; none: NULL
};
inline constexpr size_t kResultBytesMax = 65536;
inline constexpr int kCallsMax = 1000;  // in one transaction

// -- registry.cpp

// In the apply worker, as ExecuteDdlAtPosition: appends the keys that were written.
void ExecuteContractChange(const core::ContractChange& change, const AtPosition& at, core::KeyList* keys);
// Before it runs: what it is certified by. Two that replace the same contract conflict.
void ContractKeys(const core::ContractChange& change, core::KeyList* keys);

// -- triggers.cpp
// After a trigger was made or changed. Postgres code: raises if it runs a contract and cannot.
void CheckContractTrigger(Oid trigger, bool shared_table);

// -- run.cpp

// In the apply worker, after the rows of the transaction are applied and checked: runs the contracts of each, in order. What
// they write is in the tables, in dadbs_internal.contract_effect, and its keys in `keys`. Throws PgError.
void RunContracts(const ContractEvents& events, const AtPosition& at, core::KeyList* keys);
// After an error, when the local transaction is rolled back.
void ForgetContracts() noexcept;

// -- compiled.cpp. In the apply worker: what PL/pgSQL has compiled is compiled again.
// Around a definition.
void ForgetCompiled() noexcept;
// What a definition has written was rolled back.
void ForgetCompiledInVain() noexcept;
// The definition has created this function. Postgres code.
void ForgetCreated(Oid function);

// -- call.cpp
// In the apply worker: calls of one transaction, in order, each by its caller's right. As RunContracts.
void RunCalls(std::span<const core::CallChange> calls, const AtPosition& at, core::KeyList* keys);

// -- runs.cpp
// What ran up to now: after an error, before the local transaction is rolled back. It stands in the history of a refused one.
std::vector<ContractRun> TakeContractRuns();
void WriteContractRuns(const AtPosition& at, std::span<const ContractRun> runs);

// -- sandbox.cpp
// From _PG_init, after the others. The hooks do nothing but while contracts run.
void InitContracts();
// In the apply worker, before it begins.
void PrepareContracts();
// A function that is not built in is about to be called: refused if contracts must not run it.
void CheckContractCall(Oid function);
bool ContractsRunning();

}  // namespace dadbs::pg
