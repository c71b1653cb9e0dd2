/*
 * replica.h: PBFT's normal case as a function of (state, event) that returns effects. (Castro, Liskov, OSDI '99.)
 *
 * No clock, randomness, thread, I/O: time comes in with events, the outside carries out the effects after the step, in
 * order. One height in flight. The view is part of every format; until the view change is built it stays what it is.
 *
 * The order that safety rests on: what is signed leaves only as an effect of JournalDone. A step that wants to vote
 * appends the record and remembers what to send; OnJournalDone(sequence) releases everything appended at or below it.
 */
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include "dadbs/core/chain.h"
#include "dadbs/core/messages.h"

namespace dadbs::core {

struct ReplicaLimits {
  uint32_t batch_transactions_max = 512;
  uint64_t batch_bytes_max = 1u << 20;            // a batch closes at this size; one large write set may exceed it
  uint64_t inline_batch_bytes_max = 64u << 10;    // up to here a batch may be named before q members acknowledged it
  uint32_t block_items_max = 256;
  uint64_t block_bytes_max = 64u << 20;
  uint64_t pending_bytes_per_origin_max = 256u << 20;
  int64_t time_bound_us = 10'000'000;             // how far a fresh proposal may jump above the parent, against my clock
  int64_t resend_interval_us = 200'000;
  uint32_t incarnation_entry_lifetime_blocks = 64;
};

// A record for the journal; `sequence` is the journal sequence number this record will get.
struct AppendEffect { uint64_t sequence; JournalRecord record; };
struct SendEffect { NodeId to; Message message; };       // kNobody: all others
struct DeliverEffect {                                    // certified: journaled before
  std::shared_ptr<const Block> block;
  std::shared_ptr<const Certificate> certificate;
  std::vector<std::shared_ptr<const Batch>> batches;     // one per kBatch item, in order
};
struct NumberedEffect {                                   // a submitted write set got its id
  uint64_t ticket;                                        // the caller's
  TransactionId id;
};
struct RejectedPeerEffect { NodeId from; std::string why; };  // bad input: count and log
using Effect = std::variant<AppendEffect, SendEffect, DeliverEffect, NumberedEffect, RejectedPeerEffect>;
using Effects = std::vector<Effect>;

// What `dadbs.status` shows: which phase the replica is in, and for whom it waits.
struct ReplicaStatus {
  View view;
  NodeId primary;
  Height committed;
  Digest committed_hash;
  bool has_quorum = false;          // q members connected, self included
  bool incarnation_open = false;    // own batches may leave
  uint64_t incarnation = 0;
  uint64_t submitted_waiting = 0;   // own transactions not yet on the chain
  uint64_t pending_bytes = 0;
  std::vector<NodeId> missing;      // members whose vote or connection is waited for
  const char* phase = "idle";       // idle, proposing, preparing, committing, fetching
  int64_t phase_since_us = 0;
};

class Replica {
 public:
  // `recovered`: what the journal held (see journal.h). `incarnation_nonce` is fresh randomness for this start.
  Replica(Genesis genesis, NodeId self, const Signer& signer, const Verifier& verifier, ReplicaLimits limits,
          RecoveredState recovered, Nonce incarnation_nonce, int64_t now_us);
  ~Replica();

  Effects Start(int64_t now_us);
  Effects OnMessage(NodeId from, Message message, int64_t now_us);  // `from`: the TLS peer; who signed decides
  Effects OnConnected(NodeId peer, int64_t now_us);
  Effects OnDisconnected(NodeId peer, int64_t now_us);
  // A local write set, to be numbered and batched. Never called when !CanSubmit().
  Effects OnSubmit(uint64_t ticket, Bytes write_set, int64_t now_us);
  bool CanSubmit() const;
  Effects OnJournalDone(uint64_t sequence, int64_t now_us);
  Effects OnTick(int64_t now_us);            // about every resend_interval
  Effects OnApplied(Height height, int64_t now_us);
  // Blocks for laggards come from the outside (journal or tables): the replica asks through a callback-free path,
  // FetchEffect-less: it keeps the last `kServeBlocks` delivered blocks itself and answers from them.
  ReplicaStatus status() const;

 private:
  struct State;
  std::unique_ptr<State> s_;
};

}  // namespace dadbs::core
