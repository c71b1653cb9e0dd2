// Evidence: what proves guilt, and all that does not.
#include "dadbs/core/evidence.h"

#include <gtest/gtest.h>

#include "chain_fixture.h"

namespace dadbs::core {
namespace {

using namespace test;

const TestCluster& Group() {
  static const TestCluster cluster(4);
  return cluster;
}

Digest ChainId() { return Group().genesis.chain_id(); }

VoteMessage Vote(NodeId signer, uint8_t hash, Phase phase = Phase::kPrepare, View view = View{0}, Height height = Height{7}, uint64_t incarnation = 1) {
  VoteMessage vote{phase, Epoch{1}, view, height, Filled<Digest>(hash), {signer, incarnation, 40u + hash, {}}};
  vote.envelope.signature = Group().signer(signer).Sign(
      VoteSigningBytes(Group().context(), phase, signer, incarnation, vote.envelope.journal_sequence, view, height, vote.hash));
  return vote;
}

BatchHeader Header(NodeId origin, uint64_t first, size_t count, const char* what, uint64_t incarnation = 1) {
  BatchHeader h = Group().MakeBatch(origin, first, std::vector<Bytes>(count, InsertWriteSet(what))).header;
  h.incarnation = incarnation;
  h.signature = Group().signer(origin).Sign(h.SigningBytes(Group().context()));
  return h;
}

std::string Check(const Evidence& e) { return CheckEvidence(e, Group().genesis, Ed25519Verifier()); }
std::string Check(const VoteMessage& a, const VoteMessage& b) { return Check(MakeEvidence(ChainId(), a, b)); }
std::string Check(const BatchHeader& a, const BatchHeader& b) { return Check(MakeEvidence(ChainId(), a, b)); }

TestBlock Sound(const TestBlock* parent = nullptr) {
  std::vector<IncarnationEntry> entries;
  if (!parent) entries.push_back(Group().MakeIncarnation(NodeId{1}));
  std::vector<Batch> batches;
  if (parent) batches.push_back(Group().MakeBatch(NodeId{1}, 1, {InsertWriteSet("a"), InsertWriteSet("b")}));
  return Group().MakeBlock(parent, entries, batches);
}

InvalidBlock Voted(const Block& block, std::optional<BlockHeader> parent = std::nullopt, NodeId signer = NodeId{2}) {
  InvalidBlock proof{{Phase::kPrepare, Epoch{1}, View{0}, block.header.height, block.header.hash(), {}}, block, parent};
  proof.vote.envelope = Group().Vote(signer, Phase::kPrepare, View{0}, block.header.height, block.header.hash());
  return proof;
}

std::string Check(const InvalidBlock& proof) { return Check(Evidence{ChainId(), proof}); }

void SetItems(Block* block, std::vector<Item> items) {  // and what the header says of them
  BlockHeader parent;
  parent.height = block->header.height.prev();
  uint64_t transactions = 0;
  for (const Item& item : items)
    if (const auto* batch = std::get_if<BatchHeader>(&item)) transactions += batch->count;
  const BlockHeader& h = block->header;
  block->header = Block::MakeHeader(h.chain_id, h.epoch, &parent, h.previous_hash, h.time_us, h.proposer, items, std::vector<Digest>(transactions));
  block->items = std::move(items);
}

// ---- votes

TEST(Evidence, TwoVotesInOneSlot) {
  for (Phase phase : {Phase::kPrepare, Phase::kCommit}) {
    const VoteMessage a = Vote(NodeId{2}, 1, phase), b = Vote(NodeId{2}, 9, phase);
    EXPECT_EQ(Check(a, b), "");
    const EvidenceSlot slot = SlotOf(MakeEvidence(ChainId(), a, b));
    EXPECT_EQ(slot, (EvidenceSlot{NodeId{2}, EvidenceKind::kVotes, 1, static_cast<uint8_t>(phase), View{0}, Height{7}, 0}));
  }
}

TEST(Evidence, VotesOfDifferentSlotsProveNothing) {
  const VoteMessage a = Vote(NodeId{2}, 1);
  EXPECT_EQ(Check(a, a), "the votes are for the same block");
  EXPECT_EQ(Check(a, Vote(NodeId{3}, 9)), "the votes are of two members");
  EXPECT_EQ(Check(a, Vote(NodeId{2}, 9, Phase::kCommit)), "the votes are of two phases");
  EXPECT_EQ(Check(a, Vote(NodeId{2}, 9, Phase::kPrepare, View{1})), "the votes are of two views");
  EXPECT_EQ(Check(a, Vote(NodeId{2}, 9, Phase::kPrepare, View{0}, Height{8})), "the votes are of two heights");
  EXPECT_EQ(Check(a, Vote(NodeId{2}, 9, Phase::kPrepare, View{0}, Height{7}, 2)), "the votes are of two incarnations");
  EXPECT_EQ(Check(a, Vote(NodeId{2}, 9, Phase::kPrepare, View{0}, Height{7}, kIncarnationsPerEra)), "the votes are of two incarnations");
}

TEST(Evidence, EachFieldOfAVoteIsUnderItsSignature) {
  const VoteMessage a = Vote(NodeId{2}, 1), b = Vote(NodeId{2}, 9);
  const auto with = [&](auto change) {
    VoteMessage x = a, y = b;
    change(x), change(y);
    return Check(x, y);
  };
  EXPECT_EQ(with([](VoteMessage&) {}), "");
  EXPECT_EQ(with([](VoteMessage& v) { v.envelope.signer = NodeId{3}; }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.envelope.incarnation++; }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.envelope.journal_sequence++; }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.view = v.view.next(); }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.height = v.height.next(); }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.hash.bytes[31] ^= 1; }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.phase = Phase::kCommit; }), "a signature is wrong");
  EXPECT_EQ(with([](VoteMessage& v) { v.epoch = Epoch{2}; }), "a vote is of an epoch that there is not");
  EXPECT_EQ(with([](VoteMessage& v) { v.envelope.signer = NodeId{5}; }), "nobody of this cluster is accused");
}

