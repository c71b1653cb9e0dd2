/*
 * replica.h: PBFT with its view change as a function of (state, event) that returns effects. (Castro, Liskov, OSDI
 * '99.)
 *
 * No clock, randomness, thread, I/O: time comes in with events, the outside carries out the effects after the step, in
 * order. One height in flight.
 *
 * The order that safety rests on: what is signed leaves only as an effect of JournalDone. A step that wants to vote
 * appends the record and remembers what to send; OnJournalDone(sequence) releases everything appended at or below it.
 *
 * How the owner drives it (consensus worker, simulator):
 *   loop: collect events (messages, submits, tick); per event: effects = replica.On...(); carry them out in order:
 *         Append -> JournalWriter::Append, the others as they say. When the events at hand are used up: OnEventsEnd,
 *         which takes the steps that they have made possible, all at once, so that a batch or block holds what has come
 *         by then. When something was appended: one Sync for all (now, or as SyncIn() says), then OnJournalDone(last appended
 *         sequence) and its effects; repeat.
 *   A failed Append or Sync: no OnJournalDone; the journal is rewritten (journal.h) or the member stops.
 *   now_us is the wall clock (block times come from it); it may step in both directions.
 *
 * Bad input of a peer gives RejectedPeerEffect and changes nothing. A broken invariant is a DADBS_CHECK.
 */
#pragma once

#include <memory>
#include <optional>

#include "dadbs/core/chain.h"
#include "dadbs/core/evidence.h"
#include "dadbs/core/messages.h"

