/*
 * replica_state.h: the state of a replica and its transitions, private to src/core/replica*.cpp.
 *
 * Events change the state; after the last one at hand Progress() takes every step that has become possible:
 *
 *   at height chain.height + 1                                        file
 *   idle       primary: something to order -> propose                 replica_votes
 *   candidate  a proposal whose frame and signatures are right, but a batch is missing or its time lies ahead
 *   accepted   journaled, PREPARE (the primary's is its proposal)     replica_votes
 *   prepared   q PREPAREs -> journaled with them, COMMIT              replica_votes
 *   certified  q COMMITs, or a certified block from a peer -> CommittedRecord, chain advances, idle
 *
 * Views, replica_views:
 *
 *   in view v  entered: the above happens, for proposals of v's primary only
 *     | no progress, a block or batch passed over (replica_progress); or f + 1 others ask for a higher view
 *   promised v' > v: journaled, VIEW-CHANGE; nothing is voted for
 *     | q VIEW-CHANGEs for v': its primary journals and sends NEW-VIEW, the others check and journal it
 *   in view v' entered. Also, from anywhere, by a block that is certified in a view not below the promised one
 *
 * Nothing of that is signed before this member knows, or has reason to believe, that it remembers what it has signed
 * before: replica_memory.
 *
 * Catching up, replica_catch_up: blocks are asked for from several members, verified in order, and go the way of a
 * certified block above.
 *
 * Deliveries follow behind as the journal says that it is durable. Persistent state is what the journal holds; all else
 * is lost in a crash and comes again by messages.
 */
#pragma once

#include <bitset>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "dadbs/core/check.h"
#include "dadbs/core/evidence.h"
#include "dadbs/core/replica.h"
#include "dadbs/core/write_set.h"
#include "replica_mutation.h"

