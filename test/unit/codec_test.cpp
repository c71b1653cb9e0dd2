/*
 * codec_test.cpp: every message survives the wire; what is no message is refused.
 */
#include "../../src/net/codec.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "../../src/net/send_queue.h"
#include "dadbs/net/transport.h"

namespace dadbs::net {
namespace {

using namespace core;

template <class T>
T Filled(uint8_t with) {
  T t;
  t.bytes.fill(with);
  return t;
}

std::shared_ptr<const Batch> SomeBatch() {
  auto batch = std::make_shared<Batch>();
  batch->header.origin = NodeId{3};
  batch->header.incarnation = 1ull << 40;
  batch->header.first_number = 17;
  batch->header.count = 3;
  batch->write_sets = {Bytes{1, 2, 3}, Bytes(1000, 7), Bytes{9}};
  batch->header.body_bytes = 1004;
  batch->header.transaction_root = Filled<Digest>(5);
  batch->header.journal_sequence = 99;
  batch->header.signature = Filled<Signature>(6);
  return batch;
}

IncarnationEntry SomeEntry() {
  IncarnationEntry entry;
  entry.origin = NodeId{2};
  entry.incarnation = 4;
  entry.nonce = Filled<Nonce>(8);
  entry.recent_height = Height{77};
  entry.recent_hash = Filled<Digest>(9);
  entry.journal_sequence = 12;
  entry.signature = Filled<Signature>(10);
  return entry;
}

std::shared_ptr<const Block> SomeBlock() {
  auto block = std::make_shared<Block>();
  block->items = {SomeBatch()->header, SomeEntry()};
  std::vector<Digest> hashes(3, Filled<Digest>(1));
  block->header = Block::MakeHeader(Filled<Digest>(2), Epoch{1}, nullptr, Filled<Digest>(2), 1'700'000'000'000'000,
                                    NodeId{1}, block->items, hashes);
  return block;
}

Signed SomeSignature(uint16_t node) { return {NodeId{node}, 5, 6, Filled<Signature>(7)}; }

std::vector<Message> EachMessage() {
  auto certificate = std::make_shared<Certificate>();
  certificate->height = Height{5};
  certificate->hash = Filled<Digest>(3);
  certificate->votes = {SomeSignature(1), SomeSignature(2), SomeSignature(4)};
  Certificate prepared = *certificate;
  prepared.phase = Phase::kPrepare;
  prepared.height = Height{6};
  const ViewChange at_genesis{View{4}, Height{0}, Filled<Digest>(1), std::nullopt, std::nullopt, SomeSignature(1)};
  const ViewChange later{View{4}, Height{5}, Filled<Digest>(3), *certificate, prepared, SomeSignature(2)};
  Attestation plain;
  plain.asker = NodeId{2};
  plain.nonce = Filled<Nonce>(9);
  plain.envelope = SomeSignature(1);
  Attestation showing = plain;
  showing.is_learner = true;
  showing.height = Height{5};
  showing.head = *certificate;
  showing.seen_incarnation = 4, showing.seen_sequence = 77;
  showing.vote = Certificate{Phase::kPrepare, Epoch{1}, View{1}, Height{6}, Filled<Digest>(3), {SomeSignature(2)}};
  showing.former = Certificate{Phase::kCommit, Epoch{1}, View{1}, Height{4}, Filled<Digest>(5), {SomeSignature(2)}};
  showing.entry = SomeEntry();
  return {
      AttestationRequest{Filled<Nonce>(9)},
      AttestationMessage{plain},
      AttestationMessage{showing},
      BatchMessage{SomeBatch()},
      ViewChangeMessage{at_genesis, nullptr},
      ViewChangeMessage{later, SomeBlock()},
      NewViewMessage{{View{4}, {}, SomeSignature(3)}, nullptr},
      NewViewMessage{{View{4}, {at_genesis, later}, SomeSignature(3)}, SomeBlock()},
      BatchAck{NodeId{4}, 2, 3, Filled<Digest>(4)},
      BatchRequest{{Filled<Digest>(1), Filled<Digest>(2)}},
      IncarnationMessage{SomeEntry()},
      ProposalMessage{View{3}, SomeBlock(), SomeSignature(1)},
      VoteMessage{Phase::kPrepare, Epoch{1}, View{2}, Height{3}, Filled<Digest>(4), SomeSignature(2)},
      VoteMessage{Phase::kCommit, Epoch{1}, View{0}, Height{UINT64_MAX}, Filled<Digest>(4), SomeSignature(3)},
      StateDigestMessage{{Height{7}, Filled<Digest>(9), SomeSignature(4)}},
      StatusMessage{Height{10}, Height{9}, View{0}, 3, 1234567, 500},
      BlockRequest{Height{3}, 100},
      BlockMessage{SomeBlock(), certificate, {SomeBatch()}, 3},
      BlockMessage{SomeBlock(), certificate, {}, 0},
      HistoryRequest{7, HistoryPart::kBlocks, Height{12}, 300},
      HistoryMessage{7, Height{13}, 5, Bytes{1, 2, 3}},
  };
}

TEST(CodecTest, EachMessageRoundTrips) {
  std::set<size_t> kinds;
  for (const Message& message : EachMessage()) {
    kinds.insert(message.index());
    Bytes bytes = EncodeMessage(message);
    Message back;
    std::string why;
    ASSERT_TRUE(DecodeMessage(bytes, &back, &why)) << message.index() << ": " << why;
    EXPECT_EQ(back.index(), message.index());
    EXPECT_EQ(EncodeMessage(back), bytes) << message.index();
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Message>);
}

TEST(CodecTest, ContentsArrive) {
  Message back;
  std::string why;
  ASSERT_TRUE(DecodeMessage(EncodeMessage(BatchMessage{SomeBatch()}), &back, &why));
  const Batch& batch = *std::get<BatchMessage>(back).batch;
  EXPECT_EQ(batch.write_sets, SomeBatch()->write_sets);
  EXPECT_EQ(batch.header.digest(), SomeBatch()->header.digest());
  EXPECT_EQ(batch.header.signature, SomeBatch()->header.signature);
  ASSERT_TRUE(DecodeMessage(EncodeMessage(ProposalMessage{View{3}, SomeBlock(), SomeSignature(1)}), &back, &why));
  const auto& proposal = std::get<ProposalMessage>(back);
  EXPECT_EQ(proposal.view, View{3});
  EXPECT_EQ(proposal.block->header.hash(), SomeBlock()->header.hash());
  EXPECT_EQ(proposal.envelope.signer, NodeId{1});
  EXPECT_EQ(proposal.envelope.signature, SomeSignature(1).signature);
}

TEST(CodecTest, FramesCarryTheirLength) {
  Bytes frame = EncodeFrame(Message(StatusMessage{}));
  Reader r(frame);
  EXPECT_EQ(r.U32(), frame.size() - kFrameHeaderBytes);
  WireMessage back;
  std::string why;
  Hello hello;
  hello.protocol_version = 7;
  hello.chain_id = Filled<Digest>(3);
  hello.node = NodeId{2};
  hello.environment = {{"collation", "C"}, {"empty", ""}};
  frame = EncodeFrame(WireMessage(hello));
  ASSERT_TRUE(DecodeEnvelope(ByteView(frame).subspan(kFrameHeaderBytes), &back, &why)) << why;
  EXPECT_EQ(std::get<Hello>(back).environment, hello.environment);
  EXPECT_EQ(std::get<Hello>(back).chain_id, hello.chain_id);
  Message message;
  EXPECT_FALSE(DecodeMessage(ByteView(frame).subspan(kFrameHeaderBytes), &message, &why));
}

TEST(CodecTest, TruncationsAndFlipsNeverCrash) {
  std::mt19937 random(1);
  for (const Message& message : EachMessage()) {
    Bytes bytes = EncodeMessage(message);
    Message back;
    std::string why;
    for (size_t n = 0; n < bytes.size(); n++) {
      // A cut between two fields is a message without the last ones: it may pass only where that means a default.
      if (DecodeMessage(ByteView(bytes).first(n), &back, &why)) {
        EXPECT_NE(EncodeMessage(back), bytes);
      }
    }
    for (int i = 0; i < 2000; i++) {
      Bytes flipped = bytes;
      for (uint32_t flips = 1 + random() % 4; flips > 0; flips--)
        flipped[random() % flipped.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      if (DecodeMessage(flipped, &back, &why)) EncodeMessage(back);
    }
  }
}

TEST(CodecTest, RandomBytesAreRefused) {
  std::mt19937 random(2);
  int accepted = 0;
  for (int i = 0; i < 20000; i++) {
    Bytes bytes(random() % 200);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    Message back;
    std::string why;
    if (DecodeMessage(bytes, &back, &why))
      accepted++;
    else
      EXPECT_FALSE(why.empty());
  }
  EXPECT_LT(accepted, 100);
}

// 2 bytes on the wire that cost 24 and more in memory each, over and over.
TEST(CodecTest, MemoryIsBoundedByTheFrame) {
  Bytes batch;
  for (int i = 0; i < (40 << 20); i++) {
    batch.push_back(0x12);
    batch.push_back(0);
  }
  Bytes envelope{0x52};
  for (uint64_t n = batch.size(); n > 0; n >>= 7)
    envelope.push_back(static_cast<uint8_t>((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
  envelope.insert(envelope.end(), batch.begin(), batch.end());
  Message back;
  std::string why;
  EXPECT_FALSE(DecodeMessage(envelope, &back, &why));
}

TEST(CodecTest, RangesAreChecked) {
  std::string why;
  Message back;
  auto refused = [&](const Message& m, const char* word) {
    EXPECT_FALSE(DecodeMessage(EncodeMessage(m), &back, &why));
    EXPECT_NE(why.find(word), std::string::npos) << why;
  };
  refused(BatchAck{kNobody, 1, 1, {}}, "node id");
  refused(BatchRequest{std::vector<Digest>(kDigestsPerRequestMax + 1)}, "too many");
  refused(BlockRequest{Height{1}, kBlocksPerRequestMax + 1}, "too many");
  refused(VoteMessage{Phase::kProposal, Epoch{1}, View{}, Height{}, {}, SomeSignature(1)}, "phase");
  refused(VoteMessage{Phase::kCommit, Epoch{1}, View{}, Height{}, {}, SomeSignature(0)}, "node id");
  auto batch = std::make_shared<Batch>(*SomeBatch());
  batch->header.count = 4;
  refused(BatchMessage{batch}, "number of write sets");
  batch->header.count = 3;
  batch->header.body_bytes++;
  refused(BatchMessage{batch}, "size");
}

// ---- the send queue ---------------------------------------------------------------------------------------------

Frame FrameOf(uint8_t what, size_t bytes = 100) { return std::make_shared<Bytes>(bytes, what); }

TEST(SendQueueTest, KeepsTheOrder) {
  SendQueue queue;
  queue.Push(FrameOf(1), Worth::kOrder, 10'000);
  queue.Push(FrameOf(2), Worth::kRepeated, 10'000);
  queue.Push(FrameOf(3), Worth::kAskedFor, 10'000);
  queue.Push(FrameOf(4), Worth::kOrder, 10'000);
  for (uint8_t i = 1; i <= 4; i++) EXPECT_EQ(queue.Pop()->front(), i);
  EXPECT_EQ(queue.Pop(), nullptr);
  EXPECT_TRUE(queue.empty());
}

TEST(SendQueueTest, TheLeastPreciousGoesFirst) {
  SendQueue queue;
  const uint64_t max = 3 * (100 + kQueuedMessageOverheadBytes);
  queue.Push(FrameOf(1), Worth::kAskedFor, max);
  queue.Push(FrameOf(2), Worth::kRepeated, max);
  queue.Push(FrameOf(3), Worth::kOrder, max);
  EXPECT_EQ(queue.Push(FrameOf(4), Worth::kOrder, max), 1u);     // for 2
  EXPECT_EQ(queue.Push(FrameOf(5), Worth::kOrder, max), 1u);     // for 1
  EXPECT_EQ(queue.Push(FrameOf(6), Worth::kRepeated, max), 1u);  // itself
  EXPECT_EQ(queue.Push(FrameOf(7), Worth::kOrder, max), 1u);     // for 3
  EXPECT_LE(queue.bytes(), max);
  for (uint8_t expected : {4, 5, 7}) EXPECT_EQ(queue.Pop()->front(), expected);
}

TEST(SendQueueTest, AFrameAboveTheBoundCanBeSent) {
  SendQueue queue;
  queue.Push(FrameOf(1), Worth::kOrder, 1000);
  EXPECT_EQ(queue.Push(FrameOf(2, 5000), Worth::kAskedFor, 1000), 0u);
  EXPECT_EQ(queue.Push(FrameOf(3, 6000), Worth::kAskedFor, 1000), 1u);  // not two of them
  EXPECT_EQ(queue.Pop()->front(), 1);
  EXPECT_EQ(queue.Pop()->front(), 3);
  EXPECT_EQ(queue.bytes(), 0u);
}

}  // namespace
}  // namespace dadbs::net