namespace dadbs::core {

// A member's own settings: none of them decides whether a block is valid.
struct ReplicaLimits {
  uint32_t batch_transactions_max = 512;
  uint64_t batch_bytes_max = 256u << 10;          // a batch closes at this size; a larger write set is a batch alone
  uint64_t inline_batch_bytes_max = 256u << 10;   // up to here a batch may be named before q members acknowledged it
  uint32_t block_items_max = 256;
  uint32_t block_transactions_max = 8192;
  uint64_t block_bytes_max = 64u << 20;           // at least one batch is always taken, whatever its size
  uint64_t pending_bytes_per_origin_max = 256u << 20;  // held and not ordered; a batch counts at least 1 kB
  uint64_t recent_blocks_max = 256;               // delivered blocks kept in memory for laggards
  uint64_t recent_bytes_max = 16u << 20;
  uint32_t fetch_blocks_max = 64;                 // asked for, and served, at once
  uint64_t fetch_bytes_max = 8u << 20;
  uint32_t fetch_asks_max = 4;                    // requests for blocks that are out; what has come and waits counts too
  uint64_t unapplied_bytes_max = 64u << 20;       // no blocks are asked for while more than that waits for apply
  uint64_t journal_reappend_bytes = 64u << 20;    // a batch whose record is further behind is appended again before a
                                                  // vote; less than the bytes that a cut journal always keeps
  uint32_t apply_lag_blocks_max = 1000;           // CanSubmit is false when apply is further behind
  int64_t time_bound_us = 10'000'000;             // how far a fresh proposal may be ahead of parent and clock
  int64_t resend_interval_us = 200'000;           // at least: twice what answers take; doubles up to 8 times this while nothing moves
  int64_t status_interval_us = 500'000;           // heartbeat
  int64_t view_change_timeout_us = 1'000'000;  // how long a connected primary may let the chain stand still; a quarter
                                               // if it is not connected; doubles up to 8 times this while views fail
  int64_t propose_wait_us_max = 2'000;            // how long a primary waits for the batches of active origins
  int64_t propose_wait_far_us_max = 50'000;       // the same once one of them has come, for an eighth of a round at most
  int64_t sync_wait_us_max = 3'000;               // how long a block without own write sets waits to be made durable
  int64_t pace_us_max = 10'000;                   // how long batches and proposals wait for apply
};

// ---- effects -------------------------------------------------------------------------------------------------------
// A record for the journal; `sequence` is the journal sequence number this record must get.
struct AppendEffect { uint64_t sequence; JournalRecord record; };
struct SendEffect { NodeId to; Message message; };       // kNobody: all others
struct DeliverEffect {                                    // certified and journaled; heights contiguous
  std::shared_ptr<const Block> block;
  std::shared_ptr<const Certificate> certificate;
  std::vector<std::shared_ptr<const Batch>> batches;     // one per kBatch item, in order
};
struct NumberedEffect {                                   // a submitted write set got its id
  uint64_t ticket;                                        // the caller's
  TransactionId id;
};
// `to` lacks blocks that are no longer in memory: the owner answers with BlockMessages from the history tables (count
// bounded by kBlocksPerRequestMax already; the owner bounds bytes), or not at all. Asked again when not answered.
struct ServeBlocksEffect { NodeId to; Height from; uint32_t count; };
enum class ReplicaStage : uint8_t {
  kBatch,    // first own write set of a batch submitted -> the batch leaves, journaled
  kPropose,  // own batch leaves -> it is named in a proposal that is accepted here
  kPrepare,  // proposal accepted (made) here -> prepared
  kCommit,   // prepared -> certified
  kJournal,  // certified -> journaled and delivered
};
struct StageEffect { ReplicaStage stage; int64_t micros; };
struct RejectedPeerEffect { NodeId from; std::string why; };  // bad input: count and log
// It gives no blocks, or wrong ones (then is_wrong): the others are asked for a while. Count and log.
struct ServerLeftEffect { NodeId peer; const char* why; bool is_wrong; };
// A member has contradicted itself: for EvidenceToReport. Each slot once in a run; lost with it, if it is not on the chain by then.
struct EvidenceEffect { std::shared_ptr<const Evidence> evidence; };
using Effect = std::variant<AppendEffect, SendEffect, DeliverEffect, NumberedEffect, ServeBlocksEffect, StageEffect,
                            RejectedPeerEffect, ServerLeftEffect, EvidenceEffect>;
using Effects = std::vector<Effect>;

// What `dadbs.status` shows: which phase the replica is in, and for whom it waits.
struct ReplicaStatus {
  View view;                        // the highest promised
  bool view_entered = true;         // false: its NEW-VIEW is waited for, nothing is voted for
  uint64_t view_changes = 0;        // that this member has asked for, in this run
  const char* view_reason = "";     // why it asked for the last one
  NodeId primary;                   // of `view`
  Height committed;                 // certified here; delivered once journaled
  Height delivered;
  Digest committed_hash;
  int64_t committed_time_us = 0;
  Height network_height;            // the highest that a peer claims
  bool has_quorum = false;          // q members connected, self included
  bool primary_connected = false;   // or self
  bool incarnation_open = false;    // own batches may leave
  bool fenced = false;              // another server runs with this member's key: nothing is signed any more
  Memory memory = Memory::kIntact;  // whether it remembers what it has signed; else nothing is signed
  const char* doubt = "";           // why it thinks that it does not, or last thought so in this run
  uint64_t doubts = 0;              // how often it began to think so
  size_t answers = 0, answers_needed = 0;  // of others, to the question what it had signed
  std::optional<Height> threshold;  // a learner's: it votes above it
  uint64_t rejoined = 0;            // how often it has come back in this run
  uint64_t incarnation = 0;
  uint64_t submitted_waiting = 0;   // own transactions not yet on the chain
  uint64_t pending_bytes = 0;       // of all origins
  std::vector<NodeId> servers;      // that are asked for blocks now
  std::vector<NodeId> servers_left;  // that are not, for a while
  bool waits_for_apply = false;     // no blocks are asked for, since apply is behind
  std::vector<NodeId> missing;      // members whose vote, batch or connection is waited for
  const char* phase = "idle";       // idle, waiting (for a proposal), preparing, committing, fetching, changing view, asking, rejoining
  int64_t phase_since_us = 0;
};

class Replica {
 public:
  // `recovered`: what the journal held. `incarnation_nonce` is fresh randomness for this start. `signer` and `verifier`
  // live longer than the replica.
  Replica(NodeId self, const Signer& signer, const Verifier& verifier, ReplicaLimits limits, RecoveredState recovered,
          Nonce incarnation_nonce, int64_t now_us);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  Effects Start(int64_t now_us);             // first, once: begins the incarnation, sends again what was signed
  Effects OnMessage(NodeId from, Message message, int64_t now_us);  // `from`: the TLS peer; who signed decides.
                                                                    // OnEventsEnd follows
  Effects OnConnected(NodeId peer, int64_t now_us);
  Effects OnDisconnected(NodeId peer, int64_t now_us);
  // A local write set, to be numbered and batched. Only when CanSubmit(); its frame was checked by the caller
  // (HasWriteSetFrame) and it is not larger than kWriteSetBytesMax. OnEventsEnd follows.
  Effects OnSubmit(uint64_t ticket, Bytes write_set, int64_t now_us);
  Effects OnEventsEnd(int64_t now_us);       // after the last message or write set at hand
  // The own incarnation is open on the chain, and there is room. Back-pressure: the owner keeps the write set.
  bool CanSubmit() const;
  Effects OnJournalDone(uint64_t sequence, int64_t now_us);  // everything up to `sequence` is durable
  Effects OnTick(int64_t now_us);            // about every resend_interval / 4
  Effects OnApplied(Height height, int64_t now_us);
  // Once, if the recovered state awaits it: the highest block of which the tables held something at the start. What is
  // applied was journaled first: a journal that ends below has forgotten.
  Effects OnTables(Height height, int64_t now_us);
  void SetImpasse(bool waits);                // apply waits for what stands further on: blocks are fetched however far it is behind
  void SetViewChangeTimeout(int64_t timeout_us);  // in place of the one in the limits

  bool IsFencedForGood() const;              // and the journal says so: it has nothing to say to anybody any more
  ReplicaStatus status() const;
  uint64_t last_sequence() const;            // of the last AppendEffect (or recovered record)
  // In how many microseconds after the last event an OnEventsEnd is wanted, whatever comes; none: no hurry.
  std::optional<int64_t> WakeIn() const;
  // In how many microseconds after the last event what was appended is to be durable; none: it is. Votes and what own
  // clients wait for are for now; that others' block is certified may wait for the next record.
  std::optional<int64_t> SyncIn() const;
  // Something waits for OnApplied(this height or above): the owner is to hear of it at once.
  std::optional<Height> AwaitedApply() const;

 private:
  struct State;
  std::unique_ptr<State> s_;
};

}  // namespace dadbs::core
