/*
 * replica.cpp: events in, effects out; the journal's order, time, resending, status.
 *
 * What is signed waits in `releases` until the journal has its record, and leaves in the order in which it was made.
 * Whatever is sent again is looked up in the state, and only if its journal sequence is durable: so a message that has
 * once left can be repeated for ever, and one that has not can never slip out.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

namespace {

constexpr uint64_t kVoteBytes = 96;

// Rather too many: by them a batch is taken to be further behind than it is.
uint64_t EstimateBytes(const JournalRecord& record) {
  if (const auto* batch = std::get_if<BatchRecord>(&record)) return 256 + batch->batch->header.body_bytes;
  if (const auto* proposal = std::get_if<ProposalRecord>(&record))
    return 512 + 256 * proposal->proposal.block->items.size();
  if (const auto* start = std::get_if<NewViewRecord>(&record))
    return 1024 + start->message.start.proof.size() * (16'384 + 2 * kVoteBytes * start->message.start.proof.size());
  if (const auto* commit = std::get_if<CommitRecord>(&record)) return 1024 + kVoteBytes * commit->prepared.votes.size();
  if (const auto* committed = std::get_if<CommittedRecord>(&record))
    return 1024 + 256 * committed->block->items.size() + kVoteBytes * committed->certificate.votes.size();
  return 1024;
}

// The votes that a journal proves are kept as if they had just been verified.
VoteMessage VoteOf(const Certificate& c, const Signed& envelope) {
  return {c.phase, c.epoch, c.view, c.height, c.hash, envelope};
}

}  // namespace

// ---- construction --------------------------------------------------------------------------------------------------

Replica::State::State(NodeId self, const Signer& signer, const Verifier& verifier, ReplicaLimits limits,
                      RecoveredState recovered, Nonce nonce, int64_t now_us)
    : self(self),
      signer(signer),
      verifier(verifier),
      limits(limits),
      genesis(std::move(recovered.genesis)),
      context{recovered.chain.chain_id, recovered.chain.epoch},
      n(genesis.members.size()),
      q(genesis.quorum()),
      nonce(nonce),
      view_change_timeout_us(limits.view_change_timeout_us),
      chain(std::move(recovered.chain)),
      view(recovered.view),
      incarnation(recovered.incarnation),
      sequence(recovered.journal_sequence),
      durable(recovered.journal_sequence),
      recovered_incarnation(recovered.incarnation),
      recovered_height(recovered.chain.height),
      remembered(recovered.memory.memory == Memory::kUnchecked ? recovered.memory.remembered : recovered.journal_sequence),
      owners_doubt(recovered.doubt),
      awaits_tables(recovered.awaits_tables),
      wall(now_us) {
  DADBS_CHECK(n >= 1 && n <= kNodesMax && genesis.Find(self) != nullptr);
  incarnation = std::max(incarnation, chain.origin(self).incarnation);
  delivered = applied = chain.height;
  memory = recovered.memory;
  is_unchecked_recorded = memory.memory == Memory::kUnchecked;
  if (memory.memory == Memory::kIntact) memory = {Memory::kUnchecked, memory.floor, sequence};
  fenced = memory.memory == Memory::kFenced;
  if (memory.memory == Memory::kLearner) doubt = "its journal says so", doubts = 1;
  for (auto& block : recovered.recent) KeepRecent(std::move(block));
  for (const Member& member : genesis.members)
    if (member.id != self) peers[member.id.value];
  for (const auto& [digest, batch] : recovered.batches) {
    std::vector<Digest> hashes;
    if (batch->BodyMatches(nullptr, &hashes)) Hold(batch, digest, std::move(hashes));
  }
  RecoverView(recovered);
  RecoverRound(recovered);
  seen = std::move(recovered.seen);
}

// A vote in the journal binds in its view, whatever else is there; a proposal without my vote promises nothing and comes
// again. What was voted in an older view lives on in `prepared`.
void Replica::State::RecoverRound(const RecoveredState& recovered) {
  if (recovered.proposal && recovered.prepare) NoteVoted(RefsOf(*recovered.proposal->proposal.block));
  if (!entered) return;
  HeightVotes& now = votes[next_height().value];
  if (recovered.prepare && recovered.prepare->vote.view == view) round.my_prepare = recovered.prepare->vote;
  if (recovered.commit && recovered.commit->vote.view == view) {
    round.my_commit = recovered.commit->vote;
    for (const Signed& s : recovered.commit->prepared.votes)
      now.prepares[s.signer.value] = {VoteOf(recovered.commit->prepared, s), true};
    now.commits[self.value] = {*round.my_commit, true};
  }
  if (recovered.proposal && recovered.proposal->proposal.view == view) {
    auto message = std::make_shared<const ProposalMessage>(recovered.proposal->proposal);
    const Digest hash = message->block->header.hash();
    const NodeId proposer = message->envelope.signer;
    const VoteMessage its_vote{Phase::kPrepare, context.epoch, view, next_height(), hash, message->envelope};
    if (proposer == self) round.my_prepare = its_vote;
    if (round.my_prepare && round.my_prepare->hash == hash) {
      round.accepted = Candidate{message, hash, RefsOf(*message->block)};
      round.accepted_at = round.prepared_at = clock;
      now.prepares[proposer.value] = {its_vote, true};
    }
  }
  if (round.my_prepare) now.prepares[self.value] = {*round.my_prepare, true};
}

// ---- time and the journal ------------------------------------------------------------------------------------------

void Replica::State::SetTime(int64_t now_us) {
  clock += std::clamp<int64_t>(now_us - wall, 0, kClockStepMaxUs);
  patience += std::clamp<int64_t>(now_us - wall, 0, kPatienceStepMaxUs);
  wall = now_us;
}

// Before the check is done only what others have signed is appended, and behind a record that says where that begins: a
// journal must not look as if it reached as far as the one that was lost.
uint64_t Replica::State::Append(JournalRecord record) {
  if (memory.memory == Memory::kUnchecked && !std::exchange(is_unchecked_recorded, true)) Append(MemoryRecord{memory});
  journal_bytes += EstimateBytes(record);
  sync_now = true;
  out.push_back(AppendEffect{++sequence, std::move(record)});
  return sequence;
}

void Replica::State::SendWhenDurable(NodeId to, Message message) {
  if (MUTATED(kVoteBeforeJournal) && std::holds_alternative<VoteMessage>(message))
    return SendNow(to, std::move(message));
  if (sequence <= durable && releases.empty()) return SendNow(to, std::move(message));
  releases.push_back({sequence, SendEffect{to, std::move(message)}});
}

Signed Replica::State::Sign(Phase phase, Height height, const Digest& hash) const {
  DADBS_CHECK(MaySign() && entered && height == next_height() && height > view_base);
  Signed s{self, incarnation, sequence + 1, {}};
  s.signature = signer.Sign(VoteSigningBytes(context, phase, self, incarnation, sequence + 1, view, height, hash));
  return s;
}

void Replica::State::JournalDone(uint64_t done) {
  DADBS_CHECK(done <= sequence);
  durable = std::max(durable, done);
  if (durable == sequence) {
    sync_now = false;
    sync_at.reset();
  }
  while (!releases.empty() && releases.front().sequence <= durable) {
    Release release = std::move(releases.front());
    releases.pop_front();
    if (auto* send = std::get_if<SendEffect>(&release.what)) out.push_back(std::move(*send));
    if (auto* delivery = std::get_if<Delivery>(&release.what)) DeliverNow(*delivery);
    if (auto* leaves = std::get_if<OwnBatchLeaves>(&release.what)) BatchLeaves(leaves->digest);
  }
}

void Replica::State::DeliverNow(Delivery& delivery) {
  const Block& block = *delivery.effect.block;
  DADBS_CHECK(block.header.height == delivered.next());
  delivered = block.header.height;
  paced_by = std::max(paced_by, delivered);
  EmitStage(ReplicaStage::kJournal, delivery.certified_at);
  Remember(delivery.effect);
  out.push_back(std::move(delivery.effect));
  UpdateOpen();
}

// ---- progress ------------------------------------------------------------------------------------------------------

void Replica::State::Progress() {
  bool again = true;
  while (again && !fenced) {
    again = TryCertified();
    again = TryMemory() || again;
    again = TryCandidate() || again;
    again = TryPrepared() || again;
    again = TryCommitted() || again;
    again = TryJoin() || again;  // only then: who leaves a view forgets the votes that are at hand
    again = TryNewView() || again;
    if (!(entered && IsPrimary()) && MayCloseBatch()) CloseBatch();
    again = TryPropose() || again;
  }
  AskForBatches();
  AskForBlocks();
  const char* now = CurrentPhase();
  if (std::string_view(now) != phase || phase_height != chain.height) phase_since_us = wall;
  phase = now;
  phase_height = chain.height;
}

Effects Replica::State::Finish() {
  Progress();
  return std::exchange(out, {});
}

void Replica::State::Receive(NodeId from, Message& message) {
  if (!peers.contains(from.value)) return Reject(from, "a message from a node that is not a peer");
  std::visit(
      [&](auto& m) {
        using M = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<M, BatchMessage>) ReceiveBatch(from, m);
        if constexpr (std::is_same_v<M, BatchAck>) ReceiveAck(from, m);
        if constexpr (std::is_same_v<M, BatchRequest>) Serve(from, m);
        if constexpr (std::is_same_v<M, IncarnationMessage>) ReceiveEntry(from, m);
        if constexpr (std::is_same_v<M, ProposalMessage>) ReceiveProposal(from, m);
        if constexpr (std::is_same_v<M, VoteMessage>) ReceiveVote(from, m);
        if constexpr (std::is_same_v<M, StatusMessage>) ReceiveStatus(from, m);
        if constexpr (std::is_same_v<M, BlockRequest>) ReceiveBlockRequest(from, m);
        if constexpr (std::is_same_v<M, BlockMessage>) ReceiveBlock(from, m);
        if constexpr (std::is_same_v<M, ViewChangeMessage>) ReceiveViewChange(from, m);
        if constexpr (std::is_same_v<M, NewViewMessage>) ReceiveNewView(from, m);
        if constexpr (std::is_same_v<M, AttestationRequest>) ReceiveAttestationRequest(from, m);
        if constexpr (std::is_same_v<M, AttestationMessage>) ReceiveAttestation(from, m.attestation);
      },
      message);
}

// ---- start, incarnation --------------------------------------------------------------------------------------------

void Replica::State::Start() {
  StartMemory(owners_doubt);
  resend_at = clock + ResendInterval(1);
}

// A number is used for one entry only. It is signed and journaled now, sent when durable, and again until it is on the
// chain; when the block that it names has grown too old, the next number is taken.
void Replica::State::BeginIncarnation() {
  if (MUTATED(kIncarnationReused) && incarnation > 0 && chain.origin(self).incarnation == incarnation) {
    open = true;
    first_incarnation = incarnation;
    next_number = chain.origin(self).last_number + 1;
    return;
  }
  incarnation++;
  if (first_incarnation == 0) first_incarnation = incarnation;
  next_number = 1;
  opened_at.reset();
  IncarnationEntry e{.origin = self,
                     .incarnation = incarnation,
                     .journal_sequence = sequence + 1,
                     .nonce = nonce,
                     .recent_height = chain.height,
                     .recent_hash = chain.hash};
  e.signature = signer.Sign(e.SigningBytes(context));
  entry = e;
  Append(IncarnationRecord{e});
  SendWhenDurable(kNobody, IncarnationMessage{e});
  origins[self.value].entry = e;
  entry_resend_at = clock + ResendInterval(1);
}

void Replica::State::ResendEntry() {
  if (!entry || clock < entry_resend_at || !IsDurable(entry->journal_sequence)) return;
  const uint64_t age = chain.height.value - entry->recent_height.value;
  if (age > kIncarnationLifetimeBlocks / 2 && NetworkHeight() <= Height{chain.height.value + 8}) {
    BeginIncarnation();
    return;
  }
  SendNow(kNobody, IncarnationMessage{*entry});
  entry_back_off = std::min(entry_back_off * 2, kBackOffMax);
  entry_resend_at = clock + ResendInterval(entry_back_off);
}

// ---- connections, ticks --------------------------------------------------------------------------------------------

void Replica::State::Connected(NodeId peer) {
  auto it = peers.find(peer.value);
  if (it == peers.end()) return;
  it->second.connected = true;
  SendStatus(peer);
  AskForAttestation(peer);
  if (entry && IsDurable(entry->journal_sequence)) SendNow(peer, IncarnationMessage{*entry});
  SendRound(peer);
  if (!entered && MaySign() && view_change && IsDurable(view_change->change.envelope.journal_sequence)) SendNow(peer, *view_change);
  for (OwnBatch& batch : own) batch.resend_at = clock;
}

void Replica::State::SendStatus(NodeId to) {
  SendNow(to, StatusMessage{delivered, applied, view, incarnation, durable, 0});
}

// At least twice what answers take, but that never more than half of what a primary has for a block: where nothing comes any more, what was lost
// must be there before another primary is asked for. Members that are slow on purpose stretch it to that and no further.
int64_t Replica::State::ResendInterval(int times, int64_t answered_us) const {
  const int64_t least = limits.resend_interval_us;
  const int64_t interval = std::clamp(2 * answered_us, least, std::max(least, view_change_timeout_us / 2));
  return std::max(interval, least * times);
}

// One that came after another view only does not count for longer.
void Replica::State::NoteAnswer(int64_t* answered_us, int64_t took_us) const {
  const int64_t took = std::min(took_us, view_change_timeout_us);
  *answered_us = *answered_us == 0 ? took : *answered_us + (took - *answered_us) / 8;
}

// What this member has signed for the height in flight, as far as `to` may lack it.
void Replica::State::SendRound(NodeId to) {
  if (!round.accepted || !MaySign() || MUTATED(kRoundNotResent)) return;
  const HeightVotes& now = votes[next_height().value];
  const bool has_proposal = now.prepares.contains(to.value);
  const bool has_prepared = now.commits.contains(to.value);
  const ProposalMessage& proposal = *round.accepted->message;
  if (proposal.envelope.signer == self && !has_proposal && IsDurable(proposal.envelope.journal_sequence))
    SendNow(to, proposal);
  if (proposal.envelope.signer != self && !has_prepared && IsDurable(round.my_prepare->envelope.journal_sequence))
    SendNow(to, *round.my_prepare);
  if (round.my_commit && IsDurable(round.my_commit->envelope.journal_sequence)) SendNow(to, *round.my_commit);
}

void Replica::State::ResendRound() {
  if (clock < resend_at) return;
  for (const auto& [id, peer] : peers)
    if (peer.connected) SendRound(NodeId{id});
  back_off = std::min(back_off * 2, kBackOffMax);
  resend_at = clock + ResendInterval(back_off, votes_us);
}

void Replica::State::Tick() {
  if (clock >= serve_reset_at) {
    for (auto& [id, peer] : peers) peer.served_bytes = 0, peer.attestations = 0;
    serve_reset_at = clock + ResendInterval(1);
  }
  if (clock >= status_at) {
    SendStatus(kNobody);
    status_at = clock + limits.status_interval_us;
  }
  if (fenced) return;
  AskForAttestations();
  ResendEntry();
  ResendAcks();
  if (MaySign()) {
    ResendRound();
    ResendOwnBatches();
    ResendViewChange();
  }
  WatchProgress();
}

// ---- status --------------------------------------------------------------------------------------------------------

// At least one honest member has reached it.
Height Replica::State::NetworkHeight(bool connected_only) const {
  std::vector<Height> claims;
  for (const auto& [id, peer] : peers)
    if (peer.connected || !connected_only) claims.push_back(peer.claimed);
  const size_t liars = MUTATED(kClaimsBelieved) ? 0 : FaultsTolerated(n);
  if (claims.size() <= liars) return chain.height;
  std::sort(claims.begin(), claims.end(), std::greater<>());
  return std::max(chain.height, claims[liars]);
}

const char* Replica::State::CurrentPhase() const {
  if (fenced) return "fenced";
  if (memory.memory == Memory::kUnchecked) return "asking";
  if (highest_claim > next_height() && NetworkHeight() > next_height()) return "fetching";
  if (memory.memory == Memory::kLearner) return "rejoining";
  if (!entered) return "changing view";
  if (round.my_commit) return "committing";
  if (round.accepted) return "preparing";
  if (round.candidate) return "fetching";
  for (const auto& [id, origin] : origins)
    if (!origin.batches.empty() || origin.entry) return "waiting";
  return gathering.empty() ? "idle" : "waiting";
}

std::vector<NodeId> Replica::State::Missing() const {
  if (memory.memory == Memory::kUnchecked || (memory.memory == Memory::kLearner && !threshold)) return Unanswered();
  std::vector<NodeId> missing;
  auto at = votes.find(next_height().value);
  const HeightVotes none;
  const HeightVotes& now = at == votes.end() ? none : at->second;
  if (!entered) {  // for those that do not ask for this view, or for its primary to begin it
    for (const auto& [id, peer] : peers) {
      auto asked = view_changes.find(id);
      if (asked == view_changes.end() || asked->second.change.view < view) missing.push_back(NodeId{id});
    }
    if (CountAsking(view) >= q && !IsPrimary()) missing = {primary()};
    return missing;
  }
  const bool waits_for_votes = round.accepted.has_value();
  const VoteSlots& slots = round.my_commit ? now.commits : now.prepares;
  for (const auto& [id, peer] : peers) {
    if (waits_for_votes ? !slots.contains(id) : !peer.connected) missing.push_back(NodeId{id});
  }
  if (!waits_for_votes && !IsPrimary() && peers.at(primary().value).connected && std::string_view(phase) == "waiting")
    missing.push_back(primary());
  return missing;
}

// ---- the public face -----------------------------------------------------------------------------------------------

Replica::Replica(NodeId self, const Signer& signer, const Verifier& verifier, ReplicaLimits limits,
                 RecoveredState recovered, Nonce incarnation_nonce, int64_t now_us)
    : s_(std::make_unique<State>(self, signer, verifier, limits, std::move(recovered), incarnation_nonce, now_us)) {}

Replica::~Replica() = default;

Effects Replica::Start(int64_t now_us) {
  s_->SetTime(now_us);
  s_->Start();
  return s_->Finish();
}

Effects Replica::OnMessage(NodeId from, Message message, int64_t now_us) {
  s_->SetTime(now_us);
  s_->Receive(from, message);
  return std::exchange(s_->out, {});
}

Effects Replica::OnConnected(NodeId peer, int64_t now_us) {
  s_->SetTime(now_us);
  s_->Connected(peer);
  return s_->Finish();
}

Effects Replica::OnDisconnected(NodeId peer, int64_t now_us) {
  s_->SetTime(now_us);
  if (auto it = s_->peers.find(peer.value); it != s_->peers.end()) {
    it->second.connected = false;
    s_->DropAsks(peer);
  }
  return s_->Finish();
}

Effects Replica::OnSubmit(uint64_t ticket, Bytes write_set, int64_t now_us) {
  s_->SetTime(now_us);
  s_->Submit(ticket, std::move(write_set));
  return std::exchange(s_->out, {});
}

Effects Replica::OnEventsEnd(int64_t now_us) {
  s_->SetTime(now_us);
  return s_->Finish();
}

Effects Replica::OnJournalDone(uint64_t sequence, int64_t now_us) {
  s_->SetTime(now_us);
  s_->JournalDone(sequence);
  return s_->Finish();
}

Effects Replica::OnTick(int64_t now_us) {
  s_->SetTime(now_us);
  s_->Tick();
  return s_->Finish();
}

Effects Replica::OnApplied(Height height, int64_t now_us) {
  s_->SetTime(now_us);
  s_->Applied(height);
  return s_->Finish();
}

Effects Replica::OnTables(Height height, int64_t now_us) {
  s_->SetTime(now_us);
  s_->CompareTables(height);
  return s_->Finish();
}

void Replica::SetImpasse(bool waits) { s_->apply_waits_for_more = waits; }

void Replica::SetViewChangeTimeout(int64_t timeout_us) { s_->view_change_timeout_us = timeout_us; }

bool Replica::CanSubmit() const { return s_->HasRoom(); }

std::optional<int64_t> Replica::WakeIn() const {
  std::optional<int64_t> wake;
  for (const std::optional<int64_t>& at : {s_->propose_at, s_->paced_until})
    if (at && *at > s_->clock) wake = std::min(wake.value_or(*at), *at);
  return wake ? std::optional(*wake - s_->clock) : std::nullopt;
}

std::optional<int64_t> Replica::SyncIn() const {
  if (s_->sync_now) return 0;
  return s_->sync_at ? std::optional(std::max<int64_t>(0, *s_->sync_at - s_->clock)) : std::nullopt;
}

std::optional<Height> Replica::AwaitedApply() const {
  const bool waits = s_->applied < s_->paced_by && s_->paced_until && *s_->paced_until > s_->clock;
  return waits ? std::optional(s_->paced_by) : std::nullopt;
}

uint64_t Replica::last_sequence() const { return s_->sequence; }

bool Replica::IsFencedForGood() const { return s_->fenced && s_->durable == s_->sequence; }

ReplicaStatus Replica::status() const {
  const State& s = *s_;
  ReplicaStatus r;
  r.view = s.view;
  r.view_entered = s.entered;
  r.view_changes = s.views_asked;
  r.view_reason = s.view_reason;
  r.primary = s.primary();
  r.committed = s.chain.height;
  r.delivered = s.delivered;
  r.committed_hash = s.chain.hash;
  r.committed_time_us = s.chain.time_us;
  r.network_height = s.NetworkHeight();
  r.has_quorum = s.HasQuorum();
  r.primary_connected = s.IsPrimary() || s.peers.at(s.primary().value).connected;
  r.incarnation_open = s.open;
  r.fenced = s.fenced;
  r.memory = s.memory.memory;
  r.doubt = s.doubt;
  r.doubts = s.doubts;
  r.answers = s.CountAnswers();
  r.answers_needed = s.AnswersNeeded();
  r.threshold = s.threshold;
  r.rejoined = s.rejoined;
  r.incarnation = s.incarnation;
  r.submitted_waiting = s.own_count;
  for (const auto& [id, origin] : s.origins) r.pending_bytes += origin.bytes;
  r.missing = s.Missing();
  for (const auto& [id, peer] : s.peers) {
    const auto asked = [&, id = id](const BlockAsk& ask) { return ask.peer == NodeId{id}; };
    if (std::any_of(s.asks.begin(), s.asks.end(), asked)) r.servers.push_back(NodeId{id});
    if (s.clock < peer.ask_again_at) r.servers_left.push_back(NodeId{id});
  }
  r.waits_for_apply = s.IsApplyBehind();
  r.phase = s.phase;
  r.phase_since_us = s.phase_since_us;
  return r;
}

}  // namespace dadbs::core
