/*
 * hold_internal.h: what the files of the commit hold share. Everything here runs in the client's backend.
 */
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dadbs/core/types.h"
#include "dadbs/pg/capture_messages.h"
#include "dadbs/pg/ipc.h"

struct PlannedStmt;

namespace dadbs::pg {

// ---- count.cpp: what the open transaction changed

struct TransactionChanges {
  std::vector<RelationCount> relations;  // those that capture may meet, shared or not
  uint64 shared_rows = 0;
  bool shared = false;       // rows or TRUNCATE of a shared relation
  bool needs_replay = false; // TRUNCATE, or a relation that has no fast path
  bool large_objects = false;
  bool temporary = false;    // rows of temporary tables
  Oid local = 0;             // a permanent local table that was written, or 0
  Oid without_key = 0;       // a shared one that was updated or deleted from without a key
};

// False at once when no user table was touched: read-only, or temporary tables.
bool AnyRowsCounted();
TransactionChanges CountChanges();

// Changes that travel as 'C' messages, and definitions that don't (hold.h); they roll back with their subtransaction.
void AddEmitted();
uint32 EmittedChanges();
bool AnyLocalDefinition();
void EndSubtransactionOfCounts(bool committed) noexcept;
void ForgetCounts() noexcept;
// ExecutorStart: foreign tables and shared ones are not written in one transaction: the foreign server's callback
// commits before ours. Raises.
void CheckForeignWrites(const PlannedStmt* statement);

// ---- doom.cpp: losing to the holder of the turn

bool Doomed();               // of the transaction that runs now
void ClearDoom() noexcept;   // at its end
void InstallDoomHooks();
[[noreturn]] void ThrowLost();
extern bool counts_were_off;           // something ran while track_counts was off
extern bool replica_role_was_set;      // something ran under another session_replication_role, or toast compression

// ---- wait.cpp: the slot, and waiting for what it says; hold.cpp: the transaction

struct SlotView {
  SlotState state;
  bool doomed;
  bool no_fast_path;
  Outcome outcome;
};

struct HoldRequest {
  HoldKind kind;
  bool no_fast_path = false;
  uint64 rows_counted = 0;
  FullTransactionId xid = {};
};

void EnsureExitCallback();
core::ByteView SharedSecret();
void SendToCapture(const core::Bytes& message);  // into the WAL, flushed
void ResumeCancels() noexcept;                 // of a call that was committed (lone_calls.cpp)
void EndHeldTransaction() noexcept;            // what this process remembers of the transaction

uint32 BeginHold(const HoldRequest& request);  // -> kCapturing; the number of the hold
SlotView Look();
bool LeaveBeforeHandOver();                    // kCapturing -> kIdle; false: handed over
bool Release();                                // kHandedOver -> kReleased; false: something else has happened
void LeaveDone();                              // kDone -> kIdle
void AbandonHold() noexcept;                   // the client does not wait: the chain and replay decide
void AwaitChange(const SlotView& seen);        // until the latch is set; throws when the client stops waiting
[[noreturn]] void ThrowRefusal();              // kDone, kRefused: the verdict, slot idle
void RememberId();                             // for last_transaction_id()
[[noreturn]] void ThrowUnknown(const char* why);  // 40003
void RequireWritable();                        // throws when this member takes no writes now
int64 UnixMicros(TimestampTz t);
std::string SessionUserName();

// ---- release.cpp: internal abort (recipe R2)

// Rolls the open transaction back inside PRE_COMMIT, waits for what replay makes of it, and returns in a new, empty
// transaction if it was committed; throws otherwise. `turn_lost`: the slot is in kTurn, to be given back.
void AbortInternally(bool turn_lost, bool lost_writes);
void RequireInternalAbort();  // throws where it is not possible
bool InInternalAbort();
bool CalledPgNotify();  // as a function: it would not be given again
void InstallSessionStateHooks();

}  // namespace dadbs::pg
