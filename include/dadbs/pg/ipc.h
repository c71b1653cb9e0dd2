/*
 * ipc.h: the shared memory of one member. One cluster of processes serves one database:
 *
 *   launcher   starts the workers as one set, restarts them as one set, and is the watcher of lock waits
 *   capture    decodes open transactions that wait in COMMIT; writes write sets into the queue to consensus
 *   consensus  replica, libuv, journal; reads the queue; publishes what is durable and delivered
 *   apply      reads the journal behind consensus, certifies, applies, grants turns to local backends
 *   blocks     reads old blocks from the history for members that catch up; consensus asks, and sends what it reads
 *   backends   hold their COMMIT in a slot
 *
 * The worker set has a generation, new at each start of the set. Consensus starts a new incarnation each time, so what
 * was open in an older one is closed by the chain, and waiting backends learn their outcome from that.
 *
 * BackendSlot: one per PGPROC (index = pgprocno). Who writes which field, all under `mutex` (spinlock: no Postgres call
 * but latch setting after its release):
 *   backend    state Idle->Capturing, Turn->Committing, any->Released, ->Idle; xid, hold data
 *   capture    state Capturing->HandedOver, identity, base; or outcome "refused" (->Done)
 *   consensus  id (when numbered); outcome for closed incarnations (->Done)
 *   apply      HandedOver->Turn with position; Released/HandedOver->Done with the verdict
 *   watcher    doomed
 * `hold` is incremented by the backend for each hold; whoever answers compares (procno, hold): a late answer to a
 * backend that is gone is dropped. The signal or latch is only a wake-up; the slot is the truth.
 */
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
#include "postgres.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/s_lock.h"
#include "storage/spin.h"
}