namespace dadbs::core {

inline constexpr uint64_t kVoteWindowHeights = 4;  // votes this far above the chain are kept
inline constexpr size_t kEarlyAcksPerPeerMax = 256;
inline constexpr size_t kOwnBatchesResentMax = 16;  // per tick
inline constexpr int64_t kClockStepMaxUs = 10'000'000;
inline constexpr int kBackOffMax = 8;  // times resend_interval; times the view change timeout
inline constexpr size_t kEarlyVotesPerPeerMax = 8;
inline constexpr int64_t kPatienceStepMaxUs = 100'000;

using MemberSet = std::bitset<kNodesMax>;  // by Replica::State::Place

// A batch in memory, of anybody, not yet on the chain. Its body is what its header says; its signature was verified, or
// is the one in a certified block.
struct HeldBatch {
  std::shared_ptr<const Batch> batch;
  Digest digest;
  std::vector<Digest> transaction_hashes;
  bool acknowledged = false;       // by me to the others; large ones
  uint64_t journaled_at_byte = 0;  // of journal_bytes in this run; 0: not in this run
  MemberSet acks;                  // hold it durably
};

// The order in which an origin's batches can be taken.
struct BatchKey {
  uint64_t incarnation = 0, first_number = 0;
  Digest digest;
  auto operator<=>(const BatchKey&) const = default;
};

struct OriginQueue {
  std::map<BatchKey, HeldBatch> batches;
  std::unordered_map<Digest, BatchKey, DigestHash> by_digest;  // look-ups only: its order must not show
  uint64_t bytes = 0;
  std::optional<IncarnationEntry> entry;  // pending; the highest, its signature checked
};

// An own batch that has been closed and is not on the chain.
struct OwnBatch {
  Digest digest;
  uint64_t first_number = 0;
  uint32_t count = 0;
  uint64_t bytes = 0;
  bool left = false;         // its record is durable, it was sent
  bool in_proposal = false;  // of the round in flight
  int64_t submitted_at = 0, left_at = 0, resend_at = 0;
  int back_off = 1;
};

struct VoteSlot {
  VoteMessage vote;
  bool verified = false;
};
using VoteSlots = std::map<uint16_t, VoteSlot>;  // by signer

struct HeightVotes {
  VoteSlots prepares, commits;
  std::optional<ProposalMessage> early_proposal;  // for a height above the next one; not verified
};

struct BatchRef {
  NodeId origin;
  Digest digest;
  uint64_t bytes = 0;
};
using BatchRefs = std::vector<BatchRef>;  // the batch items of a block, in order

// A proposal for the height in flight: frame, chain rules, signatures are right.
struct Candidate {
  std::shared_ptr<const ProposalMessage> message;
  Digest hash;
  BatchRefs batches;
  const Block& block() const { return *message->block; }
};

// A certified block from a peer, on its way into the chain.
struct CertifiedBlock {
  BlockMessage message;
  NodeId from;
  uint64_t bytes = 0;
  bool asked = false;    // an answer to a request, with bodies
  bool checked = false;  // its certificate and the chain's rules
  BatchRefs batches;
  int64_t checked_at = 0;
};

// What q members have prepared for the height in flight: the one of the highest view that this member knows of.
struct Prepared {
  std::shared_ptr<const Block> block;
  Certificate certificate;
  BatchRefs batches;
};

// What could come next of an origin by the chain alone, and since when it waits for a proposal to name it.
struct Front {
  uint64_t incarnation = 0, first_number = 0;  // of the batch; number 0: an incarnation entry
  int64_t since = 0;                           // of `patience`
  int64_t relay_at = 0;                        // of `clock`
  int relay_back_off = 1;
  uint32_t passed_over = 0;                    // by proposals accepted since
  uint64_t bytes = 0;
};

// What a member has signed, as far as it is kept: to notice what contradicts it (replica_evidence.cpp).
struct SignedBy {
  using VoteKey = std::tuple<uint64_t, Phase, View, Height>;  // incarnation first
  using BatchNumber = std::pair<uint64_t, uint64_t>;          // incarnation, first number
  std::map<VoteKey, VoteSlot> votes;
  std::deque<VoteKey> votes_order;      // in which they came: the oldest goes first
  std::map<BatchNumber, BatchHeader> batches;  // verified
  std::deque<BatchNumber> batches_order;
};

struct Round {
  std::optional<Candidate> candidate;  // not accepted yet
  std::optional<Candidate> accepted;   // journaled with my vote; never replaced within the view
  std::optional<VoteMessage> my_prepare, my_commit;
  int64_t accepted_at = 0, prepared_at = 0;
  std::set<uint16_t> shown_to;         // the primary's signature, since they vote for another block
};

struct PeerState {
  bool connected = false;
  Height claimed;  // the highest committed height that it has shown or implied
  int64_t old_answered_at = -kClockStepMaxUs;
  uint64_t served_bytes = 0;      // since the last resend interval
  // As a server of blocks.
  uint64_t late_from = 0, late_end = 0;  // heights that it was asked for and has not given in time
  int patience = 1;                      // how much longer than usual it may take
  int64_t ask_again_at = 0;              // others are preferred until then
  uint32_t wrong_answers = 0, missed_answers = 0;
  std::deque<Digest> early_acks;  // of large batches that have not come
  // Of a view that this member has not entered yet; looked at when it has.
  std::optional<ProposalMessage> early_proposal;
  std::deque<VoteMessage> early_votes;
  int64_t helped_at = -kClockStepMaxUs;  // with the proof of the view
  int64_t attested_at = -kClockStepMaxUs;
  Nonce attested;             // the question that it answered then
  uint32_t attestations = 0;  // since the last resend interval
  bool attestation_awaited = false;
};

// A batch asked for by digest.
struct Want {
  NodeId origin;
  uint32_t attempts = 0;
  int64_t ask_at = 0;
};

// A request for certified blocks that is out: [next, end) have not come.
struct BlockAsk {
  NodeId peer;
  uint64_t next = 0, end = 0;
  int64_t asked_at = 0;
  int64_t deadline = 0;   // for the next block of it
  bool is_doubled = false;  // another member was asked for the same
};

struct Delivery {
  DeliverEffect effect;
  int64_t certified_at = 0;
};
struct OwnBatchLeaves {
  Digest digest;
};
// What waits for the journal: done when everything up to `sequence` is durable.
struct Release {
  uint64_t sequence = 0;
  std::variant<SendEffect, Delivery, OwnBatchLeaves> what;
};

struct Replica::State {
  State(NodeId self, const Signer& signer, const Verifier& verifier, ReplicaLimits limits, RecoveredState recovered,
        Nonce nonce, int64_t now_us);

