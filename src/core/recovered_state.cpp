/*
 * recovered_state.cpp: what a restart knows, folded from the journal record by record.
 *
 * The journal is this member's own word, so it must be free of contradictions: two votes of one phase for one view and
 * height, a vote in a view that it had promised to leave or had not entered, a gap in the chain, another genesis mean
 * damage or somebody else's files, and the member must not start on it.
 *
 * The view is the highest promised. It is entered by a NEW-VIEW, by a block certified in it, or, where the journal was
 * cut behind both, by the own votes in it. A journal that shows none of them leaves the member without a vote until
 * the others tell it more: that costs a moment, never safety.
 */
#include <algorithm>

#include "dadbs/core/messages.h"
#include "replica_mutation.h"

namespace dadbs::core {

uint64_t BodyBytes(const Batch& batch) {
  return std::max<uint64_t>(batch.header.body_bytes, 1024);  // what it costs beside its body is not nothing
}

uint64_t BodyBytes(const BlockMessage& message) {
  uint64_t bytes = 1024 + message.block->items.size() * sizeof(Item);
  for (const auto& batch : message.batches) bytes += BodyBytes(*batch);
  return bytes;
}

namespace {

using Why = std::string;

constexpr char kNoProposal[] = "a COMMIT without its proposal";

Why Fold(RecoveredState& s, const GenesisRecord& r) {
  Genesis genesis;
  if (!Genesis::Decode(r.genesis, &genesis)) return "a genesis record that can't be read";
  if (!s.genesis.members.empty())
    return s.genesis.chain_id() == genesis.chain_id() ? "" : "two different genesis records";
  if (!genesis.Find(r.self)) return "a genesis record of which this server is not a member";
  s.genesis = std::move(genesis);
  s.self = r.self;
  s.chain = ChainState::AtGenesis(s.genesis);
  return "";
}

// At the head of the oldest segment that is left it is where the fold begins; elsewhere the records have said it.
Why Fold(RecoveredState& s, const SegmentStateRecord& r) {
  if (!s.genesis.members.empty()) return s.chain.chain_id == r.chain.chain_id ? "" : "a segment of another chain";
  if (Why why = Fold(s, GenesisRecord{r.genesis, r.self}); !why.empty()) return why;
  if (r.chain.chain_id != s.chain.chain_id || r.chain.recent_hashes.empty())
    return "a segment state that contradicts itself";
  s.chain = r.chain;
  s.cut_at = r.chain.height;
  s.view = r.view;
  s.entered = r.view == View{};
  s.incarnation = r.incarnation;
  s.memory = r.memory;
  return "";
}

Why Fold(RecoveredState& s, const MemoryRecord& r) {
  if (r.state.floor < s.memory.floor) return "a memory that goes back to an older life";
  s.memory = r.state;
  return "";
}

Why Fold(RecoveredState& s, const IncarnationRecord& r) {
  if (r.entry.origin != s.self) return "an incarnation of another node";
  s.incarnation = std::max(s.incarnation, r.entry.incarnation);
  return "";
}

Why Fold(RecoveredState& s, const BatchRecord& r) {
  if (!s.chain.CanStillBeOrdered(r.batch->header)) return "";
  s.batches.try_emplace(r.batch->header.digest(), r.batch);
  return "";
}

// Is a record about (view, height) of the round in flight? False for what the chain has passed already.
bool Open(const RecoveredState& s, Height height) { return height > s.chain.height; }

void Enter(RecoveredState& s, View view) {
  s.view = view;
  s.entered = true;
  s.view_change.reset();
  if (s.new_view && s.new_view->message.start.view != view) s.new_view.reset();
}

// A vote is given only in the view that was promised last, and only when that has begun.
Why FoldView(RecoveredState& s, View view) {
  if (view < s.view) return "a vote in a view that had been left";
  if (view == s.view && s.entered) return "";
  if (view > s.view || s.view_change) return "a vote in a view that had not begun";
  Enter(s, view);
  return "";
}

Why Fold(RecoveredState& s, const ProposalRecord& r) {
  const Height height = r.proposal.block->header.height;
  if (!Open(s, height)) return "";
  if (height != s.chain.height.next()) return "a proposal that leaves out a height";
  if (Why why = FoldView(s, r.proposal.view); !why.empty()) return why;
  const Digest hash = r.proposal.block->header.hash();
  if (s.proposal && s.proposal->proposal.view == r.proposal.view && s.proposal->proposal.block->header.hash() != hash) {
    // A backup that crashed between the proposal and its vote has promised nothing yet.
    const bool has_voted = s.prepare && s.prepare->vote.view == r.proposal.view;
    if (s.proposal->proposal.envelope.signer == s.self || has_voted) return "two proposals for one view and height";
  }
  s.proposal = std::make_shared<ProposalRecord>(r);
  return "";
}

template <class Record>
Why FoldVote(RecoveredState& s, const Record& r, std::shared_ptr<const Record>* slot) {
  const VoteMessage& vote = r.vote;
  if (!Open(s, vote.height)) return "";
  if (vote.height != s.chain.height.next()) return "a vote that leaves out a height";
  if (vote.envelope.signer != s.self) return "a vote of another node";
  if (*slot && (*slot)->vote.view == vote.view && (*slot)->vote.hash != vote.hash)
    return "two votes for one view and height";
  if (Why why = FoldView(s, vote.view); !why.empty()) return why;
  *slot = std::make_shared<Record>(r);
  return "";
}

Why Fold(RecoveredState& s, const PrepareRecord& r) { return FoldVote(s, r, &s.prepare); }

// The block is kept beside it: a later view may propose another one first, and yet this one may have to come back.
Why Fold(RecoveredState& s, const CommitRecord& r) {
  NoteSeen(r.prepared, &s.seen);
  if (Why why = FoldVote(s, r, &s.commit); !why.empty() || !Open(s, r.vote.height)) return why;
  if (s.proposal && s.proposal->proposal.block->header.hash() == r.vote.hash) s.prepared = s.proposal->proposal.block;
  if (s.prepared && s.prepared->header.hash() == r.vote.hash) return "";
  // The segment with its proposal may have been cut: its height is applied then, and the committed block follows (End).
  s.prepared.reset();
  return s.cut_at == s.chain.height && !MUTATED(kCutCommitRefused) ? "" : kNoProposal;
}

Why Fold(RecoveredState& s, const ViewChangeRecord& r) {
  const ViewChange& v = r.message.change;
  if (v.envelope.signer != s.self) return "a VIEW-CHANGE of another node";
  if (v.view < s.view || (v.view == s.view && s.entered)) return "a VIEW-CHANGE for a view that had been left or begun";
  s.view = v.view;
  s.entered = false;
  s.new_view.reset();
  s.view_change = std::make_shared<ViewChangeRecord>(r);
  return "";
}

Why Fold(RecoveredState& s, const NewViewRecord& r) {
  const View view = r.message.start.view;
  if (view < s.view || (view == s.view && s.entered)) return "a NEW-VIEW for a view that had been left or begun";
  Enter(s, view);
  s.new_view = std::make_shared<NewViewRecord>(r);
  return "";
}

// The block with its bodies; without one of them, laggards are served from elsewhere.
void Remember(RecoveredState& s, const CommittedRecord& r) {
  BlockMessage message{r.block, std::make_shared<Certificate>(r.certificate), {}, 0};
  for (const Item& item : r.block->items) {
    const auto* header = std::get_if<BatchHeader>(&item);
    if (!header) continue;
    auto held = s.batches.find(header->digest());
    if (held == s.batches.end()) {
      s.recent.clear();
      s.recent_bytes = 0;
      return;
    }
    message.batches.push_back(held->second);
  }
  s.recent_bytes += BodyBytes(message);
  s.recent.push_back(std::move(message));
  while (s.recent.size() > s.recent_blocks_max || (s.recent_bytes > s.recent_bytes_max && s.recent.size() > 1)) {
    s.recent_bytes -= BodyBytes(s.recent.front());
    s.recent.pop_front();
  }
}

Why Fold(RecoveredState& s, const CommittedRecord& r) {
  if (!Open(s, r.block->header.height)) {
    const Digest* known = s.chain.HashAt(r.block->header.height);
    return !known || *known == r.block->header.hash() ? "" : "two blocks of one height";
  }
  if (Why why = s.chain.Check(*r.block, s.genesis); !why.empty()) return "a committed block: " + why;
  if (r.certificate.hash != r.block->header.hash()) return "a committed block with another block's certificate";
  if (r.certificate.view > s.view || (r.certificate.view == s.view && !s.entered)) Enter(s, r.certificate.view);
  Remember(s, r);
  NoteSeen(r.certificate, &s.seen);
  NoteSeen(*r.block, &s.seen);
  s.chain.Advance(*r.block);
  s.head = std::make_shared<Certificate>(r.certificate);
  std::erase_if(s.batches, [&](const auto& held) { return !s.chain.CanStillBeOrdered(held.second->header); });
  s.proposal.reset();
  s.prepare.reset();
  s.commit.reset();
  s.prepared.reset();
  return "";
}

}  // namespace

std::string RecoveredState::Apply(const JournalRecord& record, uint64_t sequence) {
  const bool begins =
      std::holds_alternative<GenesisRecord>(record) || std::holds_alternative<SegmentStateRecord>(record);
  if (genesis.members.empty() && !begins) return "the journal does not begin with a genesis or a segment state";
  journal_sequence = std::max(journal_sequence, sequence);
  return std::visit([this](const auto& r) { return Fold(*this, r); }, record);
}

std::string RecoveredState::End() const { return commit && !prepared ? kNoProposal : ""; }

}  // namespace dadbs::core
