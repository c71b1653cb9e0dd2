/*
 * replica_votes.cpp: proposal, PREPARE, COMMIT, certificate: the three phases of one height.
 *
 * Safety rests on three things. A replica journals at most one PREPARE and one COMMIT for a view and height, and sends
 * nothing that is not journaled; any two quorums share an honest member; and a view begins with what older ones may have
 * certified (replica_views). So of all votes ever signed no two certificates for one height can be made, whatever was
 * lost, repeated or delayed.
 *
 * Votes are kept as they come, from a little above the chain too, and verified only when a quorum could be complete:
 * each signature at most once, and none that is not needed. A vote that came over its signer's own connection cannot be
 * planted by somebody else; any other is verified before it takes the signer's place.
 */
#include <algorithm>

#include "replica_state.h"

namespace dadbs::core {

// ---- proposal: primary ---------------------------------------------------------------------------------------------

// A block costs all members the same, whatever it holds. So origins that wrote in the last two blocks are waited for,
// for a fraction of a round: their batches were closed when the last block was prepared and are on their way. Where rounds
// are long, as between continents, what comes from many arrives one after the other for longer than what a near one needs:
// then the rest is waited for from the first of the others on.
bool Replica::State::MayPropose() {
  std::set<NodeId> here;
  if (!gathering.empty()) here.insert(self);
  for (const auto& [id, queue] : origins)
    if (queue.entry || NextBatch(NodeId{id}, chain.origin(NodeId{id})) != nullptr) here.insert(NodeId{id});
  if (here.empty()) {
    propose_since.reset();
    propose_at.reset();
    return false;
  }
  if (IsPaced()) return false;
  const auto is_awaited = [&](NodeId origin) {
    return origin != self && peers.at(origin.value).connected && !here.contains(origin);
  };
  if (std::none_of(active.begin(), active.end(), is_awaited) &&
      std::none_of(active_before.begin(), active_before.end(), is_awaited))
    return true;
  if (!propose_since) propose_since = clock;
  const bool others_come = std::any_of(here.begin(), here.end(), [&](NodeId origin) { return origin != self; });
  const int64_t share = others_come ? std::min(round_us / 8, limits.propose_wait_far_us_max) : 0;
  propose_at = *propose_since + std::min(round_us / 2, std::max(limits.propose_wait_us_max, share));
  return clock >= *propose_at;
}

void Replica::State::NoteActivity(const Block& block) {
  active_before = std::exchange(active, {});
  for (const Item& item : block.items)
    if (const auto* batch = std::get_if<BatchHeader>(&item))
      if (active.empty() || active.back() != batch->origin) active.push_back(batch->origin);
  if (round.accepted) round_us += (clock - round.accepted_at - round_us) / 4;
}

bool Replica::State::TryPropose() {
  if (!IsPrimary() || !entered || round.accepted || round.my_prepare || !MaySign()) return false;
  if (next_height() <= view_base) return false;  // others have more: it is being fetched
  if (IsBound()) return TryRepropose();
  if (!MayPropose()) return false;
  propose_since.reset();
  propose_at.reset();
  if (MayCloseBatch()) CloseBatch();
  std::vector<const HeldBatch*> selected;
  std::vector<Item> items = SelectItems(&selected);
  if (items.empty()) return false;
  std::vector<Digest> hashes;
  std::vector<HeldBatch*> held;
  for (const HeldBatch* batch : selected) {
    hashes.insert(hashes.end(), batch->transaction_hashes.begin(), batch->transaction_hashes.end());
    held.push_back(FindHeld(batch->batch->header.origin, batch->digest));
    JournalBatch(*held.back());
  }
  BlockHeader parent;
  parent.height = chain.height;
  auto block = std::make_shared<Block>();
  block->header = Block::MakeHeader(context.chain_id, context.epoch, &parent, chain.hash,
                                    std::max(chain.time_us + 1, wall), self, items, hashes);
  block->items = std::move(items);
  Candidate mine{nullptr, block->header.hash(), RefsOf(*block)};
  const Signed envelope = Sign(Phase::kPrepare, next_height(), mine.hash);
  mine.message = std::make_shared<ProposalMessage>(ProposalMessage{view, std::move(block), envelope});
  Accept(std::move(mine), held);
  return true;
}

// ---- proposal: backups ---------------------------------------------------------------------------------------------

BatchRefs Replica::State::RefsOf(const Block& block) {
  BatchRefs refs;
  for (const Item& item : block.items)
    if (const auto* batch = std::get_if<BatchHeader>(&item))
      refs.push_back({batch->origin, batch->digest(), batch->body_bytes});
  return refs;
}

bool Replica::State::FindAll(const BatchRefs& refs, std::vector<HeldBatch*>* held) {
  held->clear();
  for (const BatchRef& ref : refs) {
    HeldBatch* batch = FindHeld(ref.origin, ref.digest);
    if (!batch) return false;
    held->push_back(batch);
  }
  return true;
}

// With the items' roots checked by the chain's rules, this is all that the bodies can still contradict.
bool Replica::State::TransactionsMatch(const Block& block, const std::vector<HeldBatch*>& held) {
  std::vector<Digest> hashes;
  for (const HeldBatch* batch : held)
    hashes.insert(hashes.end(), batch->transaction_hashes.begin(), batch->transaction_hashes.end());
  return TransactionTreeRoot(hashes) == block.header.transactions_root;
}

// The bound holds back a clock that runs ahead; parent + 1 is what one can always propose.
bool Replica::State::TimeIsNear(const Block& block) const {
  const int64_t time = block.header.time_us;
  if (MUTATED(kTimeUnchecked)) return true;
  if (MUTATED(kParentTimeIgnored)) return time <= wall + limits.time_bound_us;
  return time == chain.time_us + 1 || time <= std::max(chain.time_us, wall) + limits.time_bound_us;
}

void Replica::State::ReceiveProposal(NodeId from, ProposalMessage& message) {
  const Height height = message.block->header.height;
  if (message.envelope.signer != PrimaryOf(genesis, message.view))
    return Reject(from, "a proposal by a node that is not the primary");
  const VoteMessage its_vote{Phase::kPrepare, context.epoch, message.view, height, message.block->header.hash(), message.envelope};
  if (from == message.envelope.signer) seen[from.value].Note(its_vote);
  NoteSigned(its_vote, from == message.envelope.signer);
  if (height <= chain.height) AnswerOld(from, height);
  if (IsOfAnotherView(from, message) || height <= chain.height) return;
  if (from == message.envelope.signer) Claim(from, height.prev());
  if (height.value > chain.height.value + kVoteWindowHeights) return;
  if (height > next_height()) {
    if (from == message.envelope.signer) votes[height.value].early_proposal = std::move(message);
    return;
  }
  ConsiderProposal(from, std::move(message));
}

void Replica::State::ConsiderProposal(NodeId from, ProposalMessage message) {
  if (next_height() <= view_base) return;
  const Digest hash = message.block->header.hash();
  if (message.envelope.signer == self || (round.my_prepare && round.my_prepare->hash != hash && !round.accepted))
    return;
  if (round.accepted && round.accepted->hash == hash) return SendRound(from);
  if (round.candidate && round.candidate->hash == hash) return;
  const VoteMessage its_vote{Phase::kPrepare, context.epoch, view, next_height(), hash, message.envelope};
  if (!VerifyVote(its_vote)) return Reject(from, "a proposal with a wrong signature");
  NoteSigned(its_vote, true);
  if (round.accepted || round.candidate) return Reject(from, "a second proposal for one view and height");
  if (std::string why = CheckProposal(message); !why.empty()) {
    AccuseOfBlock(its_vote, *message.block);
    return Reject(from, "a proposal: " + why);
  }
  for (const Item& item : message.block->items)
    if (const auto* batch = std::get_if<BatchHeader>(&item)) NoteSigned(*batch);
  Candidate candidate{nullptr, hash, RefsOf(*message.block)};
  candidate.message = std::make_shared<ProposalMessage>(std::move(message));
  round.candidate = std::move(candidate);
}

std::string Replica::State::CheckProposal(const ProposalMessage& message) {
  const Block& block = *message.block;
  if (std::string why = chain.Check(block, genesis); !why.empty()) return why;
  if (IsBound() && block.header.hash() != *binding) return "it is not the block that the view is bound to";
  if (!IsBound() && block.header.proposer != primary() && !MUTATED(kBindingIgnored))
    return "its proposer is not the primary";
  for (const Item& item : block.items) {
    bool known = false;
    if (const auto* batch = std::get_if<BatchHeader>(&item)) {
      const HeldBatch* held = FindHeld(batch->origin, batch->digest());
      known = held && held->batch->header.signature == batch->signature;
    } else {
      const auto& pending = origins[std::get<IncarnationEntry>(item).origin.value].entry;
      known = pending && ItemLeaf(*pending) == ItemLeaf(item);
    }
    if (!known && !VerifyItem(item, context, genesis, verifier)) return "an item with a wrong signature";
  }
  return "";
}

bool Replica::State::TryCandidate() {
  if (!round.candidate || round.accepted || !MaySign()) return false;
  if ((!IsBound() || MUTATED(kBoundTimeChecked)) && !TimeIsNear(round.candidate->block())) return false;
  std::vector<HeldBatch*> held;
  if (!FindAll(round.candidate->batches, &held)) {
    if (!MUTATED(kBatchUnheld)) return false;
    held.clear();
  } else if (!TransactionsMatch(round.candidate->block(), held)) {
    Reject(primary(), "a proposal: a wrong transactions root");
    round.candidate.reset();
    return false;
  }
  Candidate candidate = std::move(*round.candidate);
  round.candidate.reset();
  Accept(std::move(candidate), held);
  return true;
}

// Batches, proposal, vote: in this order in the journal, durable together, and only then said.
void Replica::State::Accept(Candidate candidate, const std::vector<HeldBatch*>& held) {
  DADBS_CHECK(!round.accepted && (!round.my_prepare || round.my_prepare->hash == candidate.hash));
  DADBS_CHECK(entered && next_height() > view_base && (!IsBound() || candidate.hash == *binding));
  for (HeldBatch* batch : held) JournalBatch(*batch);
  const ProposalMessage& message = *candidate.message;
  HeightVotes& now = votes[next_height().value];
  const NodeId proposer = message.envelope.signer;
  const VoteMessage its_vote{Phase::kPrepare, context.epoch, view, next_height(), candidate.hash, message.envelope};
  now.prepares[proposer.value] = {its_vote, true};
  if (!MUTATED(kProposalUnjournaled)) Append(ProposalRecord{message});
  if (proposer == self) {
    round.my_prepare = its_vote;
    SendWhenDurable(kNobody, message);
  } else if (!round.my_prepare) {
    VoteMessage vote = its_vote;
    vote.envelope = Sign(Phase::kPrepare, next_height(), candidate.hash);
    Append(PrepareRecord{vote});
    SendWhenDurable(kNobody, vote);
    round.my_prepare = vote;
  }
  now.prepares[self.value] = {*round.my_prepare, true};
  NoteVoted(candidate.batches);
  round.accepted = std::move(candidate);
  round.accepted_at = clock;
  NotePassedOver(round.accepted->block());
  back_off = 1;
  resend_at = clock + ResendInterval(1, votes_us);
  for (OwnBatch& mine : own)
    for (const BatchRef& ref : round.accepted->batches) {
      if (ref.digest != mine.digest) continue;
      mine.in_proposal = true;
      if (!mine.left) continue;
      EmitStage(ReplicaStage::kPropose, mine.left_at);
      NoteAnswer(&proposed_us, clock - mine.left_at);
    }
}

// ---- votes ---------------------------------------------------------------------------------------------------------

std::string Replica::State::CheckVote(const VoteMessage& vote) const {
  if (vote.phase != Phase::kPrepare && vote.phase != Phase::kCommit) return "a vote of an unknown phase";
  if (vote.epoch != context.epoch) return "a vote of another epoch";
  if (vote.envelope.signer == self || !genesis.Find(vote.envelope.signer)) return "a vote of a node that is not a peer";
  return "";
}

bool Replica::State::VerifyVote(const VoteMessage& vote) const {
  if (MUTATED(kVoteSignatureUnchecked)) return true;
  const Signed& e = vote.envelope;
  const Member* member = genesis.Find(e.signer);
  return member && verifier.Verify(member->key,
                                   VoteSigningBytes(context, vote.phase, e.signer, e.incarnation, e.journal_sequence,
                                                    vote.view, vote.height, vote.hash),
                                   e.signature);
}

void Replica::State::ReceiveVote(NodeId from, const VoteMessage& vote) {
  if (std::string why = CheckVote(vote); !why.empty()) return Reject(from, std::move(why));
  const NodeId signer = vote.envelope.signer;
  if (vote.height <= chain.height) AnswerOld(from, vote.height);
  if (from == signer) Claim(from, vote.height.prev()), seen[signer.value].Note(vote);
  NoteSigned(vote, from == signer);
  if (IsOfAnotherView(from, vote) || vote.height <= chain.height) return;
  if (vote.height.value > chain.height.value + kVoteWindowHeights) return;
  HeightVotes& at_height = votes[vote.height.value];
  VoteSlots& slots = vote.phase == Phase::kPrepare ? at_height.prepares : at_height.commits;
  if (auto known = slots.find(signer.value); known != slots.end()) {
    if (known->second.vote.hash == vote.hash) return;
    if (!VerifyVote(vote)) return Reject(from, "a vote with a wrong signature");
    return Reject(signer, "a vote that contradicts its signer's earlier one");
  }
  const bool verified = from != signer;
  if (verified && !VerifyVote(vote)) return Reject(from, "a vote with a wrong signature");
  if (verified) NoteSigned(vote, true);
  slots[signer.value] = {vote, verified};
  if (!verified) ShowPrimarysVote(vote);
}

std::optional<Certificate> Replica::State::TakeQuorum(Phase phase, VoteSlots* slots, const Digest& hash) {
  if (slots->size() < VotesNeeded()) return std::nullopt;
  const auto matches = [&](const auto& slot) { return slot.second.vote.hash == hash; };
  if (static_cast<size_t>(std::count_if(slots->begin(), slots->end(), matches)) < VotesNeeded()) return std::nullopt;
  Certificate c{phase, context.epoch, view, next_height(), hash, {}};
  for (const auto& [signer, slot] : *slots)
    if (slot.verified && slot.vote.hash == hash && c.votes.size() < VotesNeeded())
      c.votes.push_back(slot.vote.envelope);
  for (auto it = slots->begin(); it != slots->end() && c.votes.size() < VotesNeeded();) {
    VoteSlot& slot = it->second;
    if (slot.verified || slot.vote.hash != hash) {
      ++it;
    } else if (VerifyVote(slot.vote)) {
      slot.verified = true;
      c.votes.push_back(slot.vote.envelope);
      ++it;
    } else {
      Reject(slot.vote.envelope.signer, "a vote with a wrong signature");
      it = slots->erase(it);
    }
  }
  if (c.votes.size() < VotesNeeded()) return std::nullopt;
  std::sort(c.votes.begin(), c.votes.end(), [](const Signed& a, const Signed& b) { return a.signer < b.signer; });
  return c;
}

bool Replica::State::TryPrepared() {
  if (!round.accepted || round.my_commit || !MaySign()) return false;
  HeightVotes& now = votes[next_height().value];
  std::optional<Certificate> prepared = TakeQuorum(Phase::kPrepare, &now.prepares, round.accepted->hash);
  if (!prepared) return false;
  VoteMessage vote{Phase::kCommit, context.epoch, view, next_height(), round.accepted->hash, {}};
  vote.envelope = Sign(Phase::kCommit, next_height(), vote.hash);
  this->prepared = Prepared{round.accepted->message->block, *prepared, round.accepted->batches};
  Append(CommitRecord{vote, std::move(*prepared)});
  SendWhenDurable(kNobody, vote);
  now.commits[self.value] = {vote, true};
  round.my_commit = vote;
  round.prepared_at = clock;
  EmitStage(ReplicaStage::kPrepare, round.accepted_at);
  NoteAnswer(&votes_us, clock - round.accepted_at);
  back_off = 1;
  resend_at = clock + ResendInterval(1, votes_us);
  return true;
}

bool Replica::State::TryCommitted() {
  const std::optional<Candidate>& known = round.accepted ? round.accepted : round.candidate;
  auto now = votes.find(next_height().value);
  if (!known || now == votes.end() || now->second.commits.size() < VotesNeeded()) return false;
  std::vector<HeldBatch*> held;
  if (!FindAll(known->batches, &held)) return false;
  std::optional<Certificate> certificate = TakeQuorum(Phase::kCommit, &now->second.commits, known->hash);
  if (!certificate) return false;
  if (round.my_commit) {
    EmitStage(ReplicaStage::kCommit, round.prepared_at);
    NoteAnswer(&votes_us, clock - round.prepared_at);
  }
  Commit(known->message->block, std::move(*certificate), held);
  return true;
}

// ---- the chain advances --------------------------------------------------------------------------------------------

// The next height may begin at once: what it signs stands behind this record in the journal.
void Replica::State::Commit(std::shared_ptr<const Block> block, Certificate certificate,
                            const std::vector<HeldBatch*>& held) {
  Delivery delivery{{block, std::make_shared<const Certificate>(certificate), {}}, clock};
  const bool was_needed = sync_now;
  for (HeldBatch* batch : held) {
    JournalBatch(*batch);
    delivery.effect.batches.push_back(batch->batch);
  }
  head = delivery.effect.certificate;
  NoteSigned(*head);
  for (const Item& item : block->items)
    if (const auto* batch = std::get_if<BatchHeader>(&item)) NoteSigned(*batch);
  Append(CommittedRecord{block, std::move(certificate)});
  NoteActivity(*block);
  chain.Advance(*block);
  NoteUnapplied(*block);
  const bool is_awaited = std::any_of(block->items.begin(), block->items.end(), [&](const Item& item) {
    return std::visit([&](const auto& i) { return i.origin == self; }, item);
  });
  NoteOwnTraces(*block, *head);
  std::erase_if(view_changes, [&](const auto& v) { return IsOfForgottenLife(v.second.change.envelope); });
  sync_now = was_needed || is_awaited;
  if (is_awaited) paced_by = chain.height;
  if (!sync_now && !sync_at) sync_at = clock + limits.sync_wait_us_max;
  prepared.reset();
  Adopt(head->view);
  if (MUTATED(kDeliverBeforeJournal)) {
    DeliverNow(delivery);
  } else {
    releases.push_back({sequence, std::move(delivery)});
  }
  BeginRound();
  TakeEarly();
}

void Replica::State::BeginRound() {
  round = {};
  stalled_since = patience;
  if (!MUTATED(kTimerDoublesForEver)) views_failed = 0;
  propose_at.reset();
  paced_until.reset();
  voted.clear();
  commits_seen_at.reset();
  DropOrdered();
  for (OwnBatch& mine : own) mine.in_proposal = false;
  votes.erase(votes.begin(), votes.upper_bound(chain.height.value));
  while (!certified.empty() && certified.begin()->first <= chain.height.value) DropCertified(certified.begin()->first);
  back_off = 1;
  resend_at = clock + ResendInterval(1, votes_us);
  moved_at = clock;
  HeightVotes& now = votes[next_height().value];
  if (!now.early_proposal) return;
  ProposalMessage early = std::move(*now.early_proposal);
  now.early_proposal.reset();
  ConsiderProposal(early.envelope.signer, std::move(early));
}

}  // namespace dadbs::core