  // ---- configuration
  const NodeId self;
  const Signer& signer;
  const Verifier& verifier;
  const ReplicaLimits limits;
  const Genesis genesis;
  const SignContext context;
  const size_t n, q;
  const Nonce nonce;
  int64_t view_change_timeout_us;

  // ---- persistent: journaled before it has effects outside
  ChainState chain;  // of the last certified block; its record may not be durable yet
  View view;                              // the highest promised
  bool entered = true;                    // it has begun: votes may be given
  Height view_base;                       // nothing is voted for at or below this height in this view
  std::optional<Digest> binding;          // the block that view_base + 1 is bound to in this view
  std::shared_ptr<const NewViewMessage> new_view;        // that `view` was entered by, if it was
  std::shared_ptr<const ViewChangeMessage> view_change;  // mine for `view`, until it is entered
  uint64_t new_view_sequence = 0;         // of its record
  std::optional<Prepared> prepared;       // for the height in flight
  std::deque<BatchRefs> voted;            // of the last blocks that got a PREPARE of mine for it, in whatever view
  std::shared_ptr<const Certificate> head;  // of the chain's last block
  uint64_t incarnation = 0;               // of this run
  std::optional<IncarnationEntry> entry;  // mine, until it is on the chain
  Round round;
  MemoryState memory;     // kUnchecked as long as the others were not heard
  uint64_t sequence = 0;  // of the last record appended
  uint64_t durable = 0;
  bool sync_now = false;                  // what was appended is to be durable at once
  std::optional<int64_t> sync_at;         // or then

