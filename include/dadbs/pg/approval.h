/*
 * approval.h: what one member must not do alone, since it could switch off a contract, and how the members agree on it.
 *
 * Guarded is a table with a contract's trigger or a protection, the contract, and everything that the contract names. Its
 * definition is refused unless as many members have approved a proposal as the genesis asks for: early in the session, and
 * decisively at the position on every member. Where one member is enough (a cluster of one, approvals => 1) nothing is
 * guarded. src/pg/contract/guard.cpp says what needs approval, approval.cpp how it is given, protection.cpp how tables are
 * kept for contracts.
 */
#pragma once

#include "dadbs/core/certifier.h"
#include "dadbs/core/write_set.h"
#include "dadbs/pg/contract.h"

extern "C" {
#include "postgres.h"
#include "catalog/objectaddress.h"
#include "nodes/nodes.h"
#include "utils/relcache.h"
}

namespace dadbs::pg {

// -- guard.cpp. Postgres code: raises 42501 with a hint that names dadbs.propose.

// Before a definition is executed: what stands in its text. Remembers what is guarded for GuardObject, until EndGuard.
void BeginGuard(Node* statement);
void EndGuard() noexcept;
// The same in the session that orders it: so that its author hears at once.
void GuardEarly(Node* statement);
// In between, for each object: before it is dropped; after it was made or changed.
void GuardObject(const ObjectAddress& object, bool drop);
// Before a contract is deployed or dropped.
void GuardContract(const char* name);
// Before a table with contracts, or a protected one, is truncated; and in the session.
void GuardTruncate(const char* table);
void GuardTruncateEarly(Node* statement);

// -- protection.cpp. Postgres code.

// A row of a protected table that no contract has written: raises 42501.
[[noreturn]] void RaiseProtected(const char* table);
// CheckContractTrigger's part: raises if the trigger is a protection of another shape than protect_table() gives it.
void CheckProtection(HeapTuple trigger, TupleDesc columns, bool shared_table);

// -- approval.cpp

// In the apply worker, as ExecuteContractChange. `alone`: the write set holds nothing else. What was approved is executed in
// a subtransaction: its error is the proposal's, not the vote's.
void ExecuteProposalChange(const core::ProposalChange& change, const AtPosition& at, bool alone, core::KeyList* keys);
// What it is certified by: two that would get the same number conflict; votes commute.
void ProposalKeys(const core::ProposalChange& change, core::KeyList* keys);
// While an approved proposal is executed: nothing is guarded.
bool CarryingOut();

}  // namespace dadbs::pg
