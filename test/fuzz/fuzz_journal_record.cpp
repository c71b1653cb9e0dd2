// Records of the journal, behind their checksum.
#include "../unit/chain_fixture.h"
#include "dadbs/core/messages.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {

void TryInput(ByteView input) {
  JournalRecord record;
  if (DecodeRecord(input, &record))
    Require(std::ranges::equal(EncodeRecord(record), input), "the encoding is canonical");
}

std::vector<Bytes> Seeds() {
  const test::TestCluster c(4);
  const test::TestBlock b =
      c.MakeBlock(nullptr, {c.MakeIncarnation(NodeId{1})},
                  {c.MakeBatch(NodeId{2}, 1, {test::InsertWriteSet("a"), test::InsertWriteSet("b")})});
  const Digest hash = b.block.header.hash();
  const auto block = std::make_shared<const Block>(b.block);
  const auto vote = [&](Phase phase) {
    VoteMessage v{phase, Epoch{1}, View{0}, Height{1}, hash, c.Vote(NodeId{1}, phase, View{0}, Height{1}, hash)};
    return v;
  };
  SegmentStateRecord state;
  state.chain.origins = {{1, {1, 2}}, {2, {3, 4}}};
  state.chain.recent_hashes = {c.genesis.chain_id(), hash};
  state.genesis = c.genesis.Encode();
  ViewChange asked{View{4}, Height{0}, c.genesis.chain_id(), std::nullopt, std::nullopt, vote(Phase::kPrepare).envelope};
  asked.prepared = c.Certify(Height{1}, hash, 3, Phase::kPrepare);
  std::vector<Bytes> seeds;
  for (const JournalRecord& record :
       {JournalRecord(GenesisRecord{c.genesis.Encode(), NodeId{1}}),
        JournalRecord(IncarnationRecord{c.MakeIncarnation(NodeId{1})}),
        JournalRecord(BatchRecord{std::make_shared<const Batch>(b.batches[0])}),
        JournalRecord(ProposalRecord{{View{0}, block, vote(Phase::kPrepare).envelope}}),
        JournalRecord(PrepareRecord{vote(Phase::kPrepare)}),
        JournalRecord(CommitRecord{vote(Phase::kCommit), c.Certify(Height{1}, hash, 3, Phase::kPrepare)}),
        JournalRecord(CommittedRecord{block, b.certificate}), JournalRecord(state),
        JournalRecord(ViewChangeRecord{{asked, block}}),
        JournalRecord(NewViewRecord{{{View{4}, {asked, asked}, asked.envelope}, nullptr}})})
    seeds.push_back(EncodeRecord(record));
  return seeds;
}

}  // namespace dadbs::core::fuzz