  // ---- volatile
  std::map<uint16_t, ViewChangeMessage> view_changes;  // of the others, checked; the highest view of each
  BatchRefs bound_batches;                             // of new_view's block
  std::map<uint16_t, OriginQueue> origins;
  std::map<uint64_t, HeightVotes> votes;         // by height, above the chain
  std::map<uint16_t, PeerState> peers;           // all members but me
  std::map<uint16_t, SignedBy> signed_by;        // by signer
  std::set<std::tuple<NodeId, View, Height>> blocks_accused;  // looked at for evidence
  std::set<EvidenceSlot> accused;                // of what there is evidence; bounded for each member
  std::map<uint64_t, CertifiedBlock> certified;  // answers to my BlockRequests, by height
  uint64_t certified_bytes = 0;
  Height highest_claim;  // of all peers: with many of them, a look at each for every message would cost more than the message
  std::map<Digest, Want> wants;
  std::vector<BlockAsk> asks;
  std::deque<std::pair<Height, uint64_t>> unapplied;  // blocks on the chain that apply has not done, with their bytes
  uint64_t unapplied_bytes = 0;
  bool is_applied_known = false;
  bool apply_waits_for_more = false;  // SetImpasse
  uint64_t asks_made = 0;
  uint16_t next_server = 0;  // where the search for one begins
  int64_t probe_at = 0;
  std::optional<int64_t> commits_seen_at;  // f + 1 others have prepared the next height, of which this member has no proposal
  std::deque<BlockMessage> recent;  // delivered, for laggards
  uint64_t recent_bytes = 0;
  std::unordered_map<Digest, std::shared_ptr<const Batch>, DigestHash> recent_batches;  // look-ups only
  Height delivered, applied;
  std::deque<Release> releases;
  // own write sets
  std::vector<Bytes> gathering;
  uint64_t gathering_bytes = 0;
  int64_t gathering_since = 0;
  uint64_t next_number = 1;
  std::deque<OwnBatch> own;
  uint64_t own_bytes = 0, own_count = 0;  // in `own` and `gathering`
  bool open = false;                      // the incarnation is on the chain and delivered
  bool fenced = false;
  // memory
  const uint64_t recovered_incarnation;   // the highest that the journal had begun
  const Height recovered_height;
  const uint64_t remembered;              // where the journal ended that is remembered
  bool is_unchecked_recorded = false;
  bool is_told_to_rejoin = false;
  const char* owners_doubt = nullptr;
  bool awaits_tables = false;
  const char* doubt = "";
  uint64_t doubts = 0;
  std::map<uint16_t, Attestation> answers;  // checked, of this start's question; by signer
  SeenOfAll seen;                           // of the others
  int64_t attest_at = 0;
  Height rejoin_head;                       // the highest certified head among the answers
  std::optional<Height> threshold;          // a learner votes above it
  bool rejoin_begun = false;                // the entry of the new era has been signed
  Height begun_above;                       // what was certified, somewhere, when this run's incarnation began
  uint64_t first_incarnation = 0;           // that this run has begun
  std::optional<Height> opened_at;          // the block with this run's entry
  uint64_t rejoined = 0;
  // time: `clock` only goes forward; `wall` goes into blocks
  int64_t wall = 0, clock = 0;
  int64_t resend_at = 0, status_at = 0, serve_reset_at = 0, acks_resend_at = 0, entry_resend_at = 0;
  int64_t moved_at = 0;  // when the chain last advanced
  // `patience` is `clock` without the times in which this process did not run: those are nobody else's fault.
  int64_t patience = 0;
  int64_t stalled_since = 0;               // of patience: something could be ordered, and nothing happens
  std::optional<int64_t> view_asked_at;    // of patience: q members ask for `view` or a higher one
  int64_t view_change_resend_at = 0;
  int views_failed = 0;                    // since the chain last advanced
  uint64_t views_asked = 0;
  const char* view_reason = "";
  std::map<uint16_t, Front> fronts;        // by origin
  // proposing
  std::optional<int64_t> propose_since;      // something could be proposed, and active origins are waited for
  std::optional<int64_t> propose_at;         // something could be proposed; until then active origins are waited for
  std::vector<NodeId> active, active_before;  // origins with a batch in the last block, and in the one before
  Height paced_by;                           // what apply is to reach: delivered, or on its way there at once
  std::optional<int64_t> paced_until;        // something waits for that, until then
  int64_t round_us = 0;                      // how long a round takes, smoothed
  // How long answers take, smoothed; 0: none has come yet. What is sent again before that is sent in vain.
  int64_t votes_us = 0;     // from an own vote, or the own proposal, to the quorum's votes
  int64_t proposed_us = 0;  // from an own batch's leaving to the proposal that names it
  int back_off = 1;
  int entry_back_off = 1;
  uint64_t journal_bytes = 1;  // appended in this run, about
  const char* phase = "idle";  // and at which height
  Height phase_height;
  int64_t phase_since_us = 0;
  Effects out;

  // ---- replica.cpp: events, time, the journal
  void SetTime(int64_t now_us);
  Effects Finish();  // Progress, then the effects of this event
  void Progress();
  void Start();
  void Receive(NodeId from, Message& message);
  void Tick();
  void JournalDone(uint64_t done);
  void Connected(NodeId peer);
  uint64_t Append(JournalRecord record);
  void SendNow(NodeId to, Message message) { out.push_back(SendEffect{to, std::move(message)}); }
  void SendWhenDurable(NodeId to, Message message);
  void DeliverNow(Delivery& delivery);
  void Reject(NodeId from, std::string why) { out.push_back(RejectedPeerEffect{from, std::move(why)}); }
  void EmitStage(ReplicaStage stage, int64_t since) { out.emplace_back(StageEffect{stage, clock - since}); }
  bool IsDurable(uint64_t journal_sequence) const { return journal_sequence <= durable; }
  Signed Sign(Phase phase, Height height, const Digest& hash) const;  // for the record appended next
  NodeId primary() const { return PrimaryOf(genesis, view); }
  bool IsBound() const { return binding && next_height() == view_base.next(); }
  bool IsPrimary() const { return primary() == self; }
  Height next_height() const { return chain.height.next(); }
  static size_t Place(NodeId id) { return id.value - 1u; }
  size_t VotesNeeded() const { return MUTATED(kQuorumOffByOne) && q > 1 ? q - 1 : q; }
  int64_t ResendInterval(int times, int64_t answered_us = 0) const;
  void NoteAnswer(int64_t* answered_us, int64_t took_us) const;
  void BeginIncarnation();
  void SendStatus(NodeId to);
  void ResendEntry();
  void ResendRound();
  void SendRound(NodeId to);
  void RecoverRound(const RecoveredState& recovered);
  const char* CurrentPhase() const;
  std::vector<NodeId> Missing() const;
  Height NetworkHeight(bool connected_only = false) const;