TEST(Evidence, IsOfOneChain) {
  const Evidence e = MakeEvidence(ChainId(), Vote(NodeId{2}, 1), Vote(NodeId{2}, 9));
  const TestCluster other(4, 2);
  EXPECT_EQ(CheckEvidence(e, other.genesis, Ed25519Verifier()), "it is of another chain");
  Evidence renamed = e;
  renamed.chain_id = other.genesis.chain_id();
  EXPECT_EQ(CheckEvidence(renamed, other.genesis, Ed25519Verifier()), "a signature is wrong");
}

// ---- batches

TEST(Evidence, TwoBatchesUnderOneNumber) {
  EXPECT_EQ(Check(Header(NodeId{3}, 5, 1, "a"), Header(NodeId{3}, 5, 1, "b")), "");
  EXPECT_EQ(Check(Header(NodeId{3}, 5, 4, "a"), Header(NodeId{3}, 8, 2, "b")), "");
  EXPECT_EQ(SlotOf(MakeEvidence(ChainId(), Header(NodeId{3}, 5, 4, "a"), Header(NodeId{3}, 8, 2, "b"))).number, 8u);
  EXPECT_EQ(Check(Header(NodeId{3}, 5, 9, "a"), Header(NodeId{3}, 6, 1, "b")), "");
}

TEST(Evidence, BatchesThatFollowEachOtherProveNothing) {
  const BatchHeader a = Header(NodeId{3}, 5, 2, "a");
  EXPECT_EQ(Check(a, a), "it is the same batch twice");
  EXPECT_EQ(Check(a, Header(NodeId{3}, 7, 2, "b")), "the batches have no number in common");
  EXPECT_EQ(Check(a, Header(NodeId{3}, 4, 1, "b")), "the batches have no number in common");
  EXPECT_EQ(Check(a, Header(NodeId{2}, 5, 2, "b")), "the batches are of two members");
  EXPECT_EQ(Check(a, Header(NodeId{3}, 5, 2, "b", 2)), "the batches are of two incarnations");
  EXPECT_EQ(Check(a, Header(NodeId{3}, 5, 2, "b", kIncarnationsPerEra + 1)), "the batches are of two incarnations");
  BatchHeader forged = a;
  forged.body_bytes++;
  EXPECT_EQ(Check(a, forged), "a signature is wrong");
  BatchHeader far = Header(NodeId{3}, UINT64_MAX, 2, "b"), empty = Header(NodeId{3}, 5, 1, "b");
  empty.count = 0;
  empty.signature = Group().signer(NodeId{3}).Sign(empty.SigningBytes(Group().context()));
  EXPECT_EQ(Check(a, far), "the batches have no number in common");
  EXPECT_EQ(Check(a, empty), "the batches have no number in common");
}

