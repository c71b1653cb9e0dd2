/*
 * journal_fold.cpp: see journal_fold.h.
 */
#include "journal_fold.h"

#include <algorithm>

namespace dadbs::storage {

using namespace core;

namespace {
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;
}  // namespace

void JournalFold::Raise(uint64_t generation, Height height) {
  Height& highest = highest_[generation];
  highest = std::max(highest, height);
}

void JournalFold::Apply(const JournalRecord& record, uint64_t generation) {
  auto promise = [&](View view) { state_.view = std::max(state_.view, view); };
  std::visit(
      Overloaded{
          [&](const GenesisRecord& r) {
            Genesis genesis;
            if (Genesis::Decode(r.genesis, &genesis)) state_.chain = ChainState::AtGenesis(genesis);
            state_.genesis = r.genesis;
            state_.self = r.self;
          },
          [&](const IncarnationRecord& r) { state_.incarnation = std::max(state_.incarnation, r.entry.incarnation); },
          [&](const BatchRecord& r) {
            open_[r.batch->header.digest()] = {r.batch->header, generation};
          },
          [&](const ProposalRecord& r) {
            promise(r.proposal.view);
            Raise(generation, r.proposal.block->header.height);
          },
          [&](const PrepareRecord& r) {
            promise(r.vote.view);
            Raise(generation, r.vote.height);
          },
          [&](const CommitRecord& r) {
            promise(r.vote.view);
            Raise(generation, r.vote.height);
          },
          [&](const CommittedRecord& r) {
            promise(r.certificate.view);
            Raise(generation, r.block->header.height);
            head_generation_ = generation;
            Commit(*r.block);
          },
          [&](const SegmentStateRecord& r) { state_ = r; },
          // About the height above its head: until that is on the chain, a restart needs it.
          [&](const ViewChangeRecord& r) {
            promise(r.message.change.view);
            Raise(generation, r.message.change.height.next());
          },
          [&](const NewViewRecord& r) {
            promise(r.message.start.view);
            Raise(generation, StartOf(r.message.start).height.next());
          },
          [&](const MemoryRecord& r) { state_.memory = r.state; },
      },
      record);
}

void JournalFold::Commit(const Block& block) {
  state_.chain.Advance(block);
  for (const Item& item : block.items) {
    const auto* batch = std::get_if<BatchHeader>(&item);
    if (!batch) continue;
    auto found = open_.find(batch->digest());
    if (found == open_.end()) continue;
    Raise(found->second.generation, block.header.height);
    open_.erase(found);
  }
}

void JournalFold::Prune() {
  std::erase_if(open_, [&](const auto& e) { return !state_.chain.CanStillBeOrdered(e.second.header); });
}

bool JournalFold::CanCut(uint64_t generation, Height height) const {
  auto found = highest_.find(generation);
  if (found != highest_.end() && found->second > height) return false;
  if (generation == head_generation_) return false;
  return std::none_of(open_.begin(), open_.end(), [&](const auto& e) { return e.second.generation == generation; });
}

}  // namespace dadbs::storage