namespace dadbs::pg {

inline constexpr int kNodesShownMax = 64;  // no server is a member of a cluster with more
inline constexpr size_t kHistoryPieceBytes = 256u << 10;
inline constexpr size_t kCaptureQueueBytes = 4u << 20;  // shm_mq; larger write sets stream through it
inline constexpr size_t kBlockQueueBytes = 1u << 20;    // shm_mq; larger blocks stream through it
inline constexpr int kVotesKept = 64;
inline constexpr size_t kReasonBytes = 512;
inline constexpr size_t kTurnKeysInlineBytes = 1024;

enum class SlotState : uint32 {
  kIdle = 0,     // executing, or nothing; `doomed` may be set for `doomed_transaction`
  kCapturing,    // the ready message is written; capture has not answered. Locks are held.
  kHandedOver,   // capture has sent the write set and fixed its base. Locks are held.
  kTurn,         // apply has granted the position: validate, write the history row, commit
  kCommitting,   // past the point of return; ends in XACT_EVENT_COMMIT
  kReleased,     // handed over, then aborted internally (doomed, or no fast path): apply's replay decides
  kDone,         // outcome is in; the backend has not read it yet
};

enum class HoldKind : uint8 { kRows = 1, kLoneDdl = 2, kCalls = 3 };

enum class Outcome : uint8 {
  kNone = 0,
  kCommitted,    // applied and visible here
  kRefused,      // sqlstate, message, detail, hint say why; it is not, and never will be, on the chain or lost there
  kFastPathLost, // turn taken back
  kNothing,      // capture found that no shared row has changed in the end: commit without the chain
};

struct BackendSlot {
  slock_t mutex;
  SlotState state;
  bool doomed;               // must let go of its locks for the holder of the turn
  uint64 doomed_transaction;        // VirtualId
  uint64 schema_floor_transaction;  // VirtualId of what ran while definitions changed (PublishSchemaPosition) ...
  uint64 schema_floor;       // ... so it may have seen only those of this Prefix
  uint32 hold;               // generation of this hold
  HoldKind kind;
  bool no_fast_path;         // the write set must be replayed (DDL, TRUNCATE, replica role, ...): release at hand-over
  int pid;
  FullTransactionId xid;     // top xid; Invalid for lone DDL and calls
  TimestampTz held_since;
  TimestampTz state_since;
  uint64 rows_counted;       // by the backend, shared relations only
  uint64 rows_captured;      // by capture; must be equal
  uint64 schema_base;        // Prefix
  uint64 base;               // Prefix, fixed by capture at the hand-over
  uint8 identity[32];        // WriteSetIdentity of the bytes handed over
  uint16 id_origin;          // TransactionId, 0 until numbered
  uint64 id_incarnation;
  uint64 id_number;
  uint64 height;             // position, once known
  uint32 index;
  uint64 applied_after;      // the turn: Prefix to publish when it has committed
  int next_procno;           // the turn: who waits for this one, or -1
  uint32 keys_length;        // the turn: EncodeKeys for the history row, here or in keys_segment when longer
  dsm_handle keys_segment;
  uint8 keys[kTurnKeysInlineBytes];
  Outcome outcome;
  int sqlstate;
  char message[512];
  char detail[512];
  char hint[256];
};

// The stages of dadbs.stat_stages.
enum Stage : int {
  kStageCapture = 0, kStageBatch, kStagePropose, kStagePrepare, kStageCommit, kStageJournal, kStageCertify, kStageTurn,
  kStageLocalCommit, kStageApply, kStages
};
struct StageStat { pg_atomic_uint64 count, sum_us, max_us; };

enum ConflictKind : int {
  kConflictKey = 0, kConflictBaseTooOld, kConflictSchema, kConflictLock, kConflictRejected, kConflictInvalid, kConflictCaptureRestart,
  kConflictKinds
};

// What is known of each member; written by consensus under Shared::lock.
struct NodeStatus {
  uint16 id;
  char name[NAMEDATALEN];
  char address[256];
  uint8 key[32];
  bool connected, is_primary;
  uint64 committed, applied;
  TimestampTz last_seen, connected_since;
  uint64 bytes_sent, bytes_received, queued_bytes;
  uint64 digest_height;       // of the last digest that it has signed; 0: none known
  uint8 digest[32];
  char reason[kReasonBytes];
};

// What one member did wrong, of one kind.
inline constexpr size_t kFaultKindBytes = 64;
inline constexpr uint32 kFaultsMax = 256;
struct FaultCount {
  uint16 node;  // 0: a stranger
  char kind[kFaultKindBytes];
  uint64 count;
  TimestampTz first_at, last_at;
};

// A piece of a peer's history, for the one process that asks at a time (verify/peer_history.h). It writes the question, then `request`;
// consensus the answer, then `answered`: each is read by the other only when it is complete, and changed only after it was read.
struct HistoryFetch {
  pg_atomic_uint64 owner;     // its pid; 0: nobody asks
  pg_atomic_uint64 request;   // number of the last question; never taken back
  pg_atomic_uint64 attempts;  // counted whenever a question is to go out, again or for the first time
  int procno;
  uint16 peer;
  uint8 part;                 // core::HistoryPart
  uint64 from, offset;
  pg_atomic_uint64 answered;  // number of the question whose answer follows
  uint64 next, next_offset;
  uint32 bytes;
  uint8 data[kHistoryPieceBytes];
};

// That this member has come to something else than the others, or that nobody can tell who has; once found, it stays.
struct Divergence {
  uint64 height;              // where it was noticed; 0: not found
  uint64 agreed;              // here it still had the same as a quorum
  bool no_quorum;
  uint8 chain_id[32];         // of the chain in which it was found
};

// A verification or rebuild of tables that runs; written by its session under Shared::lock. Free: pid 0, or nobody's.
struct TableWork {
  int pid;
  char operation[16], phase[32], table[2 * NAMEDATALEN + 8];
  uint64 done, total;
  TimestampTz since;
};
inline constexpr int kTableWorksMax = 8;

// How far this member is behind and what it does about it; written by consensus under Shared::lock.
struct CatchUp {
  uint64 target;              // height; 0: it is not behind
  uint64 milliblocks_per_second;
  TimestampTz since;
  bool waits_for_apply;
  char servers[256], servers_left[256];
};

enum class MemberState : uint32 {
  kUnconfigured = 0,  // no cluster created or joined
  kStarting,          // workers are coming up
  kJoining,           // asks the founder for the genesis
  kReplaying,         // applies what the journal held at start; reads wait
  kWaitingForQuorum,  // fewer than q members connected: no writes
  kCatchingUp,        // behind the others
  kRejoining,         // it may have forgotten what it signed: no votes, no writes, until it has come back
  kReady,
  kDiverged,          // its tables differ from what the others have come to: it votes and can be read, and takes no writes
  kJournalFailing,    // the journal cannot be written (disk full, I/O error): no votes, no writes, tried again
  kHalted,            // a broken invariant or a damaged journal: `reason` says which
};

struct Shared {
  LWLock* lock;                       // nodes[], member_reason, halted text
  // -- the worker set; launcher
  pg_atomic_uint32 generation;        // of the set; odd-free: any change means "restarted"
  pg_atomic_uint64 capture_from_xid;  // capture decodes the transactions that got this full xid or a later one; 0: none
  PGPROC* volatile launcher;
  PGPROC* volatile capture;
  PGPROC* volatile consensus;
  PGPROC* volatile apply;
  PGPROC* volatile blocks;
  pg_atomic_uint32 database;          // Oid of the shared database, 0: unconfigured
  pg_atomic_uint32 member_state;      // MemberState
  char member_reason[kReasonBytes];
  char capture_reason[kReasonBytes];  // for whom capture waits before it can start; under lock
  char worker_error[kReasonBytes];    // why the worker set ends: the first error of its workers; under lock
  pg_atomic_uint32 replay_done;       // reads may be answered
  pg_atomic_uint32 configure_requests;  // bumped by create_cluster/join_cluster/leave: the launcher reads member.conf again
  pg_atomic_uint32 isolate_request;   // 1: links cut
  pg_atomic_uint64 deaf_request;      // bit id - 1: what this peer sends is lost (tests)
  pg_atomic_uint32 joining_database;  // Oid of the database that is to be shared, until there is a genesis
  pg_atomic_uint32 join_refused;      // what the founder offers does not fit: member_reason says why
  uint8 secret[32];                   // per start: MAC of DDL messages
  LWLock* xid_lock;                   // the file of xids.h
  pg_atomic_uint64 xid_ceiling;       // of transaction ids that may have been told; 0: not read yet
  pg_atomic_uint32 xids_used_up;      // those that may have been told before this start are not given again
  uint16 self_id;
  uint8 chain_id[32];
  uint32 sequence_stride;
  uint32 approvals;                   // members that must approve what would switch off contracts (genesis)
  // -- consensus publishes
  pg_atomic_uint64 durable_generation, durable_offset;  // JournalPosition: written offset first, read generation-offset-generation
  slock_t durable_mutex;              // protects the pair
  pg_atomic_uint64 delivered_height;  // certified and journaled here
  pg_atomic_uint64 replay_target;     // height in the journal at start
  pg_atomic_uint64 network_height;    // the highest certified height that a peer claimed
  pg_atomic_uint64 incarnation;       // mine, open
  pg_atomic_uint32 can_write;         // 0: refuse before the hand-over
  pg_atomic_uint32 primary_id;
  pg_atomic_uint64 view;
  pg_atomic_uint32 node_count;
  NodeStatus nodes[kNodesShownMax];
  CatchUp catch_up;
  TableWork table_work[kTableWorksMax];
  char waiting_for[kReasonBytes];     // what consensus waits for and for whom; under lock
  pg_atomic_uint64 refused_peers, rejected_messages, wrong_answers, missed_answers, journal_bytes, journal_syncs;
  // What consensus wants from the blocks worker: one order at a time, answered through block_queue.
  slock_t block_order_mutex;          // protects the six
  uint64 block_order, block_order_from;
  uint32 block_order_count;           // 0: a piece of the history
  uint8 block_order_part;             // core::HistoryPart
  uint64 block_order_offset, block_order_number;  // the peer's number
  HistoryFetch history_fetch;
  // What apply wants consensus to have ordered: the last votes_cast votes, by number modulo kVotesKept (apply/impasse.h).
  slock_t vote_mutex;                 // protects the two
  uint64 votes_cast;
  struct { uint64 height; uint32 index; bool can; } votes[kVotesKept];
  pg_atomic_uint32 impasse;           // apply waits for votes: blocks are fetched however far it is behind
  // -- blocks publishes; consensus forgets the digests and `divergence_known` at its start
  pg_atomic_uint64 blocks_served, block_bytes_served;
  slock_t digest_mutex;               // protects the two
  uint64 digest_height;               // of this member's last digest, which is durable
  uint8 digest[32];
  pg_atomic_uint32 divergence_known;  // what earlier processes have found stands in `divergence`
  Divergence divergence;              // under lock; consensus writes it when it is found
  // -- consensus counts, since the server was started; under lock
  uint32 fault_count;
  FaultCount faults[kFaultsMax];
  // -- apply publishes
  pg_atomic_uint64 tables;            // Prefix: where the tables were when this server started; 0: not known yet
  pg_atomic_uint64 applied;           // Prefix: visible to every new snapshot; stepped by apply and by turn holders
  ConditionVariable applied_changed;  // broadcast after each step if applied_waiters
  pg_atomic_uint32 applied_waiters;
  pg_atomic_uint64 applied_awaited;   // height that consensus waits for; 0: for none
  pg_atomic_uint64 own_incarnation_height;  // of the entry that began own_incarnation; written first, read last
  pg_atomic_uint64 own_incarnation;   // the last one of mine whose entry is applied: what older ones left open never comes
  pg_atomic_uint64 schema_position;   // Prefix of the last position that changed a definition
  pg_atomic_uint64 durable_applied_height;  // WAL of everything up to here is flushed: the journal may be cut
  char apply_reason[kReasonBytes];    // "block 7 is retried: ..." or empty; under lock
  pg_atomic_uint32 apply_busy;        // something may wait for a lock: the watcher looks
  pg_atomic_uint32 watcher_sleeping;
  pg_atomic_uint64 turn_waiting_pid;  // whose turn apply waits for; 0: nobody's. The watcher looks
  pg_atomic_uint32 history_damaged;   // the keys in the history cannot be read: nothing is applied until a session has mended it
  pg_atomic_uint32 outcomes_mended;   // a session has written others over this member's outcomes, or was about to: the worker set begins anew
  pg_atomic_uint64 pause_pid;         // the session for which apply is to stand still between two positions; 0: for none
  pg_atomic_uint64 paused_for;        // the session for which it does; that session then has the turn, and the watcher clears its way
  StageStat stages[kStages];
  pg_atomic_uint64 conflicts[kConflictKinds];
  pg_atomic_uint64 transactions_committed, transactions_lost, internal_aborts, fast_path_commits, replayed_local;
  int slot_count;
  BackendSlot slots[FLEXIBLE_ARRAY_MEMBER];
};

extern Shared* shared;              // null where the library is not preloaded
extern void* capture_queue;         // kCaptureQueueBytes for shm_mq_create, after the slots
extern void* block_queue;           // kBlockQueueBytes, after that

Size SharedBytes();
void RequestShared();               // from shmem_request_hook
void AttachShared();                // from shmem_startup_hook

// A transaction of the process that has this PGPROC now. The local id alone comes again when another process takes it.
inline uint64 VirtualId(const PGPROC* proc, LocalTransactionId lxid) {
  return LocalTransactionIdIsValid(lxid) ? static_cast<uint64>(proc->backendId) << 32 | lxid : 0;
}

BackendSlot* MySlot();              // this process's
BackendSlot* SlotOf(int procno);
// Holds a slot's mutex. No Postgres call and no throw while one lives.
class SlotGuard {
 public:
  explicit SlotGuard(BackendSlot* slot) : slot_(slot) { SpinLockAcquire(&slot_->mutex); }
  ~SlotGuard() { SpinLockRelease(&slot_->mutex); }
  SlotGuard(const SlotGuard&) = delete;
  SlotGuard& operator=(const SlotGuard&) = delete;

 private:
  BackendSlot* slot_;
};

void WakeSlot(int procno);          // SetLatch of the PGPROC
void WakeWorker(PGPROC* volatile* worker);
void AddStage(Stage stage, int64 micros);
MemberState GetMemberState();
// "what, and for whom": under lock; consensus and launcher call it.
void SetMemberState(MemberState state, const char* reason);
const char* MemberStateName(MemberState state);

// The frame in the capture queue, in front of the write set's bytes. What is longer than a chunk goes on in messages
// without a frame: the receiver's end of an shm_mq keeps for ever a buffer as long as its longest message.
inline constexpr size_t kCaptureChunkBytes = 512u << 10;
struct CaptureMessage {
  uint32 procno;
  uint32 hold;
  uint8 kind;  // HoldKind
  uint8 pad[7];
  int64 captured_at_us;
  uint64 bytes;  // of the write set
};

// The same in the block queue: then come the bytes of a frame for the peer, chunk by chunk.
inline constexpr size_t kBlockChunkBytes = 128u << 10;
struct BlockQueueMessage {
  uint64 order;
  uint64 bytes;  // 0: that was all
};

}  // namespace dadbs::pg
