/*
 * What a member hears, in any order, as often and as twisted as one likes: it neither crashes nor promises what it must not.
 *
 * One member of four runs; the messages of the others are those of two recorded runs (one in which it is the primary, and one in
 * which the primary goes away), and whatever the fuzzer makes of them. Honest members have signed what they have signed in the
 * record and nothing else, member 4 whatever one likes. So after each event:
 *   - a block that is delivered is the one that the honest members have delivered at that height
 *   - what it has signed leaves only when its journal has it, and no two of its votes contradict each other
 *   - records and deliveries have no gaps
 * An input: u8 which record, then events: u8 kind, and what that needs (Player).
 */
#include <map>

#include "../../src/net/codec.h"
#include "../unit/replica_fixture.h"
#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

constexpr NodeId kLiar{4};

enum Event : uint8_t { kMessage, kDurable, kTick, kConnected, kDisconnected, kSubmit, kEvents };

// Believes the liar whatever it seems to have signed.
class Believing : public Verifier {
 public:
  explicit Believing(const test::Harness& run) : run_(run) {}
  bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
    return key == run_.genesis.members[kLiar.value - 1].key || run_.table.Verify(key, message, signature);
  }

 private:
  const test::Harness& run_;
};

// A run of all four, and what one of them heard in it.
struct Record {
  explicit Record(size_t listener) : self(listener), run(4) {
    run.lost = [this](const test::Letter& letter) {
      if (letter.to == test::Harness::Id(self)) Note(letter);
      return false;
    };
    run.Open();
    for (int i = 0; i < 3; i++) Write("w" + std::to_string(i));
    if (self != 0) {
      run.Crash(0);
      run.Wait(3'000'000);
      for (int i = 0; i < 2; i++) Write("v" + std::to_string(i));
    }
    for (const test::TestMember& m : run.members)
      for (const DeliverEffect& d : m.delivered) hashes.emplace(d.block->header.height, d.block->header.hash());
  }

  void Write(const std::string& text) {
    run.Submit(self, text);
    run.Run();
  }
  void Note(const test::Letter& letter) {
    const Bytes frame = net::EncodeFrame(letter.message);
    const size_t length = frame.size() - net::kFrameHeaderBytes;
    if (length > UINT16_MAX) return;
    input.insert(input.end(), {kMessage, static_cast<uint8_t>(letter.from.value), static_cast<uint8_t>(length), static_cast<uint8_t>(length >> 8)});
    input.insert(input.end(), frame.begin() + net::kFrameHeaderBytes, frame.end());
    input.push_back(kDurable);
  }

  size_t const self;
  test::Harness run;
  Bytes input;  // the events
  std::map<Height, Digest> hashes;
};

const Record& RecordOf(uint8_t which) {
  static const Record primary(0), backup(1);
  return which % 2 == 0 ? primary : backup;
}

class Player {
 public:
  explicit Player(const Record& record) : record_(record), verifier_(record.run), signer_(&table_, record.run.members[record.self].signer->public_key()) {
    RecoveredState state;
    Require(state.Apply(record.run.members[record.self].journal[0], 1).empty(), "the genesis");
    Nonce nonce;
    nonce.bytes[0] = static_cast<uint8_t>(record.self + 1);  // as in the record
    replica_ = std::make_unique<Replica>(Self(), signer_, *this_verifier(), ReplicaLimits{}, std::move(state), nonce, now_);
    for (uint16_t id = 1; id <= 4; id++)
      if (NodeId{id} != Self()) Take(replica_->OnConnected(NodeId{id}, now_));
    Take(replica_->Start(now_));
  }

  void Play(ByteView input) {
    size_t at = 0;
    const auto next = [&] { return at < input.size() ? input[at++] : uint8_t{0}; };
    while (at < input.size()) {
      switch (next() % kEvents) {
        case kMessage: {
          const NodeId from = Other(next());
          size_t length = next();
          length |= static_cast<size_t>(next()) << 8;
          length = std::min(length, input.size() - at);
          Hear(from, input.subspan(at, length));
          at += length;
          break;
        }
        case kDurable: Done(); break;
        case kTick:
          now_ += int64_t{20'000} * (next() + 1);
          Take(replica_->OnTick(now_));
          break;
        case kConnected: Take(replica_->OnConnected(Other(next()), now_)); break;
        case kDisconnected: Take(replica_->OnDisconnected(Other(next()), now_)); break;
        case kSubmit:
          if (!replica_->CanSubmit()) break;
          Take(replica_->OnSubmit(7, test::WriteSet("w" + std::to_string(submitted_++)), now_));
          Take(replica_->OnEventsEnd(now_));
          break;
      }
    }
    Done();
  }

 private:
  // Signatures of its own are as good as those of the record.
  struct Both : Verifier {
    Both(const Verifier& a, const Verifier& b) : first(a), second(b) {}
    bool Verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
      return first.Verify(key, message, signature) || second.Verify(key, message, signature);
    }
    const Verifier &first, &second;
  };
  const Verifier* this_verifier() { return &both_; }

