// costs.cpp: see costs.h.
#include "costs.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <vector>

#include "dadbs/net/transport.h"

using namespace dadbs::core;

extern "C" {
// The names are the linker's: --wrap=SHA256_Update makes __real_ of what was called by that name.
int __real_SHA256_Update(SHA256_CTX* context, const void* data, size_t bytes);
int __real_SHA256_Final(unsigned char* digest, SHA256_CTX* context);

int __wrap_SHA256_Update(SHA256_CTX* context, const void* data, size_t bytes) {
  dadbs::growth::work.hashed_bytes += bytes;
  return __real_SHA256_Update(context, data, bytes);
}
int __wrap_SHA256_Final(unsigned char* digest, SHA256_CTX* context) {
  dadbs::growth::work.hashes++;
  return __real_SHA256_Final(digest, context);
}
}

namespace dadbs::growth {

Work work;

namespace {

constexpr double kClockUs = 1e6 / CLOCKS_PER_SEC;

// The least of several turns: what disturbs a turn only adds to it.
template <class Action>
double LeastUs(int times, Action action) {
  double least = 1e18;
  for (int turn = 0; turn < 7; turn++) {
    const std::clock_t begin = std::clock();
    for (int i = 0; i < times; i++) action();
    least = std::min(least, static_cast<double>(std::clock() - begin) * kClockUs / times);
  }
  return least;
}

void MeasureCrypto(Costs* costs) {
  const auto signer = MakeEd25519Signer(Bytes(32, 1));
  const Bytes message(200, 7), large(1u << 20, 7), small(64, 7);
  const Signature signature = signer->Sign(message);
  bool good = true;
  costs->sign_us = LeastUs(300, [&] { good &= signer->Sign(message) == signature; });
  costs->verify_us = LeastUs(300, [&] { good &= Ed25519Verifier().Verify(signer->public_key(), message, signature); });
  const double large_us = LeastUs(5, [&] { good &= !Hash(Domain::kBatch, large).is_zero(); });
  const double small_us = LeastUs(5000, [&] { good &= !Hash(Domain::kBatch, small).is_zero(); });
  if (!good) throw std::runtime_error("signatures do not work");
  costs->hash_byte_us = large_us / static_cast<double>(large.size());
  costs->hash_us = std::max(0.0, small_us - costs->hash_byte_us * static_cast<double>(small.size()));
}

// Two transports of this process, with a link between them as members have one: TLS over the loopback interface.
class Link {
 public:
  Link() {
    constexpr uint16_t kNobodyListens = 9;  // the second one dials the first
    for (uint16_t i = 0; i < 2; i++) {
      net::TransportOptions options;
      options.listen_host = "127.0.0.1";
      options.self = NodeId{static_cast<uint16_t>(i + 1)};
      options.seed = Bytes(32, static_cast<uint8_t>(i + 1));
      options.chain_id.bytes.fill(1);
      const net::PeerInfo other{NodeId{static_cast<uint16_t>(2 - i)}, "m", "127.0.0.1", i == 0 ? kNobodyListens : ends_[0]->listen_port(),
                                MakeEd25519Signer(Bytes(32, static_cast<uint8_t>(2 - i)))->public_key()};
      std::string error;
      ends_[i] = net::Transport::Create(options, {other}, {}, {}, &error);
      if (!ends_[i]) throw std::runtime_error("no transport: " + error);
    }
    for (int connected = 0; connected < 2;) connected += Poll<net::Connected>(0) + Poll<net::Connected>(1);
  }

  void Pass(const Message& message) {
    ends_[1]->Send(NodeId{1}, message);
    ends_[1]->Flush();
    while (Poll<net::Received>(0) == 0) Poll<net::Received>(1);
  }

 private:
  template <class What>
  int Poll(size_t end) {
    if (++polls_ > kPollsMax) throw std::runtime_error("nothing comes through the loopback interface");
    const std::vector<net::Event> events = ends_[end]->Poll(1);
    return static_cast<int>(std::count_if(events.begin(), events.end(), [](const auto& e) { return std::holds_alternative<What>(e); }));
  }

  static constexpr uint64_t kPollsMax = 50'000'000;
  uint64_t polls_ = 0;
  std::array<std::unique_ptr<net::Transport>, 2> ends_;
};

Message BatchOf(size_t bytes) {
  auto batch = std::make_shared<Batch>();
  batch->header.origin = NodeId{1};
  batch->header.count = 1;
  batch->header.body_bytes = bytes;
  batch->write_sets.emplace_back(bytes, uint8_t{'x'});
  return BatchMessage{batch};
}

// Both ends together; half of it is each one's.
void MeasureMessages(Costs* costs) {
  Link link;
  VoteMessage vote;
  vote.phase = Phase::kCommit;
  vote.view = View{1};
  vote.height = Height{1};
  vote.envelope.signer = NodeId{2};
  const Message large = BatchOf(200'000);
  const double vote_us = LeastUs(300, [&] { link.Pass(vote); });
  const double large_us = LeastUs(20, [&] { link.Pass(large); });
  costs->message_byte_us = std::max(0.0, large_us - vote_us) / 200'000 / 2;
  costs->message_us = vote_us / 2;
}

}  // namespace

Costs MeasureCosts() {
  Costs costs;
  MeasureCrypto(&costs);
  MeasureMessages(&costs);
  return costs;
}

int64_t Costs::Of(const Work& done) const {
  return static_cast<int64_t>(static_cast<double>(done.signatures) * sign_us + static_cast<double>(done.verifications) * verify_us +
                              static_cast<double>(done.hashes) * hash_us + static_cast<double>(done.hashed_bytes) * hash_byte_us);
}

std::string Costs::Text() const {
  char text[256];
  std::snprintf(text, sizeof(text),
                "Ed25519: sign %.1f us, verify %.1f us; SHA-256: %.2f us and %.0f MB/s; a message, each end: %.1f us and %.0f MB/s",
                sign_us, verify_us, hash_us, 1 / hash_byte_us, message_us, 1 / std::max(1e-9, message_byte_us));
  return text;
}

bool CountingVerifier::Verify(const PublicKey& key, ByteView message, const Signature& signature) const {
  const Work before = work;
  const bool good = table_->Verify(key, message, signature);
  work = before;
  work.verifications++;
  return good;
}

Signature CountingSigner::Sign(ByteView message) const {
  const Work before = work;
  const Signature signature = table_->Make(key_, message);
  work = before;
  work.signatures++;
  return signature;
}

}  // namespace dadbs::growth