  // ---- replica_memory.cpp
  bool MaySign() const { return memory.memory == Memory::kIntact && !fenced; }
  bool IsOfForgottenLife(const Signed& envelope) const;
  void ReceiveAttestationRequest(NodeId from, const AttestationRequest& request);
  void ReceiveAttestation(NodeId from, const Attestation& attestation);
  void AskForAttestations();
  void AskForAttestation(NodeId whom);
  void JudgeAnswers(const Attestation& latest);
  bool IsForgotten(uint64_t by_incarnation, uint64_t at_sequence) const;
  size_t CountAnswers() const;
  size_t AnswersNeeded() const;
  void SetMemory(Memory now, uint64_t floor);
  void LoseMemory(const char* why);
  void Fence();
  void NoteOwnTraces(const Block& block, const Certificate& certificate);
  void NoteForeignEntry(const IncarnationEntry& begun);
  void StartMemory(const char* owners_doubt);
  void CompareTables(Height height);
  void NoteOwnSignature(const Signed& envelope, const char* where);
  Height HighestAnswer() const;
  View HighestView() const;
  bool TryMemory();
  bool TryRejoin();
  void BeginEra();
  void BecomeMember(const char* asks_for_view = nullptr);
  void UpdateOpen();
  std::vector<NodeId> Unanswered() const;

  // ---- replica_batches.cpp
  void Submit(uint64_t ticket, Bytes write_set);
  bool HasRoom() const;
  void CloseBatch();
  bool MayCloseBatch();
  bool IsPaced();
  void BatchLeaves(const Digest& digest);
  void ReceiveBatch(NodeId from, const BatchMessage& message);
  void ReceiveAck(NodeId from, const BatchAck& ack);
  void ReceiveEntry(NodeId from, const IncarnationMessage& message);
  void Serve(NodeId from, const BatchRequest& request);
  HeldBatch* FindHeld(NodeId origin, const Digest& digest);
  HeldBatch* Hold(std::shared_ptr<const Batch> batch, const Digest& digest, std::vector<Digest> transaction_hashes);
  bool MakeRoom(const BatchHeader& header, const Digest& digest);
  bool IsInFlight(const Digest& digest) const;
  void NoteVoted(const BatchRefs& batches);
  static void Drop(OriginQueue* queue, std::map<BatchKey, HeldBatch>::iterator held);
  void JournalBatch(HeldBatch& held);
  void AcknowledgeLarge(NodeId origin);
  bool MayBeNamed(const HeldBatch& held) const;
  bool IsLarge(const Batch& batch) const { return batch.header.body_bytes > limits.inline_batch_bytes_max; }
  const HeldBatch* NextBatch(NodeId origin, const OriginState& after) const;
  std::vector<Item> SelectItems(std::vector<const HeldBatch*>* batches) const;
  void DropOrdered();
  bool EntryIsUseful(const IncarnationEntry& pending) const;
  void ResendOwnBatches();
  void ResendAcks();

  // ---- replica_votes.cpp
  void ReceiveProposal(NodeId from, ProposalMessage& message);
  void ReceiveVote(NodeId from, const VoteMessage& vote);
  void ConsiderProposal(NodeId from, ProposalMessage message);
  std::string CheckProposal(const ProposalMessage& message);
  bool TimeIsNear(const Block& block) const;
  static BatchRefs RefsOf(const Block& block);
  // The batches of a block, if all are held.
  bool FindAll(const BatchRefs& refs, std::vector<HeldBatch*>* held);
  static bool TransactionsMatch(const Block& block, const std::vector<HeldBatch*>& held);
  bool TryPropose();
  bool MayPropose();
  void NoteActivity(const Block& block);
  bool TryCandidate();
  bool TryPrepared();
  bool TryCommitted();
  void Accept(Candidate candidate, const std::vector<HeldBatch*>& held);
  void Commit(std::shared_ptr<const Block> block, Certificate certificate, const std::vector<HeldBatch*>& held);
  void BeginRound();
  bool VerifyVote(const VoteMessage& vote) const;
  // q verified votes for this hash, or nothing; verifies only what it needs.
  std::optional<Certificate> TakeQuorum(Phase phase, VoteSlots* slots, const Digest& hash);
  std::string CheckVote(const VoteMessage& vote) const;