  NodeId Self() const { return test::Harness::Id(record_.self); }
  NodeId Other(uint8_t choice) const {
    const NodeId other{static_cast<uint16_t>(1 + choice % 4)};
    return other == Self() ? kLiar : other;
  }

  void Hear(NodeId from, ByteView envelope) {
    net::WireMessage message;
    std::string why;
    if (!net::DecodeEnvelope(envelope, &message, &why)) return;
    if (auto* const core = std::get_if<Message>(&message)) {
      Take(replica_->OnMessage(from, std::move(*core), now_));
      Take(replica_->OnEventsEnd(now_));
    }
  }

  void Done() {
    while (durable_ < appended_) {
      durable_ = appended_;
      Take(replica_->OnJournalDone(durable_, now_));
    }
  }

  void Take(Effects effects) {
    Height applied;
    for (const Effect& effect : effects) {
      if (const auto* const e = std::get_if<AppendEffect>(&effect)) {
        Require(e->sequence == appended_ + 1, "a gap in the journal");
        appended_ = e->sequence;
      } else if (const auto* const e = std::get_if<SendEffect>(&effect)) {
        std::visit([this](const auto& m) { CheckSent(m); }, e->message);
      } else if (const auto* const e = std::get_if<DeliverEffect>(&effect)) {
        const Height height = e->block->header.height;
        Require(height == delivered_.next(), "a gap in what is delivered");
        const auto right = record_.hashes.find(height);
        Require(right != record_.hashes.end() && right->second == e->block->header.hash(), "a block that no honest member has");
        applied = delivered_ = height;
      }
    }
    if (applied > Height{0}) Take(replica_->OnApplied(applied, now_));
  }

  template <class M>
  void CheckSent(const M&) {}
  void CheckSent(const VoteMessage& m) { CheckSigned(m.envelope), CheckVote(m.phase, m.view, m.height, m.hash, m.envelope); }
  void CheckSent(const ProposalMessage& m) { CheckSigned(m.envelope), CheckVote(Phase::kPrepare, m.view, m.block->header.height, m.block->header.hash(), m.envelope); }
  void CheckSent(const ViewChangeMessage& m) { CheckSigned(m.change.envelope); }
  void CheckSent(const NewViewMessage& m) { CheckSigned(m.start.envelope); }

  void CheckSigned(const Signed& envelope) {
    if (envelope.signer == Self()) Require(envelope.journal_sequence <= durable_, "what is signed leaves before the journal has it");
  }
  void CheckVote(Phase phase, View view, Height height, const Digest& hash, const Signed& envelope) {
    if (envelope.signer != Self()) return;
    const auto [vote, first] = votes_.try_emplace(std::make_tuple(phase, view, height), hash);
    Require(first || vote->second == hash, "two votes that contradict each other");
  }

  const Record& record_;
  sim::SignatureTable table_;
  Believing verifier_;
  Both both_{verifier_, table_};
  sim::ModelSigner signer_;
  std::unique_ptr<Replica> replica_;
  int64_t now_ = test::kNow;
  uint64_t appended_ = 1, durable_ = 1;
  int submitted_ = 0;
  Height delivered_;
  std::map<std::tuple<Phase, View, Height>, Digest> votes_;
};

}  // namespace

void TryInput(ByteView input) {
  if (input.empty()) return;
  Player player(RecordOf(input[0]));
  player.Play(input.subspan(1));
}

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds;
  for (uint8_t which : {0, 1}) {
    Bytes seed = {which};
    const Bytes& events = RecordOf(which).input;
    seed.insert(seed.end(), events.begin(), events.end());
    seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace dadbs::core::fuzz
