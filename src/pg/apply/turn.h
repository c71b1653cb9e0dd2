/*
 * turn.h: the apply worker's side of the slots: granting turns, watching them, answering those that wait.
 * The state machine and the backend's side are described in dadbs/pg/apply.h.
 */
#pragma once

#include <string>
#include <unordered_map>

#include "dadbs/core/types.h"
#include "dadbs/pg/ipc.h"

namespace dadbs::pg {

// Steps shared->applied and wakes its waiters. By the one who holds the position only.
void StepApplied(core::Prefix to) noexcept;
// Where the tables are at the start: consensus compares its journal with that before it signs anything.
void PublishTables(core::Prefix at);

// What holds the chain up here, for dadbs.status; empty: nothing.
void SetApplyReason(const char* reason);

// A local backend that waits for a transaction of the chain.
struct LocalWaiter {
  int procno = -1;
  uint32 hold = 0;
  explicit operator bool() const { return procno >= 0; }
};

// The waiting backends by their transaction's (incarnation, number), as the slots say now.
class LocalWaiters {
 public:
  void Scan(core::NodeId self);
  LocalWaiter Find(uint64_t incarnation, uint64_t number) const;

 private:
  struct Key {
    uint64_t incarnation, number;
    bool operator==(const Key&) const = default;
  };
  struct Hasher {
    size_t operator()(const Key& k) const { return k.number * 0x9E3779B97F4A7C15ull ^ k.incarnation; }
  };
  std::unordered_map<Key, LocalWaiter, Hasher> waiters_;
};

// What stands in the slot of a waiter now.
enum class WaiterState {
  kGone,      // another hold, or nobody waits any more
  kHolds,     // handed over with these very bytes, keeps its locks, may take the turn
  kLetsGo,    // waits for the replay's outcome, or is about to
  kStranger,  // waits under this id with other bytes: its own are not on the chain
};
WaiterState LookAtWaiter(const LocalWaiter& waiter, const core::Digest& identity);

struct Grant {
  LocalWaiter waiter;
  core::Position position;
  core::Prefix applied_after;
  int next_procno = -1;           // the successor in the chain
  core::ByteView keys;            // inline, or
  dsm_handle keys_segment = DSM_HANDLE_INVALID;
};
bool GrantTurn(const Grant& grant);  // false: doomed or gone meanwhile; the position has to be replayed

enum class TurnState { kPending, kCommitted, kLost };
TurnState LookAtTurn(const Grant& grant);

// Takes back all turns of an earlier worker set. False: some backend is still committing.
bool RevokeTurns();

void Doom(const LocalWaiter& waiter);

struct Answer {
  Outcome outcome = Outcome::kNone;
  int sqlstate = 0;
  std::string message, detail, hint;
  core::Position position;  // kCommitted: where
};
// For whoever still waits in kHandedOver or kReleased; a late answer is dropped.
void AnswerWaiter(const LocalWaiter& waiter, const Answer& answer);

// Waiters of incarnations below `incarnation` whose transactions are not on the chain: they never will be.
void CloseIncarnations(core::NodeId self, uint64_t incarnation);

}  // namespace dadbs::pg