  // ---- replica_evidence.cpp
  void NoteSigned(const VoteMessage& vote, bool is_its_own);
  void NoteSigned(const Certificate& certificate);
  void NoteSigned(const BatchHeader& batch);
  void NoteLate(const BatchHeader& batch);
  const BatchHeader* FindContradicted(const BatchHeader& batch) const;
  void AccuseOfBlock(const VoteMessage& its_vote, const Block& block);
  void ShowPrimarysVote(const VoteMessage& others);
  void Accuse(const Evidence& evidence);

  // ---- replica_views.cpp
  void RecoverView(RecoveredState& recovered);
  void AskForView(View wanted, const char* reason);
  void PromiseView();
  void Enter(const NewViewMessage& message);
  void Adopt(View certified_in);
  void LeaveView();
  void BeginView();
  void BeginClocks();
  void ReceiveViewChange(NodeId from, ViewChangeMessage& message);
  void ReceiveNewView(NodeId from, NewViewMessage& message);
  bool TryJoin();
  bool TryNewView();
  bool TryRepropose();
  size_t CountAsking(View at_least) const;
  bool IsOfAnotherView(NodeId from, const ProposalMessage& message);
  bool IsOfAnotherView(NodeId from, const VoteMessage& vote);
  void TakeEarly();
  void HelpWithView(NodeId peer);
  void ResendViewChange();

  // ---- replica_progress.cpp
  void WatchProgress();
  void UpdateFronts();
  bool UpdateFront(NodeId origin);
  const HeldBatch* FirstToOrder(NodeId origin) const;
  void NotePassedOver(const Block& block);
  void Relay();
  bool HasQuorum() const;
  bool OthersProceed() const;
  void ProbeForBlock();
  int64_t ViewTimeout() const;
  int64_t TransferAllowance() const;
  const char* WhyReplacePrimary();

  // ---- replica_fetch.cpp
  void ReceiveStatus(NodeId from, const StatusMessage& status);
  void ReceiveBlockRequest(NodeId from, const BlockRequest& request);
  const BatchRefs* NeededBatches() const;
  NodeId WhomToAsk(const Want& want) const;
  void AskForBatches();
  void AnswerOld(NodeId to, Height height);
  void Remember(const DeliverEffect& delivered);
  void KeepRecent(BlockMessage message);
  void Claim(NodeId peer, Height committed);

  // ---- replica_catch_up.cpp
  void ReceiveBlock(NodeId from, BlockMessage& message);
  bool TryCertified();
  void TakeProvedHead();
  std::string CheckCertificate(const BlockMessage& message) const;
  std::string CheckCertified(const BlockMessage& message) const;
  void TakeBodies(const CertifiedBlock& block);
  void DropCertified(uint64_t height);
  bool IsBehind() const;
  bool IsApplyBehind() const;
  void NoteUnapplied(const Block& block);
  void Applied(Height height);
  bool NoteAnswer(NodeId from, const BlockMessage& message);
  void LeaveServer(NodeId peer, const char* why, bool is_wrong);
  void DropAsks(NodeId peer);
  void TrimAsks();
  std::optional<std::pair<uint64_t, uint64_t>> FirstGap() const;
  static bool Covers(const BlockAsk& ask, Height height) { return height.value >= ask.next && height.value < ask.end; }
  PeerState* ChooseServer(Height needed, NodeId* chosen);
  bool AskServer(uint64_t from, uint64_t end);
  void DoubleHead();
  void AskForBlocks();
  void AskForHead();
};

}  // namespace dadbs::core
