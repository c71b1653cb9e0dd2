#include "dadbs/core/chain.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "chain_fixture.h"

namespace dadbs::core {
namespace {

using test::InsertWriteSet;
using test::TestBlock;
using test::TestCluster;

// Incarnations of all, then batches of members 1 and 2: what the damage tests damage.
TestBlock FirstBlock(const TestCluster& c) {
  std::vector<IncarnationEntry> entries;
  for (const Member& m : c.genesis.members) entries.push_back(c.MakeIncarnation(m.id));
  return c.MakeBlock(nullptr, entries, {});
}
TestBlock SecondBlock(const TestCluster& c, const TestBlock& first) {
  const NodeId other{static_cast<uint16_t>(c.genesis.members.size())};
  return c.MakeBlock(&first, {},
                     {c.MakeBatch(NodeId{1}, 1, {InsertWriteSet("a"), InsertWriteSet("b")}),
                      c.MakeBatch(other, other == NodeId{1} ? 3 : 1, {InsertWriteSet("c")})});
}

std::string Check(const TestCluster& c, const TestBlock& b, const TestBlock* parent) {
  return CheckBlock(b.block, parent ? &parent->block.header : nullptr,
                    parent ? parent->block.header.hash() : c.genesis.chain_id(), b.certificate, b.transaction_hashes,
                    c.genesis, Ed25519Verifier());
}

// ---- genesis -------------------------------------------------------------------------------------------------------

TEST(Genesis, RoundTripAndLookup) {
  TestCluster c(4);
  c.genesis.schemas = {"public", "shop"};
  c.genesis.sequence_stride = 4;
  const Bytes bytes = c.genesis.Encode();
  Genesis read;
  ASSERT_TRUE(Genesis::Decode(bytes, &read));
  EXPECT_EQ(read.Encode(), bytes);
  EXPECT_EQ(read.chain_id(), c.genesis.chain_id());
  EXPECT_EQ(read.schemas, c.genesis.schemas);
  EXPECT_EQ(read.environment, c.genesis.environment);
  EXPECT_EQ(read.Find(NodeId{4})->name, "m4");
  EXPECT_EQ(read.Find(NodeId{0}), nullptr);
  EXPECT_EQ(read.Find(NodeId{5}), nullptr);
  EXPECT_EQ(read.FindByName("m2")->id, NodeId{2});
  EXPECT_EQ(read.FindByName("nobody"), nullptr);
  EXPECT_EQ(read.FindByKey(c.signer(NodeId{3}).public_key())->id, NodeId{3});
  EXPECT_EQ(read.quorum(), 3u);
  EXPECT_EQ(read.approvals_needed(), 1u);  // of before there were approvals
}

TEST(Genesis, SaysHowManyMustApprove) {
  TestCluster c(4);
  const Bytes before = c.genesis.Encode();
  c.genesis.approvals = 3;
  const Bytes bytes = c.genesis.Encode();
  EXPECT_EQ(bytes.size(), before.size() + 2);
  Genesis read;
  ASSERT_TRUE(Genesis::Decode(bytes, &read));
  EXPECT_EQ(read.approvals_needed(), 3u);
  EXPECT_EQ(read.chain_id(), c.genesis.chain_id());
  EXPECT_FALSE(Genesis::Decode(ByteView(bytes).first(bytes.size() - 1), &read));
}

TEST(Genesis, EveryByteIsPartOfTheChainsIdentity) {
  const TestCluster c(2);
  const Bytes bytes = c.genesis.Encode();
  for (size_t i = 0; i < bytes.size(); i++) {
    Bytes bad = bytes;
    bad[i] ^= 1;
    Genesis read;
    if (!Genesis::Decode(bad, &read)) continue;
    ASSERT_NE(read.chain_id(), c.genesis.chain_id()) << i;
    ASSERT_EQ(read.Encode(), bad) << i;
  }
  Genesis read;
  for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(Genesis::Decode(ByteView(bytes).first(size), &read));
}

TEST(Genesis, RefusesUnsoundMembers) {
  const auto refused = [](const std::function<void(Genesis*)>& damage) {
    TestCluster c(3);
    damage(&c.genesis);
    Genesis read;
    return !Genesis::Decode(c.genesis.Encode(), &read);
  };
  EXPECT_FALSE(refused([](Genesis*) {}));
  EXPECT_TRUE(refused([](Genesis* g) { g->members.clear(); }));
  EXPECT_TRUE(refused([](Genesis* g) { g->members[1].id = NodeId{3}; }));
  EXPECT_TRUE(refused([](Genesis* g) { std::swap(g->members[0], g->members[1]); }));
  EXPECT_TRUE(refused([](Genesis* g) { g->members[1].name = g->members[0].name; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->members[1].name = ""; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->members[1].key = g->members[2].key; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->format = 2; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->sequence_stride = 0; }));
  EXPECT_FALSE(refused([](Genesis* g) { g->approvals = 3; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->approvals = 0; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->approvals = 4; }));
  EXPECT_TRUE(refused([](Genesis* g) { g->cluster_name = std::string("a\0b", 3); }));
  EXPECT_TRUE(refused([](Genesis* g) { g->members[0].address = std::string(kGenesisTextBytesMax + 1, 'x'); }));
}

// ---- batches and items ---------------------------------------------------------------------------------------------

TEST(Batch, BodyIsTheOneTheHeaderNames) {
  const TestCluster c(1);
  const auto damaged = [&](const std::function<void(Batch*)>& damage) {
    Batch batch = c.MakeBatch(NodeId{1}, 1, {InsertWriteSet("a"), InsertWriteSet("bb")});
    damage(&batch);
    std::string why;
    return batch.BodyMatches(&why) ? "" : why;
  };
  EXPECT_EQ(damaged([](Batch*) {}), "");
  EXPECT_EQ(damaged([](Batch* b) { b->write_sets.pop_back(); }), "the number of transactions is not the header's");
  EXPECT_EQ(damaged([](Batch* b) { b->header.count = 3; }), "the number of transactions is not the header's");
  EXPECT_EQ(damaged([](Batch* b) { b->header = {}, b->write_sets.clear(); }),
            "the number of transactions is not the header's");
  EXPECT_EQ(damaged([](Batch* b) { b->header.body_bytes++; }), "the number of bytes is not the header's");
  EXPECT_EQ(damaged([](Batch* b) { std::swap(b->write_sets[0], b->write_sets[1]); }),
            "the transactions do not have the header's Merkle root");
  EXPECT_EQ(damaged([](Batch* b) { b->write_sets[1].back() ^= 1; }),
            "the transactions do not have the header's Merkle root");
  EXPECT_EQ(damaged([](Batch* b) { b->write_sets[1][0] = 9; }), "transaction 2 is malformed");
}

// What is wrong inside a change is a verdict, not a reason to refuse the batch: the frame alone is checked.
TEST(Batch, MalformedChangeIsStillABatch) {
  const TestCluster c(1);
  WriteSetBuilder builder(WriteSetKind::kRows);
  const Bytes nonsense = {'?', 1, 2};
  builder.Add(test::Filled<Salt>(1), nonsense);
  const Batch batch = c.MakeBatch(NodeId{1}, 1, {builder.Finish({})});
  EXPECT_TRUE(batch.BodyMatches());
  WriteSetView view;
  EXPECT_FALSE(ParseWriteSet(batch.write_sets[0], &view));
}

TEST(Batch, BodyRoundTrip) {
  const std::vector<Bytes> sets = {InsertWriteSet("a"), Bytes{}, InsertWriteSet("b")};
  const Bytes bytes = EncodeBatchBody(sets);
  std::vector<Bytes> read;
  ASSERT_TRUE(DecodeBatchBody(bytes, &read));
  EXPECT_EQ(read, sets);
  for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(DecodeBatchBody(ByteView(bytes).first(size), &read));
  const Bytes lying = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
  EXPECT_FALSE(DecodeBatchBody(lying, &read));
}

TEST(Item, RoundTripAndSignature) {
  const TestCluster c(2), other(2, 9);
  const Item items[] = {c.MakeBatch(NodeId{2}, 1, {InsertWriteSet("a")}).header, c.MakeIncarnation(NodeId{2})};
  for (const Item& item : items) {
    Writer w;
    EncodeItem(w, item);
    Reader r(w.bytes());
    Item read;
    ASSERT_TRUE(DecodeItem(r, &read) && r.Done());
    EXPECT_EQ(ItemLeaf(read), ItemLeaf(item));
    EXPECT_TRUE(VerifyItem(item, c.context(), c.genesis, Ed25519Verifier()));
    EXPECT_FALSE(VerifyItem(item, other.context(), c.genesis, Ed25519Verifier()));  // another chain
    EXPECT_FALSE(VerifyItem(item, {c.genesis.chain_id(), Epoch{2}}, c.genesis, Ed25519Verifier()));
    for (size_t i = 0; i < w.size(); i++) {
      Bytes bad = w.bytes();
      bad[i] ^= 1;
      Reader bad_reader(bad);
      if (!DecodeItem(bad_reader, &read)) continue;
      ASSERT_NE(ItemLeaf(read), ItemLeaf(item)) << i;
      ASSERT_FALSE(VerifyItem(read, c.context(), c.genesis, Ed25519Verifier())) << i;
    }
  }
}

TEST(Item, DigestOfABatchLeavesItsSignatureOut) {
  const TestCluster c(1);
  BatchHeader header = c.MakeBatch(NodeId{1}, 1, {InsertWriteSet("a")}).header;
  const Digest digest = header.digest();
  const Digest leaf = ItemLeaf(header);
  header.signature.bytes[0] ^= 1;
  EXPECT_EQ(header.digest(), digest);
  EXPECT_NE(ItemLeaf(header), leaf);
}

// ---- blocks --------------------------------------------------------------------------------------------------------

TEST(Block, RoundTripOfEveryField) {
  const TestCluster c(4);
  const TestBlock first = FirstBlock(c), second = SecondBlock(c, first);
  for (const TestBlock* b : {&first, &second}) {
    const Bytes bytes = b->block.Encode();
    Block read;
    ASSERT_TRUE(Block::Decode(bytes, &read));
    EXPECT_EQ(read.Encode(), bytes);
    EXPECT_EQ(read.header.hash(), b->block.header.hash());
    for (size_t size = 0; size < bytes.size(); size++) ASSERT_FALSE(Block::Decode(ByteView(bytes).first(size), &read));
    for (size_t i = 0; i < bytes.size(); i++) {
      Bytes bad = bytes;
      bad[i] ^= 1;
      if (Block::Decode(bad, &read)) {
        ASSERT_EQ(read.Encode(), bad) << i;
      }
    }
  }
  EXPECT_EQ(second.block.header.Encode().size(), kBlockHeaderBytes);
}

TEST(Block, CountsBeyondTheLimitsAreRefused) {
  const TestCluster c(1);
  TestBlock b = FirstBlock(c);
  Bytes bytes = b.block.Encode();
  for (size_t i = 0; i < 4; i++) bytes[4 + kBlockHeaderBytes + i] = 0xff;  // the items' count
  Block read;
  EXPECT_FALSE(Block::Decode(bytes, &read));
  b.block.header.item_count = 2;  // says two, holds one
  EXPECT_FALSE(Block::Decode(b.block.Encode(), &read));
}

TEST(CheckBlock, AcceptsSoundBlocks) {
  for (size_t n : {1, 2, 4, 7}) {
    const TestCluster c(n);
    const TestBlock first = FirstBlock(c), second = SecondBlock(c, first);
    EXPECT_EQ(Check(c, first, nullptr), "") << n;
    EXPECT_EQ(Check(c, second, &first), "") << n;
  }
}

TEST(CheckBlock, TheTransactionTreeHasTheBatchesLeaves) {
  const TestCluster c(4);
  const TestBlock first = FirstBlock(c), second = SecondBlock(c, first);
  ASSERT_EQ(second.transaction_hashes.size(), 3u);
  EXPECT_EQ(second.block.header.transactions_root, TransactionTreeRoot(second.transaction_hashes));
  EXPECT_EQ(second.batches[0].header.transaction_root,
            TransactionTreeRoot(std::span(second.transaction_hashes).first(2)));
}

struct Damage {
  const char* expected;
  std::function<void(const TestCluster&, TestBlock*)> apply;
};

// After header damage the certificate is made anew by the same members: what is left is the damage itself.
void Recertify(const TestCluster& c, TestBlock* b) {
  b->certificate = c.Certify(b->block.header.height, b->block.header.hash(), c.genesis.quorum());
}

TEST(CheckBlock, FindsEveryKindOfDamage) {
  using C = const TestCluster&;
  const Damage cases[] = {
      {"the block belongs to another chain", [](C, TestBlock* b) { b->block.header.chain_id.bytes[0] ^= 1; }},
      {"unknown block format", [](C, TestBlock* b) { b->block.header.format = 2; }},
      {"unknown membership epoch", [](C, TestBlock* b) { b->block.header.epoch = Epoch{2}; }},
      {"the height is not the parent's + 1", [](C, TestBlock* b) { b->block.header.height = Height{3}; }},
      {"the previous hash is not the parent's", [](C, TestBlock* b) { b->block.header.previous_hash.bytes[9] ^= 1; }},
      {"the time is not after the parent's", [](C, TestBlock* b) { b->block.header.time_us -= 1000; }},
      {"the proposer is not a member", [](C, TestBlock* b) { b->block.header.proposer = NodeId{5}; }},
      {"the proposer is not a member", [](C, TestBlock* b) { b->block.header.proposer = kNobody; }},
      {"the number of items is not the header's", [](C, TestBlock* b) { b->block.header.item_count++; }},
      {"the number of items is not the header's", [](C, TestBlock* b) { b->block.items.pop_back(); }},
      {"the number of transactions is not the header's", [](C, TestBlock* b) { b->block.header.transaction_count--; }},
      {"the number of transactions is not the header's", [](C, TestBlock* b) { b->transaction_hashes.pop_back(); }},
      {"the number of bytes is not the batches' sum", [](C, TestBlock* b) { b->block.header.body_bytes++; }},
      {"the items do not have the block's Merkle root",
       [](C, TestBlock* b) { b->block.header.items_root.bytes[0] ^= 1; }},
      {"the transactions do not have the block's Merkle root",
       [](C, TestBlock* b) { b->block.header.transactions_root.bytes[0] ^= 1; }},
      {"item 0: the transactions do not have the batch's Merkle root",
       [](C, TestBlock* b) { std::swap(b->transaction_hashes[0], b->transaction_hashes[1]); }},
      {"item 1: the transactions do not have the batch's Merkle root",
       [](C, TestBlock* b) { b->transaction_hashes[2].bytes[0] ^= 1; }},
      {"item 1: the origin's signature is wrong",
       [](C, TestBlock* b) { std::get<BatchHeader>(b->block.items[1]).signature.bytes[3] ^= 1; }},
      {"item 1: the origin's signature is wrong",
       [](C, TestBlock* b) { std::get<BatchHeader>(b->block.items[1]).origin = NodeId{3}; }},
      {"item 1: the origin's signature is wrong",
       [](C, TestBlock* b) { std::get<BatchHeader>(b->block.items[1]).origin = NodeId{9}; }},
      {"item 1: transaction numbers are not contiguous",
       [](C, TestBlock* b) { b->block.items[1] = b->block.items[0]; }},
      {"certificate: not of COMMIT votes",
       [](C c, TestBlock* b) {
         b->certificate = c.Certify(b->certificate.height, b->certificate.hash, 3, Phase::kPrepare);
       }},
      {"certificate: of another block",
       [](C c, TestBlock* b) { b->certificate = c.Certify(Height{3}, b->certificate.hash, 3); }},
      {"certificate: of another block",
       [](C c, TestBlock* b) { b->certificate = c.Certify(Height{2}, c.genesis.chain_id(), 3); }},
      {"certificate: 2 votes, a quorum has 3", [](C, TestBlock* b) { b->certificate.votes.pop_back(); }},
      {"certificate: the signature of member 2 is wrong",
       [](C, TestBlock* b) { b->certificate.votes[1].signature.bytes[0] ^= 1; }},
  };
  const TestCluster c(4);
  const TestBlock first = FirstBlock(c);
  for (const Damage& d : cases) {
    TestBlock b = SecondBlock(c, first);
    const Digest hash = b.block.header.hash();
    d.apply(c, &b);
    if (b.block.header.hash() != hash) {
      EXPECT_NE(Check(c, b, &first), "");  // the old certificate never covers it
      Recertify(c, &b);
    }
    EXPECT_EQ(Check(c, b, &first), d.expected);
  }
}

TEST(CheckBlock, ItemOrderIsBound) {
  const TestCluster c(4);
  const TestBlock first = FirstBlock(c);
  TestBlock b = first;
  std::swap(b.block.items[0], b.block.items[1]);
  EXPECT_EQ(Check(c, b, nullptr), "the items do not have the block's Merkle root");
}

TEST(CheckBlock, FirstBlockFollowsTheGenesis) {
  const TestCluster c(4);
  const TestBlock first = FirstBlock(c), second = SecondBlock(c, first);
  EXPECT_EQ(
      CheckBlock(first.block, nullptr, first.block.header.hash(), first.certificate, {}, c.genesis, Ed25519Verifier()),
      "block 1 follows the genesis, not this hash");
  EXPECT_EQ(Check(c, second, nullptr), "the height is not the parent's + 1");
  EXPECT_EQ(CheckBlock(second.block, &first.block.header, c.genesis.chain_id(), second.certificate,
                       second.transaction_hashes, c.genesis, Ed25519Verifier()),
            "the parent's header does not have the parent's hash");
}

TEST(CheckBlock, NothingFollowsAnIncarnationEntryInItsBlock) {
  const TestCluster c(4);
  const TestBlock twice = c.MakeBlock(nullptr, {c.MakeIncarnation(NodeId{1}, 2), c.MakeIncarnation(NodeId{1}, 3)}, {});
  EXPECT_EQ(Check(c, twice, nullptr), "item 1: an item of an origin after its incarnation entry");
  const TestBlock old =
      c.MakeBlock(nullptr, {c.MakeIncarnation(NodeId{1}, 2)}, {c.MakeBatch(NodeId{1}, 1, {InsertWriteSet("a")})});
  EXPECT_EQ(Check(c, old, nullptr), "item 1: an item of an origin after its incarnation entry");
}

TEST(CheckBlock, IncarnationEntriesExpire) {
  const TestCluster c(4);
  IncarnationEntry entry = c.MakeIncarnation(NodeId{1});
  entry.recent_height = Height{1};  // the block that it stands in
  entry.signature = c.signer(NodeId{1}).Sign(entry.SigningBytes(c.context()));
  EXPECT_EQ(Check(c, c.MakeBlock(nullptr, {entry}, {}), nullptr), "item 0: an incarnation entry that has expired");
}

TEST(CheckBlock, EmptyBlockIsRefused) {
  const TestCluster c(4);
  EXPECT_EQ(Check(c, c.MakeBlock(nullptr, {}, {}), nullptr), "an empty block");
}

// ---- certificates --------------------------------------------------------------------------------------------------

class CertificateTest : public ::testing::Test {
 protected:
  std::string Verify(const Certificate& certificate) const {
    std::string why;
    return VerifyCertificate(certificate, c.genesis, Ed25519Verifier(), &why) ? "" : why;
  }
  TestCluster c{4};
  Digest hash = test::Filled<Digest>(0x33);
  Certificate good = c.Certify(Height{7}, hash, 3);
};

TEST_F(CertificateTest, QuorumOrMore) {
  EXPECT_EQ(Verify(good), "");
  EXPECT_EQ(Verify(c.Certify(Height{7}, hash, 4)), "");
  EXPECT_EQ(Verify(c.Certify(Height{7}, hash, 3, Phase::kPrepare)), "");
  EXPECT_EQ(Verify(c.Certify(Height{7}, hash, 2)), "2 votes, a quorum has 3");
  EXPECT_EQ(Verify(c.Certify(Height{7}, hash, 0)), "0 votes, a quorum has 3");
}

TEST_F(CertificateTest, EachSignerCountsOnce) {
  Certificate bad = good;
  bad.votes[2] = bad.votes[1];
  EXPECT_EQ(Verify(bad), "votes are not of distinct members in ascending order");
  bad = good;
  std::swap(bad.votes[0], bad.votes[1]);
  EXPECT_EQ(Verify(bad), "votes are not of distinct members in ascending order");
  bad = good;
  bad.votes[2].signer = NodeId{9};
  EXPECT_EQ(Verify(bad), "member 9 does not exist");
  bad.votes[2].signer = NodeId{4};  // member 3's signature under another name
  EXPECT_EQ(Verify(bad), "the signature of member 4 is wrong");
}

TEST_F(CertificateTest, EverySignedFieldCounts) {
  const std::function<void(Certificate*)> damages[] = {
      [](Certificate* x) { x->view = View{1}; },
      [](Certificate* x) { x->height = Height{8}; },
      [](Certificate* x) { x->hash.bytes[31] ^= 1; },
      [](Certificate* x) { x->phase = Phase::kPrepare; },
      [](Certificate* x) { x->votes[0].incarnation++; },
      [](Certificate* x) { x->votes[0].journal_sequence++; },
      [](Certificate* x) { x->votes[0].signature.bytes[63] ^= 0x10; },
  };
  for (const auto& damage : damages) {
    Certificate bad = good;
    damage(&bad);
    EXPECT_EQ(Verify(bad), "the signature of member 1 is wrong");
  }
  Certificate bad = good;
  bad.epoch = Epoch{2};
  EXPECT_EQ(Verify(bad), "unknown membership epoch");
  bad = c.Certify(Height{7}, hash, 3, Phase::kProposal);
  EXPECT_EQ(Verify(bad), "votes of a phase that certifies nothing");
}

TEST_F(CertificateTest, NotOfAnotherChain) {
  const TestCluster other(4, 9);  // same keys, another nonce
  EXPECT_EQ(Verify(other.Certify(Height{7}, hash, 3)), "the signature of member 1 is wrong");
}

TEST_F(CertificateTest, RoundTrip) {
  const Bytes bytes = good.Encode();
  Certificate read;
  ASSERT_TRUE(Certificate::Decode(bytes, &read));
  EXPECT_EQ(read.Encode(), bytes);
  EXPECT_EQ(Verify(read), "");
  for (size_t size = 0; size < bytes.size(); size++)
    ASSERT_FALSE(Certificate::Decode(ByteView(bytes).first(size), &read));
  for (size_t i = 0; i < bytes.size(); i++) {
    Bytes bad = bytes;
    bad[i] ^= 1;
    if (!Certificate::Decode(bad, &read)) continue;
    ASSERT_EQ(read.Encode(), bad) << i;
    ASSERT_NE(Verify(read), "") << i;
  }
  Certificate twice = good;
  twice.votes[1] = twice.votes[0];
  EXPECT_FALSE(Certificate::Decode(twice.Encode(), &read));
}

TEST(Vote, NoPhaseEpochOrChainIsAnother) {
  const TestCluster a(1), b(1, 2);
  const Digest hash = test::Filled<Digest>(1);
  std::set<Bytes> messages;
  size_t made = 0;
  for (const SignContext& ctx : {a.context(), b.context(), SignContext{a.genesis.chain_id(), Epoch{2}}})
    for (const Phase phase : {Phase::kProposal, Phase::kPrepare, Phase::kCommit})
      for (uint64_t view : {0, 1})
        for (uint64_t height : {1, 2}) {
          messages.insert(VoteSigningBytes(ctx, phase, NodeId{1}, 1, 1, View{view}, Height{height}, hash));
          made++;
        }
  EXPECT_EQ(messages.size(), made);
}

// ---- transaction ids -----------------------------------------------------------------------------------------------

TEST(TransactionIdText, RoundTrip) {
  const TransactionId ids[] = {{NodeId{2}, 1, 345}, {NodeId{65535}, UINT64_MAX, UINT64_MAX}, {NodeId{0}, 0, 0}};
  for (const TransactionId& id : ids) {
    TransactionId read;
    ASSERT_TRUE(ParseTransactionId(ToString(id), &read)) << ToString(id);
    EXPECT_EQ(read, id);
  }
  EXPECT_EQ(ToString(ids[0]), "2.1.345");
}

TEST(TransactionIdText, RefusesEverythingElse) {
  TransactionId id;
  for (const char* text :
       {"", ".", "1", "1.2", "1.2.", "1.2.3.", "1.2.3.4", " 1.2.3", "1.2.3 ", "+1.2.3", "-1.2.3", "1..3", "01.2.3",
        "1.02.3", "1.2.03", "65536.1.1", "1.18446744073709551616.1", "a.b.c", "1.2.0x3"})
    EXPECT_FALSE(ParseTransactionId(text, &id)) << text;
}

}  // namespace
}  // namespace dadbs::core