// ---- blocks

TEST(Evidence, AVoteForABlockThatIsWrongByItself) {
  const TestBlock first = Sound(), second = Sound(&first);
  EXPECT_EQ(Check(Voted(first.block)), "nothing is wrong with the block");
  EXPECT_EQ(Check(Voted(second.block)), "nothing is wrong with the block");
  EXPECT_EQ(Check(Voted(second.block, first.block.header)), "nothing is wrong with the block");
  const auto changed = [](Block block, auto change) {
    change(block);
    return Voted(block);
  };
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { b.header.transaction_count++; })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { b.header.body_bytes++; })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { b.header.proposer = NodeId{9}; })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { b.header.chain_id = Filled<Digest>(3); })), "");
  EXPECT_EQ(Check(changed(first.block, [](Block& b) { b.header.time_us = Group().genesis.created_at_us; })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { SetItems(&b, {}); })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) { SetItems(&b, {b.items[0], b.items[0]}); })), "");
  EXPECT_EQ(Check(changed(second.block, [](Block& b) {
              std::get<BatchHeader>(b.items[0]).signature.bytes[3] ^= 1;
              SetItems(&b, b.items);
            })), "");
  InvalidBlock other_height = Voted(second.block);
  other_height.vote.height = Height{9};
  other_height.vote.envelope = Group().Vote(NodeId{2}, Phase::kPrepare, View{0}, Height{9}, other_height.vote.hash);
  EXPECT_EQ(Check(other_height), "");
}

TEST(Evidence, WhatTheAccuserPutsBesideTheBlockProvesNothing) {
  const TestBlock first = Sound(), second = Sound(&first);
  InvalidBlock proof = Voted(second.block);
  std::get<BatchHeader>(proof.block.items[0]).signature.bytes[3] ^= 1;  // not what the root says
  EXPECT_EQ(Check(proof), "the items are not those of the block");
  BlockHeader late = first.block.header;
  late.time_us += 1'000'000'000;
  EXPECT_EQ(Check(Voted(second.block, late)), "the parent is not the block's");
  proof = Voted(second.block);
  proof.block.header.time_us++;
  EXPECT_EQ(Check(proof), "the vote is for another block");
  proof = Voted(second.block);
  proof.vote.envelope.signature.bytes[0] ^= 1;
  EXPECT_EQ(Check(proof), "a signature is wrong");
}

TEST(Evidence, ABlockThatIsWrongAsItsParentsChild) {
  const TestBlock first = Sound(), second = Sound(&first);
  Block early = second.block;
  early.header.time_us = first.block.header.time_us;
  EXPECT_EQ(Check(Voted(early)), "nothing is wrong with the block");
  EXPECT_EQ(Check(Voted(early, first.block.header)), "");
  Block senseless = early;
  senseless.header.proposer = NodeId{9};
  EXPECT_EQ(Check(Voted(senseless, first.block.header)), "the parent has nothing to do with what is wrong");
}

// ---- encoding

std::vector<Evidence> OfEachKind() {
  const TestBlock first = Sound();
  Block wrong = Sound(&first).block;
  wrong.header.time_us = first.block.header.time_us;
  return {MakeEvidence(ChainId(), Vote(NodeId{2}, 9), Vote(NodeId{2}, 1)), MakeEvidence(ChainId(), Header(NodeId{3}, 5, 1, "b"), Header(NodeId{3}, 5, 1, "a")),
          {ChainId(), Voted(first.block)}, {ChainId(), Voted(wrong, first.block.header)}};
}

