/*
 * replica_views.cpp: how a primary is replaced: VIEW-CHANGE, NEW-VIEW, and what a member does in between.
 *
 * Invariants, each checked where it could break:
 *   - The view never falls. A VIEW-CHANGE for v is in the journal before it leaves; from that record on nothing is signed
 *     in a view below v, also after a restart (RecoveredState refuses a journal that says otherwise).
 *   - In view v a vote is given only when v has begun here: by a NEW-VIEW that q VIEW-CHANGEs prove, journaled in front of
 *     the vote, or by a block certified in v.
 *   - Where the proof shows a prepared block, its height takes no other in this view; the primary proposes that block as
 *     it is, and only with such a proof may a block be proposed by another member than its proposer.
 *   - `prepared` is the prepare certificate of the highest view that this member has for the height in flight; it was
 *     journaled with the COMMIT. It outlives views, and goes into every VIEW-CHANGE until the height is certified.
 *
 * A member that is behind may enter a view, and votes in it when it has fetched the head that the view begins with.
 * Messages of views that it has not entered are kept, a few per peer. VIEW-CHANGEs are kept one per member.
 */
#include <algorithm>

#include "dadbs/core/merkle.h"
#include "replica_state.h"

namespace dadbs::core {

namespace {

// Whoever passes a block on may have changed its items: their root is in the header, and that in the hash.
bool IsTheBlock(const Block* block, const Certificate* named) {
  if (!block || !named) return !block && !named;
  std::vector<Digest> leaves;
  for (const Item& item : block->items) leaves.push_back(ItemLeaf(item));
  return block->header.hash() == named->hash && block->header.item_count == block->items.size() &&
         block->header.items_root == MerkleRoot(leaves);
}

}  // namespace

// ---- recovery ------------------------------------------------------------------------------------------------------

void Replica::State::RecoverView(RecoveredState& recovered) {
  entered = recovered.entered;
  view_base = chain.height;
  head = recovered.head;
  if (recovered.commit)
    prepared = Prepared{recovered.prepared, recovered.commit->prepared, RefsOf(*recovered.prepared)};
  if (recovered.view_change)
    view_change = std::make_shared<const ViewChangeMessage>(recovered.view_change->message);
  if (!recovered.new_view) return;
  new_view = std::make_shared<const NewViewMessage>(recovered.new_view->message);
  BeginView();
}

// ---- asking for a view ---------------------------------------------------------------------------------------------

// What was in flight stays in `prepared`, if it got so far; else it is as good as never proposed.
void Replica::State::LeaveView() {
  entered = false;
  round = {};
  votes.clear();
  binding.reset();
  bound_batches.clear();
  new_view.reset();
  view_change.reset();
  view_asked_at.reset();
  propose_since.reset();
  propose_at.reset();
  for (OwnBatch& mine : own) mine.in_proposal = false;
}

void Replica::State::AskForView(View wanted, const char* reason) {
  DADBS_CHECK(wanted > view && MaySign());
  if (chain.height > Height{} && !head) return;  // it could not prove its head: the next block brings a certificate
  LeaveView();
  view = wanted;
  views_failed++;
  views_asked++;
  view_reason = reason;
  PromiseView();
}

void Replica::State::PromiseView() {
  DADBS_CHECK(!entered && !view_change && MaySign());
  ViewChangeMessage m;
  m.change.view = view;
  m.change.height = chain.height;
  m.change.hash = chain.hash;
  if (head) m.change.head = *head;
  if (prepared && !MUTATED(kPreparedForgotten)) {
    DADBS_CHECK(prepared->certificate.height == next_height() && prepared->certificate.view < view);
    m.change.prepared = prepared->certificate;
    m.block = prepared->block;
  }
  m.change.envelope = {self, incarnation, sequence + 1, {}};
  m.change.envelope.signature = signer.Sign(m.change.SigningBytes(context));
  if (!MUTATED(kViewChangeUnjournaled)) Append(ViewChangeRecord{m});
  view_change = std::make_shared<const ViewChangeMessage>(m);
  SendWhenDurable(kNobody, std::move(m));
  view_change_resend_at = clock + ResendInterval(1);
  std::erase_if(view_changes, [&](const auto& v) { return v.second.change.view < view; });
}

void Replica::State::ResendViewChange() {
  if (entered || clock < view_change_resend_at) return;
  if (!view_change) {  // the journal was cut behind it, since the chain has moved: it says where this member stands now
    if (chain.height == Height{} || head) PromiseView();
    return;
  }
  if (IsDurable(view_change->change.envelope.journal_sequence)) SendNow(kNobody, *view_change);
  view_change_resend_at = clock + ResendInterval(2);
}

size_t Replica::State::CountAsking(View at_least) const {
  size_t count = view_change && view_change->change.view >= at_least ? 1 : 0;
  for (const auto& [id, v] : view_changes)
    count += MUTATED(kJoinThisViewOnly) ? v.change.view == at_least : v.change.view >= at_least;
  return count;
}

void Replica::State::ReceiveViewChange(NodeId from, ViewChangeMessage& message) {
  const ViewChange& v = message.change;
  const NodeId signer = v.envelope.signer;
  if (!genesis.Find(signer)) return Reject(from, "a VIEW-CHANGE of a node that is not a member");
  if (signer == self || IsOfForgottenLife(v.envelope)) return;
  if (from == signer) seen[signer.value].Note(v.envelope.incarnation, v.envelope.journal_sequence);
  if (v.view < view || (v.view == view && entered)) return HelpWithView(signer);
  auto known = view_changes.find(signer.value);
  if (known != view_changes.end() && known->second.change.view >= v.view) return;
  if (!IsTheBlock(message.block.get(), v.prepared ? &*v.prepared : nullptr))
    return Reject(from, "a VIEW-CHANGE without the block that it says is prepared");
  if (std::string why = CheckViewChange(v, genesis, verifier); !why.empty())
    return Reject(from, "a VIEW-CHANGE: " + why);
  Claim(signer, v.height);
  for (const auto& shown : {v.head, v.prepared})
    if (shown) NoteSigned(*shown);
  for (const auto& shown : {v.head, v.prepared})
    for (const Signed& vote : shown ? shown->votes : std::vector<Signed>())
      NoteOwnSignature(vote, "a VIEW-CHANGE holds a vote of this member that its journal does not hold");
  view_changes[signer.value] = std::move(message);
}

// The highest view that f + 1 others ask for, or go beyond: at least one of them is honest. Never on the word of one.
bool Replica::State::TryJoin() {
  if (!MaySign()) return false;
  const size_t needed = MUTATED(kJoinOnOneWord) ? 1 : std::max<size_t>(FaultsTolerated(n) + 1, 2);
  std::vector<View> asked;
  for (const auto& [id, v] : view_changes)
    if (v.change.view > view) asked.push_back(v.change.view);
  if (asked.size() < needed) return false;
  std::sort(asked.begin(), asked.end(), std::greater<>());
  if (MUTATED(kJoinThisViewOnly)) {
    for (View one : asked)
      if (static_cast<size_t>(std::count(asked.begin(), asked.end(), one)) >= needed) {
        AskForView(one, "other members ask for it");
        return view == one;
      }
    return false;
  }
  const View joined = asked[needed - 1];
  AskForView(joined, "other members ask for it");
  return view == joined;
}

// ---- the new primary -----------------------------------------------------------------------------------------------

bool Replica::State::TryNewView() {
  if (entered || !IsPrimary() || !MaySign() || !view_change) return false;
  std::vector<const ViewChangeMessage*> asking{view_change.get()};
  for (const auto& [id, v] : view_changes)
    if (v.change.view == view) asking.push_back(&v);
  const size_t needed = MUTATED(kNewViewQuorumOffByOne) ? q - 1 : q;
  if (asking.size() < needed) return false;
  asking.resize(needed);
  std::sort(asking.begin(), asking.end(), [](const auto* a, const auto* b) {
    return a->change.envelope.signer < b->change.envelope.signer;
  });
  NewViewMessage m;
  m.start.view = view;
  for (const ViewChangeMessage* v : asking) m.start.proof.push_back(v->change);
  if (const Certificate* bound = StartOf(m.start).prepared)
    for (const ViewChangeMessage* v : asking)
      if (v->block && v->block->header.hash() == bound->hash) m.block = v->block;
  m.start.envelope = {self, incarnation, sequence + 1, {}};
  m.start.envelope.signature = signer.Sign(m.start.SigningBytes(context));
  Enter(m);
  SendWhenDurable(kNobody, std::move(m));
  return true;
}

// The block that the view is bound to, by its new primary, as it was.
bool Replica::State::TryRepropose() {
  std::vector<HeldBatch*> held;
  if (!new_view || !new_view->block || !FindAll(bound_batches, &held)) return false;
  const std::shared_ptr<const Block>& block = new_view->block;
  DADBS_CHECK(block->header.hash() == *binding);
  if (!chain.Check(*block, genesis).empty() || !TransactionsMatch(*block, held)) return false;
  const Signed envelope = Sign(Phase::kPrepare, next_height(), *binding);
  Candidate again{std::make_shared<ProposalMessage>(ProposalMessage{view, block, envelope}), *binding, bound_batches};
  Accept(std::move(again), held);
  return true;
}

// ---- a view begins -------------------------------------------------------------------------------------------------

void Replica::State::ReceiveNewView(NodeId from, NewViewMessage& message) {
  const NewView& v = message.start;
  if (v.view < view || (v.view == view && entered)) return;
  if (std::any_of(v.proof.begin(), v.proof.end(), [&](const ViewChange& part) { return IsOfForgottenLife(part.envelope); }))
    return Reject(from, "a NEW-VIEW with a promise that its maker has forgotten");
  const auto is_known = [&](const ViewChange& part) {
    auto mine = view_changes.find(part.envelope.signer.value);
    if (mine == view_changes.end()) return false;
    Writer known, given;
    mine->second.change.Encode(known);
    part.Encode(given);
    return known.bytes() == given.bytes();
  };
  if (std::string why = CheckNewView(v, genesis, verifier, is_known); !why.empty())
    return Reject(from, "a NEW-VIEW: " + why);
  if (!IsTheBlock(message.block.get(), StartOf(v).prepared))
    return Reject(from, "a NEW-VIEW without the block that it is bound to");
  for (const ViewChange& part : v.proof) {
    Claim(part.envelope.signer, part.height);
    for (const auto& shown : {part.head, part.prepared})
      if (shown) NoteSigned(*shown);
    NoteOwnSignature(part.envelope, "a NEW-VIEW holds a promise of this member that its journal does not hold");
  }
  Enter(message);
}

void Replica::State::Enter(const NewViewMessage& message) {
  DADBS_CHECK(message.start.view > view || (message.start.view == view && !entered));
  LeaveView();
  view = message.start.view;
  entered = true;
  new_view = std::make_shared<const NewViewMessage>(message);
  Append(NewViewRecord{message});
  new_view_sequence = sequence;
  BeginView();
}

// Of the view in `new_view`; also when it comes from the journal.
void Replica::State::BeginView() {
  const ViewStart start = StartOf(new_view->start);
  view_base = start.height;
  if (start.prepared && !MUTATED(kBindingIgnored)) {
    binding = start.prepared->hash;
    bound_batches = RefsOf(*new_view->block);
  }
  BeginClocks();
  TakeEarly();
}

// Nothing is held against the new primary that the old one has done.
void Replica::State::BeginClocks() {
  std::erase_if(view_changes, [&](const auto& v) { return v.second.change.view <= view; });
  stalled_since = patience;
  for (auto& [id, front] : fronts) front.since = patience, front.passed_over = 0;
  acks_resend_at = status_at = clock;
  back_off = 1;
  resend_at = clock + ResendInterval(1);
}

void Replica::State::TakeEarly() {
  for (auto& [id, peer] : peers) {
    if (peer.early_proposal) {
      ProposalMessage proposal = std::move(*peer.early_proposal);
      peer.early_proposal.reset();
      ReceiveProposal(NodeId{id}, proposal);
    }
    for (const VoteMessage& vote : std::exchange(peer.early_votes, {})) ReceiveVote(NodeId{id}, vote);
  }
}

// q members have voted in it: it has begun, and what it was bound to lies at or below the block that they certified.
void Replica::State::Adopt(View certified_in) {
  if (certified_in < view || (certified_in == view && entered)) return;
  LeaveView();
  view = certified_in;
  entered = true;
  view_base = chain.height;
  BeginClocks();
}

// ---- messages of other views ---------------------------------------------------------------------------------------

// Of a view below: nothing that this member may vote for. Of one that has not begun here: kept, if its signer sent it.
bool Replica::State::IsOfAnotherView(NodeId from, const ProposalMessage& message) {
  if (message.view == view && entered) return false;
  if (message.view < view) HelpWithView(from);
  if (message.view >= view && message.envelope.signer == from) peers.at(from.value).early_proposal = message;
  return true;
}

bool Replica::State::IsOfAnotherView(NodeId from, const VoteMessage& vote) {
  if (vote.view == view && entered) return false;
  if (vote.view < view) HelpWithView(from);
  if (vote.view < view || vote.envelope.signer != from) return true;
  auto& early = peers.at(from.value).early_votes;
  early.push_back(vote);
  if (early.size() > kEarlyVotesPerPeerMax) early.pop_front();
  return true;
}

// To who has not entered this view: its proof. It needs no other sender's word.
void Replica::State::HelpWithView(NodeId to) {
  auto it = peers.find(to.value);
  if (MUTATED(kViewHelpOmitted) || it == peers.end() || !it->second.connected || !entered || !new_view || !IsDurable(new_view_sequence)) return;
  if (clock - it->second.helped_at < limits.resend_interval_us / 2) return;
  it->second.helped_at = clock;
  SendNow(to, *new_view);
}

}  // namespace dadbs::core
