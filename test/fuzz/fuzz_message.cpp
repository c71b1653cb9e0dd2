// The envelope of everything that goes over a channel: any bytes may come, what is accepted says the same when it is sent on.
#include "../../src/net/codec.h"
#include "../unit/chain_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

Bytes EnvelopeOf(const net::WireMessage& message) {
  const Bytes frame = net::EncodeFrame(message);
  return {frame.begin() + net::kFrameHeaderBytes, frame.end()};
}

std::shared_ptr<const Batch> SomeBatch() {
  auto batch = std::make_shared<Batch>();
  batch->header.origin = NodeId{3};
  batch->header.incarnation = 2;
  batch->header.first_number = 17;
  batch->header.count = 2;
  batch->write_sets = {Bytes{1, 2, 3}, Bytes(40, 7)};
  batch->header.body_bytes = 43;
  return batch;
}

}  // namespace

void TryInput(ByteView input) {
  net::WireMessage message, again;
  std::string why;
  if (!net::DecodeEnvelope(input, &message, &why)) return Require(!why.empty(), "a refusal without a reason");
  const Bytes once = EnvelopeOf(message);
  Require(net::DecodeEnvelope(once, &again, &why), "what was accepted is not accepted when it is sent on");
  Require(again.index() == message.index() && EnvelopeOf(again) == once, "it says something else when it is sent on");
}

std::vector<Bytes> Seeds() {
  const test::TestCluster cluster(4);
  const Digest hash = test::Filled<Digest>(5);
  const Signed envelope{NodeId{2}, 1, 9, test::Filled<Signature>(6)};
  const auto certificate = std::make_shared<const Certificate>(cluster.Certify(Height{7}, hash, 3));
  auto block = std::make_shared<Block>();
  block->items = {SomeBatch()->header};
  block->header = Block::MakeHeader(hash, Epoch{1}, nullptr, hash, 1'700'000'000'000'000, NodeId{1}, block->items, std::vector<Digest>(2, hash));
  ViewChange change{View{3}, Height{7}, hash, *certificate, std::nullopt, envelope};
  std::vector<Bytes> seeds;
  for (const Message& m : std::vector<Message>{
           BatchMessage{SomeBatch()}, BatchAck{NodeId{3}, 2, 17, hash}, BatchRequest{{hash, hash}}, ProposalMessage{View{1}, block, envelope},
           VoteMessage{Phase::kCommit, Epoch{1}, View{1}, Height{8}, hash, envelope}, StatusMessage{Height{7}, Height{6}, View{1}, 2, 9, 100},
           BlockRequest{Height{3}, 5}, BlockMessage{block, certificate, {SomeBatch()}, 2}, ViewChangeMessage{change, block},
           NewViewMessage{NewView{View{3}, {change, change}, envelope}, block}, AttestationRequest{}})
    seeds.push_back(EnvelopeOf(m));
  net::Hello hello;
  hello.environment = {{"encoding", "UTF8"}, {"rules", "5"}};
  for (const net::WireMessage& m : std::vector<net::WireMessage>{hello, net::GenesisAnswer{cluster.genesis.Encode()}, net::Ping{}, net::Pong{}})
    seeds.push_back(EnvelopeOf(m));
  return seeds;
}

}  // namespace dadbs::core::fuzz