TEST(Evidence, HasOneEncoding) {
  for (const Evidence& e : OfEachKind()) {
    const Bytes bytes = e.Encode();
    Evidence back;
    ASSERT_TRUE(Evidence::Decode(bytes, &back));
    EXPECT_EQ(back.Encode(), bytes);
    EXPECT_EQ(SlotOf(back), SlotOf(e));
    Bytes longer = bytes, shorter(bytes.begin(), bytes.end() - 1), newer = bytes, unknown = bytes;
    longer.push_back(0);
    newer[0]++;
    unknown[1] = 4;
    for (const Bytes& wrong : {longer, shorter, newer, unknown, Bytes{}}) EXPECT_FALSE(Evidence::Decode(wrong, &back));
  }
  Evidence e = OfEachKind()[0];
  std::swap(std::get<TwoVotes>(e.proof).first, std::get<TwoVotes>(e.proof).second);
  EXPECT_FALSE(Evidence::Decode(e.Encode(), &e));
  e = OfEachKind()[1];
  std::swap(std::get<TwoBatches>(e.proof).first, std::get<TwoBatches>(e.proof).second);
  EXPECT_FALSE(Evidence::Decode(e.Encode(), &e));
}

TEST(Evidence, NoOtherBytesConvict) {
  for (const Evidence& e : OfEachKind()) {
    const Bytes bytes = e.Encode();
    for (size_t at = 0; at < bytes.size(); at++) {
      Bytes twisted = bytes;
      twisted[at] ^= 1;
      Evidence back;
      if (Evidence::Decode(twisted, &back)) {
        EXPECT_NE(Check(back), "") << NameOf(e.kind()) << " " << at;
      }
    }
  }
}

TEST(Evidence, TravelsInAWriteSetOfItsOwn) {
  const Bytes bytes = OfEachKind()[0].Encode();
  const Bytes write_set = MakeEvidenceWriteSet(bytes, PrefixWholeBlock(Height{3}), Salt{}, 1);
  EXPECT_TRUE(IsEvidenceWriteSet(write_set));
  ASSERT_TRUE(EvidenceOf(write_set));
  EXPECT_EQ(EvidenceOf(write_set)->Encode(), bytes);
  EXPECT_FALSE(EvidenceOf(InsertWriteSet("a")));
  WriteSetView view;
  const auto parses = [&](WriteSetKind kind, std::vector<Bytes> changes) {
    WriteSetBuilder builder(kind);
    for (const Bytes& change : changes) builder.Add(Salt{}, change);
    return ParseWriteSet(builder.Finish({}), &view);
  };
  const Bytes change = EncodeChange(EvidenceChange{bytes});
  EXPECT_TRUE(parses(WriteSetKind::kEvidence, {change}));
  EXPECT_FALSE(parses(WriteSetKind::kEvidence, {change, change}));
  EXPECT_FALSE(parses(WriteSetKind::kRows, {change}));
  EXPECT_FALSE(parses(WriteSetKind::kCalls, {change}));
  EXPECT_FALSE(parses(WriteSetKind::kEvidence, {EncodeChange(SequenceChange{{"public", "s"}, 1})}));
}

// ---- reporting

TEST(EvidenceToReport, EachWaitsItsTurnAndForgetsWhatIsOnTheChain) {
  const Evidence e = OfEachKind()[0];  // against 2
  EvidenceToReport next(NodeId{3}, 4), last(NodeId{1}, 4);
  next.Found(e, 1000), next.Found(e, 1000), last.Found(e, 1000);
  EXPECT_FALSE(next.TakeDue(1000 + 400'000));
  EXPECT_EQ(next.TakeDue(1000 + 500'000), e.Encode());
  EXPECT_FALSE(next.TakeDue(10'000'000));
  EXPECT_EQ(next.TakeDue(1000 + 10'500'000), e.Encode()) << "what is not on the chain by then was lost";
  EXPECT_FALSE(next.TakeDue(1000 + 20'500'000)) << "less and less often";
  EXPECT_TRUE(next.TakeDue(1000 + 30'500'000));
  next.OnChain(SlotOf(e));
  EXPECT_FALSE(next.TakeDue(1000 + 300'500'000));
  EXPECT_FALSE(last.TakeDue(1000 + 1'000'000));
  last.OnChain(SlotOf(e));
  EXPECT_EQ(last.waiting(), 0u);
  last.Found(e, 2000);
  EXPECT_EQ(last.waiting(), 0u);
  EvidenceToReport ahead(NodeId{4}, 4);  // its clock was an hour ahead, and steps back
  ahead.Found(e, 3'600'000'000);
  EXPECT_TRUE(ahead.TakeDue(1000));
}

}  // namespace
}  // namespace dadbs::core
